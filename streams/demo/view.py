"""What the demo shows: bars on a terminal, plain lines otherwise, one JSON object with `--json`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from streams.demo.findings import Findings, Place
from streams.demo.items import DemoItem
from streams.kafka.record_views import printable
from streams.standard_streams import put

NAME_CHARACTERS = 24
TEXT_CHARACTERS = 36


class Printer(Console):
    """A stream whose reader may have enough, as `head` does: the rest is dropped, and the exit code
    is the demo's."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


class View:
    """`as_json`: the summary alone goes to stdout, as one object; all else goes to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._errors = Printer(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        self._errors.print(text, soft_wrap=True, markup=False)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar with count, share and time left; without a terminal a line at the end."""
        if not self._errors.is_terminal:
            yield lambda count: None
            self.say(f"{what}: {total} items done")
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._errors) as progress:
            bar = progress.add_task(what, total=total)
            yield lambda count: progress.advance(bar, count)

    def results(self, findings: Findings, items: Mapping[Place, DemoItem]) -> None:
        """A few results, and the number of items by label, for a person. `items`: by position."""
        if self._as_json:
            return
        table = Table(title="some results")
        table.add_column("item", max_width=NAME_CHARACTERS, no_wrap=True)
        table.add_column("text", max_width=TEXT_CHARACTERS, no_wrap=True)
        for name in ("label", "microbatch", "tokens"):
            table.add_column(name)
        for place, envelope in findings.samples:
            batch, usage, item = envelope["batch"], envelope["usage"], items[place]
            table.add_row(
                _plain(item.name, NAME_CHARACTERS),
                _plain(item.text or "", TEXT_CHARACTERS),
                _plain(envelope["result"]["label"]),
                f"{batch['index'] + 1} of {batch['size']}",
                f"{usage['input_tokens']} in, {usage['output_tokens']} out",
            )
        console = Printer()
        console.print(table)
        _counts(console, "label", findings.labels)
        _counts(console, "dead letters", findings.dead_letters)

    def summary(self, summary: dict[str, Any]) -> None:
        if self._as_json:
            put(json.dumps(summary).encode() + b"\n")
            return
        table = Table("figure", "value", title="summary")
        for key, value in summary.items():
            table.add_row(key, str(value))
        Printer().print(table)


def _counts(console: Console, what: str, counts: Counter[str]) -> None:
    if not counts:
        return
    table = Table(what, "items", "share")
    for word, count in counts.most_common():
        table.add_row(_plain(word), str(count), f"{count / counts.total():.0%}")
    console.print(table)


def _plain(text: str, limit: int | None = None) -> Text:
    """On one line, cut, with control characters escaped; square brackets are not markup."""
    line = printable(" ".join(text[: 4 * limit if limit else None].split()))
    if limit is not None and len(line) > limit:
        line = f"{line[: limit - 1]}…"
    return Text(line)
