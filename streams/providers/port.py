"""The port that every provider fits, and what a provider is made from.

    Prompt, Texts ─► request ─► params ─► send ─► the API's message ─► read ─► Completion, Vectors

`request` and `read` do no I/O, so that the same params can travel as a call or within a Message
Batch, and the same reading takes the reply of either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from streams.codec.strict_json import read
from streams.model import RateLimits
from streams.operations.exchange import Request, Response
from streams.providers.prices import GivenPrice

Params = Mapping[str, Any]
"""One request as the SDK's keyword arguments, in values that JSON has: what a Message Batch calls
`params`."""

Account = tuple[str, ...]
"""The account that a call's limits belong to: (provider, base_url, source of the key, model).
Callers with equal accounts share pauses and limits."""


class WireReply(NamedTuple):
    """The result of one call. `message`: the API's reply as JSON values, not checked.
    `rate_limits`: from its headers; None: no such headers."""

    message: Any
    rate_limits: RateLimits | None = None


class CallFacts(NamedTuple):
    """What an API says of the calls of one model. `max_items`, `max_tokens`: of one call, input;
    None: more than anybody sends. `thinking_tokens`: room that a request has for thinking, beside
    that for its answers."""

    max_items: int | None = None
    max_tokens: int | None = None
    thinking_tokens: int = 0


class Provider(Protocol):
    """One API behind one task. Made outside the event loop, used in one loop, closed once. It may
    have `call_facts`, a `CallFacts`; without them its calls have no limits of their own."""

    @property
    def operations(self) -> frozenset[str]:
        """The operations that it supports."""
        ...

    @property
    def account(self) -> Account:
        """The account that its calls' limits belong to."""
        ...

    def request(self, request: Request) -> Params:
        """The API's request. Raises CallError REJECTED for a request that the provider never
        sends."""
        ...

    async def send(self, params: Params, timeout_s: float) -> WireReply:
        """Makes one call, without retries of its own.

        `timeout_s`: the caller gives up first, after this many seconds; the provider's own limit
        lies above it. Raises CallError when the call failed as a whole; its message holds neither
        keys nor, as far as the provider knows, texts.
        """
        ...

    def read(self, message: Any) -> Response:
        """The API's reply, from a call or from the result of a batch, whatever it holds. Raises
        CallError BAD_REPLY if it is not a reply at all."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the results depend on beside the operation, as JSON: `provider`, and if they exist
        `model` and `settings`, for `streams.codec.fingerprint`."""
        ...

    async def aclose(self) -> None:
        """Closes its connections; calls in flight fail."""
        ...


class DirectProvider(Protocol):
    """A provider in one step, for a user's own API without batches: `send` takes the operation's
    request and returns the operation's response."""

    @property
    def operations(self) -> frozenset[str]: ...
    async def send(self, request: Request, timeout_s: float) -> Response: ...
    def describe(self) -> dict[str, Any]: ...
    async def aclose(self) -> None: ...


class Direct:
    """A `DirectProvider` behind the port. Its params are the operation's request itself: it can
    only be sent as a call."""

    def __init__(self, provider: DirectProvider, account: Account) -> None:
        self._provider = provider
        self.operations = provider.operations
        self.account = account

    def request(self, request: Request) -> Params:
        return {"request": request}

    async def send(self, params: Params, timeout_s: float) -> WireReply:
        return WireReply(await self._provider.send(params["request"], timeout_s))

    def read(self, message: Any) -> Response:
        response: Response = message
        return response

    def describe(self) -> dict[str, Any]:
        return self._provider.describe()

    async def aclose(self) -> None:
        await self._provider.aclose()


class ProviderSettings(Protocol):
    """The keys under `[provider.<name>]`. `base_url`: None: the SDK's own."""

    @property
    def base_url(self) -> str | None: ...
    @property
    def api_key_file(self) -> str | os.PathLike[str] | None: ...


class TaskModel(Protocol):
    """The attributes of a task that a provider reads. `price`: what the user says its model costs;
    None: the price list counts."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def price(self) -> GivenPrice | None: ...


ProviderFactory = Callable[
    [TaskModel, ProviderSettings | None, Mapping[str, str]], Provider | DirectProvider
]
"""Makes a provider from a task, the provider's settings (None: there are none) and the environment.
Raises ConfigError with the lines to show."""


def json_of(body: bytes) -> Any:
    """A body as JSON values; None: it is not JSON."""
    try:
        return read(body)
    except ValueError:
        return None


def kind_of(body: bytes) -> str:
    """What a body is that is not JSON, for a person."""
    start = body.lstrip()[:1]
    if not start:
        return "an empty body"
    return "a page" if start == b"<" else "no JSON, or a part of it"


def account_of(provider: str, base_url: str, key_source: str, model: str) -> Account:
    """The account of a key. `key_source`: `ApiKey.source`, so that the account stays the same
    while the key in a file changes."""
    return provider, base_url, key_source, model
