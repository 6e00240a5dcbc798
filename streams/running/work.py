"""What a door without Kafka runs: a function of this program, or an operation on an API.

    items ─► weigh(slots) ─► Runner(caller) ─► results(slots)

A door (`map`, `coalescer`, `pipeline`) knows only `Work`. An operation brings its own (`OwnWork`);
any other `process` is a `FunctionWork`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from operator import index
from typing import Any, Generic, Protocol, TypedDict, TypeVar

from streams.core.account import Account
from streams.core.call import Slot
from streams.core.call_money import CallMoney
from streams.core.limits import Limits, Order
from streams.errors import ItemError
from streams.model import Reply
from streams.running.accounts import account_of_caller
from streams.running.api_limits import Limits as ApiLimits
from streams.running.own_budgets import check_price
from streams.running.user_function import Process, UserFunction

T = TypeVar("T")
R = TypeVar("R")

ListFunction = Callable[[Sequence[T]], Awaitable[Sequence[R | ItemError]]]
"""A `process` of the program's own: one answer for each item, in their order."""

MAX_ITEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A door's limits as its caller gave them.

    `max_items`: in one call; None: 20, for an operation what suits it. `max_in_flight`: calls at
    any moment. `max_tokens`: in one call, by `tokens(item)`; None: any number, for an operation
    what suits it. An item above it alone is an `ItemError` "too_large". Without `tokens`, items
    must be strings, and are estimated; an operation counts by itself.
    `timeout_s`: of one call, in seconds; None: as long as it takes, for an operation 60.
    `max_attempts`: how often a call that raises, times out or returns the wrong number of answers
    is made before that is final (waiting up to 0.5 s, 1 s, 2 s, ... 30 s between, drawn at random);
    None: once, for an operation 6 times. `split`: first halve such a call, at once, until the item
    that causes it is alone; `max_attempts` counts for that item; None: no, for an operation yes.
    `limits`: what the API allows, per minute (`streams.Limits`); None: what it says itself.
    `adaptive`: whether an operation has fewer items in a call, and fewer calls in flight, while its
    API takes no more.

    `max_wait_s`: how long a window stays open; inf: until it is full, or the input ends.
    `priority`: see `streams.core.limits`.
    """

    max_items: int | None = None
    max_in_flight: int = 5
    max_tokens: int | None = None
    tokens: Callable[[Any], int] | None = None
    timeout_s: float | None = None
    max_attempts: int | None = None
    split: bool | None = None
    limits: ApiLimits | None = None
    adaptive: bool = True
    max_wait_s: float = inf
    order: Order = "none"
    priority: int = 0


class LimitOptions(TypedDict, Generic[T], total=False):
    """Those of them that every door takes, as its keywords."""

    max_items: int | None
    max_in_flight: int
    max_tokens: int | None
    tokens: Callable[[T], int] | None
    timeout_s: float | None
    max_attempts: int | None
    split: bool | None
    limits: ApiLimits | None
    adaptive: bool


class Work(Protocol):
    """What one door runs, in one loop. `close` is called once, when its calls have ended."""

    @property
    def caller(self) -> Callable[[list[Any]], Awaitable[Reply]]: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def timeout_s(self) -> float | None: ...
    @property
    def account(self) -> Account | None:
        """None: one of its own."""
        ...

    @property
    def money(self) -> CallMoney | None:
        """What its calls may cost; None: anything."""
        ...

    @property
    def has_price(self) -> bool:
        """Whether what its calls cost can be known."""
        ...

    def describe(self) -> dict[str, Any] | None:
        """What an operation's results depend on, for `streams.codec.fingerprint`; None: a
        function."""
        ...

    def weigh(self, slots: Sequence[Slot]) -> None:
        """Sets the tokens of new slots, and the outcome of an item that needs no call. Raises what
        the caller's `tokens` raises."""
        ...

    def results(self, slots: Sequence[Slot]) -> list[Any]:
        """What the caller gets for slots with an outcome: a result or an `ItemError` each."""
        ...

    async def close(self) -> None: ...


