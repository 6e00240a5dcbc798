"""The progress of a run in batch mode: a bar on stderr, or a function that gets `BatchProgress`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streams.batches.run_report import BatchProgress
from streams.running.bar import Bar, State

BatchShown = bool | Callable[[BatchProgress], object]
"""True: a bar; False: nothing; a function: it gets the progress after each step."""


@contextmanager
def shown(progress: BatchShown) -> Iterator[Callable[[BatchProgress], object] | None]:
    """A function that takes each progress; None: nobody wants to know."""
    if progress is False:
        yield None
    elif callable(progress):
        yield progress
    else:
        with Bar(stays=True) as bar:
            yield lambda now: bar.show(lambda: state_of(now))


def state_of(progress: BatchProgress) -> State:
    of = "" if progress.total is None else f"/{progress.total:,}"
    cost = "" if progress.cost_usd is None else f"  ${progress.cost_usd:,.4f}"
    waits = f"  waits for {progress.waits_for}" if progress.waits_for else ""
    facts = f"{progress.planned:,} planned  {progress.batches:,} batches{cost}{waits}"
    return State(f"{progress.done:,}{of}", facts, progress.done, progress.total)
