"""Long work in the loop, in slices: others have their turn in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

SLICE_S: Final = 0.01
FORGOTTEN_AT_ONCE: Final = 1_000


async def in_slices(steps: Iterable[None]) -> None:
    """Takes the steps one after the other, and lets others run after every 10 ms."""
    began = time.perf_counter()
    for _ in steps:
        if time.perf_counter() - began > SLICE_S:
            await asyncio.sleep(0)
            began = time.perf_counter()


async def forget(items: list[Any]) -> None:
    """Empties the list: to free a chunk's slots all at once takes 60 ms."""
    while items:
        del items[-FORGOTTEN_AT_ONCE:]
        await asyncio.sleep(0)
