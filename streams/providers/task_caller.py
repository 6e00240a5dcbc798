"""The calls of one task: its operation and its provider, with one `send` between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.core.limits import Limits
from streams.errors import CallError, Fault
from streams.model import Item, Reply, Usage
from streams.operations.exchange import Completion, Operation, Response, Vectors
from streams.providers.call_shape import fitted
from streams.providers.port import Account, CallFacts, Params, Provider, WireReply
from streams.providers.prices import Price
from streams.providers.secrecy import reworded, without_texts
from streams.user_code import PASSES


class TaskCaller:
    """Makes the calls of one task: `await caller(items)`, one call each, from any number of asyncio
    tasks at once. The runner ends a call that outlasts `timeout_s`; the SDK's own limit lies above.

    `request` and `read` are the two halves of a call, for items whose request travels in another
    way: within a Message Batch. `price`: of replies that do not say what they cost; None: as they
    say.
    """

    def __init__(
        self,
        operation: Operation,
        provider: Provider,
        timeout_s: float,
        *,
        price: Price | None = None,
    ) -> None:
        self._price = price
        self._operation = operation
        self._provider = provider
        self._timeout_s = timeout_s

    @property
    def account(self) -> Account:
        """The account that the calls' limits belong to; it does not show the key."""
        return self._provider.account

    def fitted(self, limits: Limits) -> Limits:
        """The task's limits with the shape of its calls, and within what its API takes."""
        facts = getattr(self._provider, "call_facts", None) or CallFacts()
        return fitted(limits, self._operation, facts)

    def request(self, items: Sequence[Item]) -> Params:
        """The one request for these items, at least one."""
        return self._provider.request(self._operation.request(items))

    def read(self, items: Sequence[Item], message: Any) -> Reply:
        """The answers to these items in the API's reply to their request, and their cost. Raises
        CallError for a reply without a usable answer for any item, with its `usage`."""
        response = self._response(message)
        try:
            answers = self._operation.read(items, response)
        except CallError as error:
            error.usage = response.usage
            raise
        return Reply(answers, response.usage)

    async def __call__(self, items: Sequence[Item]) -> Reply:
        """Raises CallError, with `usage` where the failed call was billed; nothing else."""
        if not items:
            return Reply([])
        wire = WireReply(None)
        try:
            wire = await self._send(items)
            return self.read(items, wire.message)._replace(rate_limits=wire.rate_limits)
        except CallError as error:
            failure = reworded(error, without_texts(error.message, items))
        # Raised outside the handler: the original error must not be the context of this one.
        failure.rate_limits = wire.rate_limits or failure.rate_limits
        raise failure

    def describe(self) -> dict[str, Any]:
        """What the results depend on: the keywords of `streams.codec.fingerprint.fingerprint`."""
        operation, provider = self._operation.describe(), self._provider.describe()
        settings = {**operation.get("settings", {}), **provider.get("settings", {})}
        return {**operation, **provider, "settings": settings}

    async def aclose(self) -> None:
        """Closes the connections; once, after the last call."""
        await self._provider.aclose()

    async def _send(self, items: Sequence[Item]) -> WireReply:
        try:
            wire: Any = await self._provider.send(self.request(items), self._timeout_s)
        except (*PASSES, CallError):
            raise
        except BaseException as error:
            failure = _defect(type(error).__name__)
        else:
            if isinstance(wire, WireReply):
                return wire
            failure = _defect(f"send returned {type(wire).__name__}")
        raise failure

    def _response(self, message: Any) -> Response:
        try:
            response: Any = self._provider.read(message)
        except (*PASSES, CallError):
            raise
        except BaseException as error:
            failure = _defect(type(error).__name__)
        else:
            if isinstance(response, Completion | Vectors):
                return response._replace(usage=self._priced(response.usage))
            failure = _defect(f"its response is {type(response).__name__}")
        raise failure

    def _priced(self, usage: Usage | None) -> Usage | None:
        if self._price is None or usage is None or usage.cost_nano_usd is not None:
            return usage
        cost = self._price.nano_usd(usage.input_tokens, usage.output_tokens)
        return usage._replace(cost_nano_usd=cost)


def _defect(what: str) -> CallError:
    """A defect of a registered provider: the engine knows only CallError, and sys.exit() would end
    the worker (`streams.user_code`)."""
    return CallError(Fault.BAD_REPLY, f"the provider failed: {what}")
