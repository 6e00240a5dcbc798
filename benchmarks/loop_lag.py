"""How long the event loop is blocked: the longest callback, in CPU time of its thread.

Wall time would count what the machine does beside us; a callback that blocks by waiting (a file, a
lock) shows there alone, so both are taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


class Lag:
    """The longest callback so far, in milliseconds: by the thread's CPU time, by the clock."""

    def __init__(self) -> None:
        self.cpu_ms = 0.0
        self.wall_ms = 0.0

    def __repr__(self) -> str:
        return f"<Lag cpu {self.cpu_ms:.1f} ms, wall {self.wall_ms:.1f} ms>"


@contextmanager
def longest_callback() -> Iterator[Lag]:
    """Watches every callback of this process's loops."""
    lag = Lag()
    run: Any = asyncio.Handle._run

    def timed(handle: Any) -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        run(handle)
        lag.cpu_ms = max(lag.cpu_ms, 1000 * (time.thread_time() - cpu))
        lag.wall_ms = max(lag.wall_ms, 1000 * (time.perf_counter() - wall))

    with patch.object(asyncio.Handle, "_run", timed):
        yield lag
