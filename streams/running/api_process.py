"""An operation on an API as a `process`: what a task does to its items, for every door.

    items ─► texts ─► TaskCaller (request, send, read) ─► answers ─► results in Python's types

It asks again, splits, pauses and counts as a task does, since the door's engine does it.
Connections belong to an event loop: the first user in a loop opens them, the last one closes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from streams.codec.pointers import MissingError, Text
from streams.codec.records import estimate_tokens, text_bytes
from streams.codec.scripts import script_of
from streams.core.account import Account
from streams.core.call import Slot
from streams.core.limits import Limits
from streams.errors import CallError, ConfigError, ItemError
from streams.model import Reply, Usage
from streams.providers.batch_port import BatchApi
from streams.providers.prices import Price
from streams.providers.task_caller import TaskCaller
from streams.running.accounts import account_of_caller
from streams.running.api_limits import Limits as ApiLimits
from streams.running.item_texts import text_of
from streams.running.map import map_batches
from streams.running.own_budgets import check_price, money_of
from streams.running.work import Options, OwnWork, limits_of

R = TypeVar("R")

MAX_ATTEMPTS = 6


class Suits(NamedTuple):
    """What suits an operation where a door's caller says nothing."""

    max_items: int
    max_tokens: int
    max_bytes: int = 1_000_000
    timeout_s: float = 60.0


class ProcessUsage(NamedTuple):
    """What a process took so far, counted at each reply. `cost_usd`: list prices; None: the model's
    price is not known, or a reply did not say its tokens."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class TextItem(NamedTuple):
    """An item as an operation sees it."""

    text: str


class ApiProcess(OwnWork, Generic[R]):
    """An operation on an API, made by `streams.classify`, `extract`, `embed` or `generate`.

    Every door takes it, and asks again, splits and pauses as a task does. Called itself, it answers
    a list of any length: one result or `ItemError` per item, in order. Items: strings, or objects
    whose text `text` names.

    `async with` keeps its connections open between uses; without it they close when nobody in this
    event loop uses it.
    """

    def __init__(
        self,
        make_caller: Callable[[], TaskCaller],
        result: Callable[[Any], R],
        suits: Suits,
        *,
        name: str,
        text: str | None,
        priced: bool,
        make_batches: Callable[[], BatchApi] | None = None,
        allowed: ApiLimits | None = None,
        price: Price | None = None,
    ) -> None:
        check_price(allowed, price)
        self.price = price
        self.name = name
        self._make_caller = make_caller
        self._make_batches = make_batches
        self._result = result
        self._suits = suits
        self._text = None if text is None else Text(text)
        self.has_price = priced
        self._allowed = allowed
        self._calls = 0
        self._total = Usage(0, 0, 0 if priced else None)
        self._connections: dict[asyncio.AbstractEventLoop, _Connection] = {}

    @property
    def usage(self) -> ProcessUsage:
        """Calls, tokens and cost so far, in all doors and loops."""
        total = self._total
        nano = total.cost_nano_usd
        cost = None if nano is None else nano / 1e9
        return ProcessUsage(self._calls, total.input_tokens, total.output_tokens, cost)

    async def __call__(self, items: Sequence[Any]) -> list[R | ItemError]:
        """One result per item, in order, in as many calls as suit it, five at once."""
        return await map_batches(self, items)

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes its connections in this event loop; calls under way in it fail."""
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.caller.aclose()

    def check(self, options: Options) -> None:
        if options.tokens is not None:
            raise ValueError("tokens: an operation counts its own")
        check_price(options.limits, self.price)
        self.limits(options)

    def work(self, options: Options) -> ApiWork:
        self.check(options)
        allowed = options.limits or self._allowed
        return ApiWork(self, self.limits(options), self._timeout_s(options), allowed)

    def _timeout_s(self, options: Options) -> float:
        return self._suits.timeout_s if options.timeout_s is None else options.timeout_s

    def batches(self) -> BatchApi:
        """The Message Batches of its account, to be closed by the caller. Raises ConfigError where
        its provider has none, or the environment lacks something."""
        if self._make_batches is None:
            raise ConfigError([f"{self.name}: there are no Message Batches for it"])
        return self._make_batches()

    def limits(self, options: Options) -> Limits:
        suits = self._suits
        limits = limits_of(
            options,
            max_items=suits.max_items,
            max_attempts=MAX_ATTEMPTS,
            split=True,
            max_tokens=suits.max_tokens,
            max_bytes=suits.max_bytes,
        )
        return replace(limits, adaptive=options.adaptive, slow_s=self._timeout_s(options) / 2)

    # -- for its works -------------------------------------------------------------------------

    def text_of(self, item: Any) -> str:
        """Raises MissingError or ValueError for an item without a text."""
        return text_of(item, self._text)

    def values(self, outcomes: Iterable[Any]) -> list[Any]:
        """What the caller gets for these outcomes: a result or an `ItemError` each."""
        result = self._result
        return [each if isinstance(each, ItemError) else result(each) for each in outcomes]

    def count(self, usage: Usage | None) -> None:
        self._calls += 1 if usage is None else usage.calls
        if usage is not None:
            total, cost = self._total, usage.cost_nano_usd
            if cost is not None and total.cost_nano_usd is not None:
                cost += total.cost_nano_usd
            self._total = Usage(
                total.input_tokens + usage.input_tokens,
                total.output_tokens + usage.output_tokens,
                None if total.cost_nano_usd is None else cost,
            )

    def use(self) -> TaskCaller:
        """The caller of the running loop; `leave` once it is no longer used."""
        connection = self._open()
        return connection.caller

    async def leave(self, caller: TaskCaller) -> None:
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None or connection.caller is not caller:
            return  # closed by `aclose`
        connection.users -= 1
        if not connection.users:
            del self._connections[loop]
            await caller.aclose()

    def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None:
            for other in [each for each in self._connections if each.is_closed()]:
                del self._connections[other]
            connection = self._connections[loop] = _Connection(self._make_caller())
        connection.users += 1
        return connection


