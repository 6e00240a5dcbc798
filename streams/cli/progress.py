"""How far a long command has come: a bar on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol, Self

from streams.cli.printing import tell

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.1


class Progress(Protocol):
    """What is shown: `sent` and `left_out` count; `position` of `size` (None: not known) is how far
    the input has been read; `started` is on the monotonic clock."""

    @property
    def sent(self) -> int: ...
    @property
    def left_out(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def size(self) -> int | None: ...
    @property
    def started(self) -> float: ...


class Bar:
    """Shows a `Progress` on stderr; `tell` writes a line above the bar. `sent`, `left_out`: the
    words for what these count."""

    def __init__(self, sent: str = "published", left_out: str = "rejected") -> None:
        self._words = sent, left_out
        self._bar: Any = None
        self._shown_at = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.fields[sent]:,} records"),
                BarColumn(),
                TextColumn(
                    "{task.fields[rate]:,.0f}/s  " + self._words[1] + " {task.fields[left_out]:,}"
                ),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, sent=0, rate=0.0, left_out=0)
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
            sent, left_out = self._words
            tell(f"{sent} {progress.sent}, {left_out} {progress.left_out} ({rate:,.0f}/s)")
            return
        self._bar.update(
            self._task,
            total=progress.size,
            completed=progress.position,
            sent=progress.sent,
            rate=rate,
            left_out=progress.left_out,
        )
