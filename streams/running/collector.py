"""The garbage collector of a process that has many items in memory."""

from __future__ import annotations

import gc


def collect_seldom() -> None:
    """Items are many small objects without cycles: with the default thresholds the collector walks
    all that are in flight again and again (a fifth of the CPU time at 30,000 items/s, 120 ms at a
    time with 100,000 of them). What is imported stays, and is not walked any more. The first
    two generations are small, since a walk of 150,000 objects takes 50 ms; the last one waits."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 2, 500)
