"""The garbage collector of a process that has many items in memory."""

from __future__ import annotations

import gc

A_STREAM = 50_000, 20, 20
"""Thresholds of the three generations where throughput counts."""

A_LONG_JOB = 20_000, 2, 500
"""Where the loop must be free: a walk of 150,000 objects takes 50 ms, so the first two generations
are small, and the last one waits."""


def collect_seldom(thresholds: tuple[int, int, int] = A_STREAM) -> None:
    """Items are many small objects without cycles: with the default thresholds the collector walks
    all that are in flight again and again (a fifth of the CPU time at 30,000 items/s, 120 ms at a
    time with 100,000 of them). What is imported stays, and is not walked any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
