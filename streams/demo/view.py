"""What the demo shows: bars on a terminal, plain lines otherwise, one JSON object with `--json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
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

TEXT_CHARACTERS = 60


class View:
    """`as_json`: the summary alone goes to stdout, as one object; all else goes to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._errors = Console(stderr=True, highlight=False)

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

    def results(self, samples: Sequence[dict[str, Any]]) -> None:
        """A few of the results, for a person."""
        if self._as_json:
            return
        table = Table("item", "result", "microbatch", "tokens", title="some results")
        for sample in samples:
            batch, usage = sample["batch"], sample["usage"]
            table.add_row(
                str(sample["id"])[:TEXT_CHARACTERS],
                json.dumps(sample["result"]),
                f"{batch['index'] + 1} of {batch['size']}",
                f"{usage['input_tokens']} in, {usage['output_tokens']} out",
            )
        Console().print(table)

    def summary(self, summary: dict[str, Any]) -> None:
        if self._as_json:
            sys.stdout.write(json.dumps(summary) + "\n")
            sys.stdout.flush()
            return
        table = Table("figure", "value", title="summary")
        for key, value in summary.items():
            table.add_row(key, str(value))
        Console().print(table)
