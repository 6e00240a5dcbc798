"""How far a long command has come: a bar on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

from streams.cli.output import tell

if TYPE_CHECKING:
    from streams.kafka.publish import Progress

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.1


class Bar:
    """Shows a `Progress` on stderr; `tell` writes a line above the bar."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._shown_at = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.fields[sent]:,} records"),
                BarColumn(),
                TextColumn("{task.fields[rate]:,.0f}/s  rejected {task.fields[rejected]:,}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, sent=0, rate=0.0, rejected=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            tell(line)

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._shown_at < (LINE_EVERY_S if self._bar is None else BAR_EVERY_S):
            return
        self._shown_at = now
        rate = progress.sent / max(now - progress.started, 0.001)
        if self._bar is None:
            tell(f"published {progress.sent}, rejected {progress.rejected} ({rate:,.0f}/s)")
            return
        self._bar.update(
            self._task,
            total=progress.size,
            completed=progress.position,
            sent=progress.sent,
            rate=rate,
            rejected=progress.rejected,
        )
