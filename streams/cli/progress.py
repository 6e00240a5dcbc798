"""The progress of a long command: a bar on a terminal, otherwise a plain line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol, Self

from streams.cli.printing import tell

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.1


class Progress(Protocol):
    """What the bar shows: the counts `sent` and `skipped_count`; `position` of `size` (None: not
    known), how far the input is read; `started`, on the monotonic clock."""

    @property
    def sent(self) -> int: ...
    @property
    def skipped_count(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def size(self) -> int | None: ...
    @property
    def started(self) -> float: ...


class Bar:
    """Shows a `Progress` on stderr; `tell` writes a line above the bar. `sent`, `skipped`: the
    words for these two counts."""

    def __init__(self, sent: str = "published", skipped: str = "rejected") -> None:
        self._words = sent, skipped
        self._bar: Any = None
        self._last_shown_at = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.fields[sent]:,} records"),
                BarColumn(),
                TextColumn(
                    "{task.fields[rate]:,.0f}/s  " + self._words[1] + " {task.fields[skipped]:,}"
                ),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, sent=0, rate=0.0, skipped=0)
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
        if now - self._last_shown_at < (LINE_EVERY_S if self._bar is None else BAR_EVERY_S):
            return
        self._last_shown_at = now
        rate = progress.sent / max(now - progress.started, 0.001)
        if self._bar is None:
            sent, skipped = self._words
            tell(f"{sent} {progress.sent}, {skipped} {progress.skipped_count} ({rate:,.0f}/s)")
            return
        self._bar.update(
            self._task,
            total=progress.size,
            completed=progress.position,
            sent=progress.sent,
            rate=rate,
            skipped=progress.skipped_count,
        )
