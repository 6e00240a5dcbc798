"""The progress of a run without Kafka: a bar on stderr, or a function that gets the counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from streams.errors import ItemError
from streams.running.tally import CallTally


class Counts(NamedTuple):
    """How far a run is. `done`: items with an outcome, `failed` of them with an `ItemError`.
    `total`: None: not known. `calls`: that ended. `input_tokens`, `output_tokens`, `cost_usd`: of
    all replies so far; a cost of None: not known. `elapsed_s`: since the start."""

    done: int
    failed: int
    total: int | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    elapsed_s: float


Shown = bool | Callable[[Counts], object]
"""True: a bar; False: nothing; a function: it gets the counts once per list of outcomes."""

Show = Callable[[Sequence[Any], CallTally], None]


@contextmanager
def shown(progress: Shown, total: int | None) -> Iterator[Show | None]:
    """A function that takes each list of outcomes; None: nobody wants to know."""
    if progress is False:
        yield None
    elif callable(progress):
        yield _counting(progress, total)
    else:
        with _bar(total) as update:
            yield _counting(update, total)


def _counting(tell: Callable[[Counts], object], total: int | None) -> Show:
    started = time.monotonic()
    done = failed = 0

    def show(values: Sequence[Any], tally: CallTally) -> None:
        nonlocal done, failed
        done += len(values)
        failed += sum(isinstance(value, ItemError) for value in values)
        # fmt: off
        tell(Counts(
            done, failed, total, sum(tally.by_status.values()), tally.input_tokens,
            tally.output_tokens, tally.cost_usd, time.monotonic() - started,
        ))
        # fmt: on

    return show


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[Counts], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn(
            "{task.fields[rate]:,.0f}/s  {task.fields[calls]:,} calls  "
            "{task.fields[failed]:,} failed"
        ),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("", total=total, rate=0.0, calls=0, failed=0)

        def update(counts: Counts) -> None:
            rate = counts.done / counts.elapsed_s if counts.elapsed_s else 0.0
            bar.update(
                task, completed=counts.done, rate=rate, calls=counts.calls, failed=counts.failed
            )

        yield update