class _Connection:
    """The connections of one loop, and how many use them."""

    def __init__(self, caller: TaskCaller) -> None:
        self.caller = caller
        self.users = 0


class ApiWork:
    """One door's use of an `ApiProcess`. `task_caller`: of its calls; what is called by it is not
    in the process's usage by itself."""

    def __init__(
        self,
        process: ApiProcess[Any],
        limits: Limits,
        timeout_s: float,
        allowed: ApiLimits | None,
    ) -> None:
        self.timeout_s: float | None = timeout_s
        self.has_price = process.has_price
        self._process = process
        self.task_caller = process.use()
        self.limits = limits = self.task_caller.fitted(limits)
        self.account: Account | None = account_of_caller(self.task_caller.account, limits, allowed)
        self.money = money_of(allowed, process.price)

    async def caller(self, items: list[Any]) -> Reply:
        try:
            reply = await self.task_caller(items)
        except CallError as error:
            self._process.count(error.usage)
            raise
        self._process.count(reply.usage)
        return reply

    def weigh(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            try:
                text = self._process.text_of(slot.item)
            except MissingError as error:
                slot.outcome = ItemError("no_text", f"the item has nothing at {error.pointer}")
            except ValueError as error:
                slot.outcome = ItemError("no_text", str(error))
            else:
                slot.item = TextItem(text)
                slot.tokens = estimate_tokens(text)
                slot.size = text_bytes(text)
                slot.script = script_of(text, slot.size)

    def results(self, slots: Sequence[Slot]) -> list[Any]:
        return self._process.values(slot.outcome for slot in slots)

    def describe(self) -> dict[str, Any]:
        return self.task_caller.describe()

    async def close(self) -> None:
        await self._process.leave(self.task_caller)