class OwnWork(ABC):
    """A process that brings its own work: an operation on an API. `name`: the operation's."""

    name: str

    @abstractmethod
    def check(self, options: Options) -> None:
        """Raises ValueError for options that it does not take, outside of any loop."""

    @abstractmethod
    def work(self, options: Options) -> Work:
        """For one door, in the running loop. Raises as `check`, and ConfigError where the
        environment lacks something."""


def work_of(process: Process | OwnWork, options: Options) -> Work:
    """Raises ValueError for an option out of range, TypeError for a process that is none."""
    if isinstance(process, OwnWork):
        return process.work(options)
    return FunctionWork(process, options)


def checked(process: Process | OwnWork, options: Options) -> Options:
    """The options. Raises as `work_of`, but needs no event loop."""
    if isinstance(process, OwnWork):
        process.check(options)
    else:
        FunctionWork(process, options)
    return options


class FunctionWork:
    """A function of this program; what it raises is a counted attempt."""

    has_price = True
    money = None

    def __init__(self, process: Process, options: Options) -> None:
        self.limits = limits_of(options, max_items=MAX_ITEMS, max_attempts=1, split=False)
        check_price(options.limits, None)
        self._allowed = options.limits
        self.timeout_s = options.timeout_s
        self.caller = UserFunction(process, split=self.limits.split)
        self._tokens = _counts(options.tokens, options.max_tokens)

    @cached_property
    def account(self) -> Account | None:
        return account_of_caller(None, self.limits, self._allowed)

    def weigh(self, slots: Sequence[Slot]) -> None:
        if self._tokens is not None:
            for slot in slots:
                slot.tokens = _weight(self._tokens, slot.item)

    def results(self, slots: Sequence[Slot]) -> list[Any]:
        return [slot.outcome for slot in slots]

    def describe(self) -> None:
        return None

    async def close(self) -> None:
        pass


def limits_of(
    options: Options,
    *,
    max_items: int,
    max_attempts: int,
    split: bool,
    max_tokens: int | None = None,
    max_bytes: int | None = None,
) -> Limits:
    """The engine's limits; the keywords stand in for options that are None. Raises ValueError for
    an option out of range."""
    if options.timeout_s is not None and not options.timeout_s > 0:  # also refuses NaN
        raise ValueError(f"timeout_s must be above 0, not {options.timeout_s}")
    given = options.max_tokens if options.max_tokens is not None else max_tokens
    return Limits(
        max_items=index(_first(options.max_items, max_items)),
        max_wait_s=options.max_wait_s,
        max_tokens=None if given is None else index(given),
        max_bytes=max_bytes,
        max_in_flight=index(options.max_in_flight),
        max_attempts=index(_first(options.max_attempts, max_attempts)),
        function_errors="counted",
        split=bool(_first(options.split, split)),
        order=options.order,
        priority=options.priority,
    )


def wait_s(max_wait_ms: float) -> float:
    if not max_wait_ms >= 0:  # also refuses NaN
        raise ValueError(f"max_wait_ms must be at least 0, not {max_wait_ms}")
    return max_wait_ms / 1000


def at_least_one(name: str, value: int) -> int:
    if index(value) < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


def _first(given: Any, default: Any) -> Any:
    return default if given is None else given


def _counts(
    tokens: Callable[[Any], int] | None, max_tokens: int | None
) -> Callable[[Any], int] | None:
    """The function that counts an item's tokens; None: not needed."""
    if tokens is not None and max_tokens is None:
        raise ValueError("tokens counts for max_tokens: give that too")
    return _estimate if tokens is None and max_tokens is not None else tokens


def _weight(tokens: Callable[[Any], int], item: Any) -> int:
    weight = index(tokens(item))
    if weight < 0:
        raise ValueError(f"tokens returned {weight}: it must be at least 0")
    return weight


def _estimate(item: Any) -> int:
    from streams.codec.records import estimate_tokens  # imports a JSON codec, which few need here

    if not isinstance(item, str):
        raise TypeError(
            f"max_tokens: an item is a {type(item).__name__}, not a string: "
            "give tokens, a function that counts its tokens"
        )
    return estimate_tokens(item)
