"""How long something still takes that takes its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.bars import say

LINE_EVERY_S = 60.0


async def progress(name: str, seconds: float, told: Callable[[], str]) -> None:
    """A bar with the time left and what `told` says, for so long; without a terminal a line every
    minute."""
    console = Console(stderr=True)
    columns = (
        TextColumn(name),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[at]}"),
    )
    began, step_s = time.monotonic(), 1.0 if console.is_terminal else LINE_EVERY_S
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("", total=seconds, at="")
        while (passed := time.monotonic() - began) < seconds:
            bar.update(shown, completed=passed, at=told())
            if bar.disable and passed:
                say(f"{name}  {passed / 60:.0f} of {seconds / 60:.0f} minutes: {told()}")
            await asyncio.sleep(min(step_s, seconds - passed))
