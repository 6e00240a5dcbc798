"""The parts of a `Pipeline`, as its author writes them: `stage`, `expand` and `gather`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from streams.errors import ItemError
from streams.running.api_limits import Limits
from streams.running.work import Options, OwnWork, at_least_one, checked, wait_s
from streams.user_code import is_async

Function = Callable[[Sequence[Any]], Awaitable[Sequence[Any]] | Sequence[Any]]

Process = Function | OwnWork


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. `name`: its function's. `buffer`: items that may wait before it; None: 2 x what
    its calls hold. `expands`: whether it returns a list of parts for each item."""

    process: Process
    options: Options
    buffer: int | None
    name: str
    expands: bool = False

    @property
    def in_thread(self) -> bool:
        """Whether it is a plain function."""
        return not isinstance(self.process, OwnWork) and not is_async(self.process)


@dataclass(frozen=True, slots=True)
class Gather:
    """Where the parts of an item become one list again. `keep`: failed parts stay in it."""

    keep: bool


def stage(
    function: Process,
    *,
    max_items: int | None = None,
    max_wait_ms: float = 0,
    max_in_flight: int = 1,
    buffer: int | None = None,
    order: Literal["partition", "none"] = "partition",
    max_tokens: int | None = None,
    tokens: Callable[[Any], int] | None = None,
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    split: bool | None = None,
    limits: Limits | None = None,
) -> Stage:
    """A stage of a `Pipeline`: `function` gets lists of items, returns one result for each.

    `function`: async; or plain, then it runs in a thread, and its call ends when it returns; or an
    operation (`streams.embed(...)` and its like). `max_items`: in one call; None: 1, for an
    operation what suits it. `max_wait_ms`: how long a call that may start waits for more items.
    `max_in_flight`: calls at any moment. `buffer`: items that wait before it, at least 1; with
    fewer than `max_items`, a call has no more than these; None: 2 x max_items x max_in_flight.
    `order`: "none": a result goes on as soon as it is there, so that a slow one holds back nobody;
    "partition": in the items' order. The rest: as for `streams.map_batches`. Raises ValueError and
    TypeError.
    """
    max_wait_s = wait_s(max_wait_ms)
    if order not in ("partition", "none"):
        raise ValueError(f'order must be "partition" or "none", not {order!r}')
    # fmt: off
    options = Options(
        max_items=max_items, max_in_flight=max_in_flight, max_tokens=max_tokens, tokens=tokens,
        timeout_s=timeout_s, max_attempts=max_attempts, split=split, limits=limits,
        max_wait_s=max_wait_s, order=order,
    )
    # fmt: on
    return _checked(Stage(function, options, buffer, _name_of(function)))


def expand(
    function: Process,
    *,
    max_items: int | None = None,
    max_wait_ms: float = 0,
    max_in_flight: int = 1,
    buffer: int | None = None,
    order: Literal["partition", "none"] = "partition",
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    split: bool | None = None,
    limits: Limits | None = None,
) -> Stage:
    """A stage whose `function` returns a list of parts for each item; later stages work on parts,
    until `gather`. An item without parts has none after it. The rest: as for `stage`."""
    # fmt: off
    made = stage(
        function, max_items=max_items, max_wait_ms=max_wait_ms, max_in_flight=max_in_flight,
        buffer=buffer, order=order, timeout_s=timeout_s, max_attempts=max_attempts, split=split,
        limits=limits,
    )
    # fmt: on
    return replace(made, expands=True)


def gather(*, errors: Literal["item", "keep"] = "item") -> Gather:
    """The parts of the last `expand` come back as one list, in order; [] for an item without any.

    `errors`: "item": an item with a failed part has the `ItemError` of the first; "keep": failed
    parts stay in the list as `ItemError`s. Raises ValueError for another word.
    """
    if errors not in ("item", "keep"):
        raise ValueError(f'errors must be "item" or "keep", not {errors!r}')
    return Gather(keep=errors == "keep")


def _checked(made: Stage) -> Stage:
    process, buffer = made.process, made.buffer
    if buffer is not None:
        at_least_one("buffer", buffer)
    if not isinstance(process, OwnWork) and not callable(process):
        raise TypeError(f"a stage is a function or an operation, not {type(process).__name__}")
    checked(_unused if made.in_thread else process, made.options)  # type: ignore[arg-type]
    return made


async def _unused(items: Sequence[Any]) -> Sequence[ItemError]:
    raise NotImplementedError


def _name_of(process: Any) -> str:
    if isinstance(process, OwnWork):
        return process.name
    while isinstance(process, functools.partial):
        process = process.func
    return getattr(process, "__name__", None) or type(process).__name__
