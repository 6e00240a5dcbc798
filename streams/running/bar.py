"""The progress of a run: a bar on stderr, or a function that gets the counts.

`Bar` is what every long command and every door shows; `shown` is a door's `progress`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from streams.errors import ItemError
from streams.running.tally import CallTally
from streams.standard_streams import tell

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.1


class State(NamedTuple):
    """What a bar shows: `text` before it, as "published 1,234", and `facts` behind it. `done` of
    `total`, in any unit: how full it is; a total of None: not known."""

    text: str
    facts: str
    done: float
    total: float | None


class Bar:
    """A bar on a terminal, with the time left; otherwise a plain line every 10 s.

    `stays`: what it shows at the end stays on the screen, and is the last plain line.
    """

    def __init__(self, *, stays: bool = False) -> None:
        self._stays = stays
        self._bar: Any = None
        self._last_shown_at = time.monotonic()
        self._began: tuple[float, float] | None = None  # when, and how much was done then
        self._state: Callable[[], State] | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() or "ipykernel" in sys.modules:  # a notebook shows it, too
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.fields[text]}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[facts]}", markup=False),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=not self._stays,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, text="", facts="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._stays and self._state is not None:
            self._show(self._state())
        if self._bar is not None:
            self._bar.stop()

    def tell(self, line: str) -> None:
        """Writes a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            tell(line)

    def show(self, state: Callable[[], State]) -> None:
        """Asks for the state when it is time to show it: call this after any change."""
        self._state = state
        now = time.monotonic()
        if self._began is None:
            self._began = now, state().done
        if now - self._last_shown_at >= (LINE_EVERY_S if self._bar is None else BAR_EVERY_S):
            self._last_shown_at = now
            self._show(state())

    def _show(self, state: State) -> None:
        text, facts, done, total = state
        if self._bar is None:
            tell(f"{text}  {facts}{self._left(done, total)}")
        else:
            self._bar.update(self._task, total=total, completed=done, text=text, facts=facts)

    def _left(self, done: float, total: float | None) -> str:
        """The time left at the pace so far, for a plain line."""
        if self._began is None or total is None:
            return ""
        began_at, done_then = self._began
        if not done_then < done < total:
            return ""
        left_s = (time.monotonic() - began_at) * (total - done) / (done - done_then)
        return f"  {duration(left_s)} left"


def duration(seconds: float) -> str:
    """A time for a person."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def rate(done: int, elapsed_s: float) -> str:
    """How many a second."""
    return f"{done / max(elapsed_s, 0.001):,.0f}/s"


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
        with Bar(stays=True) as bar:
            yield _counting(lambda counts: bar.show(lambda: _state(counts)), total)


def _counting(take: Callable[[Counts], object], total: int | None) -> Show:
    started = time.monotonic()
    done = failed = 0

    def show(values: Sequence[Any], tally: CallTally) -> None:
        nonlocal done, failed
        done += len(values)
        failed += sum(isinstance(value, ItemError) for value in values)
        # fmt: off
        take(Counts(
            done, failed, total, sum(tally.by_status.values()), tally.input_tokens,
            tally.output_tokens, tally.cost_usd, time.monotonic() - started,
        ))
        # fmt: on

    return show


def _state(counts: Counts) -> State:
    of = "" if counts.total is None else f"/{counts.total:,}"
    facts = f"{rate(counts.done, counts.elapsed_s)}  {calls_text(counts.calls, counts.cost_usd)}"
    return State(
        f"{counts.done:,}{of}", f"{facts}  {counts.failed:,} failed", counts.done, counts.total
    )


def calls_text(calls: int, cost_usd: float | None) -> str:
    """Calls and their cost; a cost that is not known is left out."""
    cost = "" if cost_usd is None else f"  ${cost_usd:,.4f}"
    return f"{calls:,} calls{cost}"
