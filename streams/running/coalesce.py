"""`@streams.coalesce`: a function of a list becomes one of one item, whose callers share calls.

One `Coalescer` for each event loop, and for a method one for each instance, made at the first call.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, Unpack, overload

from streams.errors import ItemError
from streams.running.coalescer import Coalescer
from streams.running.work import LimitOptions, ListFunction

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")

ListMethod = Callable[[S, Sequence[T]], Awaitable[Sequence[R | ItemError]]]


class CoalescerOptions(LimitOptions[Any], total=False):
    """The keywords of `streams.Coalescer`."""

    max_wait_ms: float
    key: Callable[[Any], Hashable] | None
    unique: Callable[[Any], Hashable] | None
    wait: Literal["window", "idle"]
    max_pending: int
    when_full: Literal["wait", "raise"]


class Coalesced(Generic[T, R]):
    """A function of one item; see `streams.Coalescer.submit` for what it raises."""

    def __init__(self, function: ListFunction[T, R], options: CoalescerOptions) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options
        self._coalescers: dict[asyncio.AbstractEventLoop, Coalescer[T, R]] = {}
        self._new()  # raises for options that cannot be used, where they are written

    async def __call__(self, item: T) -> R:
        return await self.coalescer().submit(item)

    def coalescer(self) -> Coalescer[T, R]:
        """That of the running event loop: for `submit_many`, `statistics` and `close`. Closed, it
        is followed by a new one."""
        loop = asyncio.get_running_loop()
        found = self._coalescers.get(loop)
        if found is None or found.is_closed:
            for other in [each for each in self._coalescers if each.is_closed()]:
                del self._coalescers[other]
            found = self._coalescers[loop] = self._new()
        return found

    def _new(self) -> Coalescer[T, R]:
        return Coalescer(self._function, **self._options)


class CoalescedMethod(Generic[S, T, R]):
    """A method of one item. Each instance has a `Coalesced` of its own, in its `__dict__`."""

    def __init__(self, function: ListMethod[S, T, R], options: CoalescerOptions) -> None:
        self.__doc__ = function.__doc__
        self._function = function
        self._options = options
        self._name = function.__name__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> CoalescedMethod[S, T, R]: ...
    @overload
    def __get__(self, instance: S, owner: type) -> Coalesced[T, R]: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        bound: Coalesced[T, R] = Coalesced(
            functools.partial(self._function, instance), self._options
        )
        try:
            # Found before this descriptor from now on. The instance holds it, and not the reverse,
            # so that both go together.
            return instance.__dict__.setdefault(self._name, bound)
        except AttributeError:
            raise TypeError(
                f"{owner.__name__} has __slots__ without __dict__: there is no place for the "
                f"callers of {self._name}"
            ) from None


class Decorator(Protocol):
    """What `coalesce(...)` makes: for a function, and for a method."""

    @overload
    def __call__(self, function: ListMethod[S, T, R]) -> CoalescedMethod[S, T, R]: ...
    @overload
    def __call__(self, function: ListFunction[T, R]) -> Coalesced[T, R]: ...


def coalesce(**options: Unpack[CoalescerOptions]) -> Decorator:
    """Makes an async function (or method) of a list one of a single item.

        @streams.coalesce(max_items=20, max_wait_ms=10)
        async def label(texts: Sequence[str]) -> list[str]: ...

        await label("a text")

    Raises ValueError and TypeError for those that
    cannot be used, where it stands.
    """

    def decorate(function: Any) -> Any:
        if _is_method(function):
            Coalescer(function, **options)  # raises for options that cannot be used
            return CoalescedMethod(function, options)
        return Coalesced(function, options)

    return decorate


def _is_method(function: Callable[..., Any]) -> bool:
    """Whether it is defined in a class body: its qualified name says so."""
    before, _, _ = function.__qualname__.rpartition(".")
    return bool(before) and not before.endswith("<locals>")
