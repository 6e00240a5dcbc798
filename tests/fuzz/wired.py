"""The real providers over the real SDKs, with the wire in memory: no socket, no loop, no wait.

Nothing in such a call ever waits, so a coroutine runs to its end in one go (`driven`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

import aiohttp
import anthropic
import httpx2
import voyageai

from streams.errors import CallError
from streams.operations import Prompt, Request, Response
from streams.providers import Params, WireReply
from streams.providers.anthropic import AnthropicProvider, Line, stop_redirect
from streams.providers.api_key import ApiKey
from streams.providers.egress import Egress
from streams.providers.voyage import StrictSession, VoyageProvider
from tests.fuzz.api import BrokenApi, Wire

T = TypeVar("T")
KEY = "sk-ant-key-of-the-fuzzer"
LOST = 0


def driven(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("the call waits for something")


class Wired:
    """One provider and what answers behind it. `defect`: what came out of it that is no
    `CallError`; `last`: the response it read last."""

    def __init__(self, operation: str) -> None:
        self.random = Random()
        self.api: BrokenApi | None = None
        self.count = 0
        self.last: Wire | None = None
        self.defect: Exception | None = None
        self._embeds = operation == "embed"
        self._provider: AnthropicProvider | VoyageProvider
        if self._embeds:
            self._provider = self._voyage()
        else:
            self._provider = self._anthropic()
            # A client's first call asks for the platform in a thread: that one waits.
            self.api, self.count = BrokenApi(self.random, operation, patience=0), 1
            params = self._provider.request(Prompt("", "", {}, 10))
            asyncio.run(self._provider.send(params, 5.0))
        self.operations = self._provider.operations
        self.account = self._provider.account

    def request(self, request: Request) -> Params:
        return self._provider.request(request)

    async def send(self, params: Params, timeout_s: float) -> WireReply:
        try:
            return await self._provider.send(params, timeout_s)
        except CallError:
            raise
        except Exception as error:
            self.defect = error
            raise

    def read(self, message: Any) -> Response:
        try:
            return self._provider.read(message)
        except CallError:
            raise
        except Exception as error:
            self.defect = error
            raise

    def describe(self) -> dict[str, Any]:
        return self._provider.describe()

    async def aclose(self) -> None: ...

    def right(self) -> dict[int, Any]:
        """What the last reply held beyond doubt."""
        assert self.api is not None
        return self.api.right

    def _answer(self) -> Wire:
        assert self.api is not None
        self.last = self.api.answer(self.count, embeds=self._embeds)
        return self.last

    def _anthropic(self) -> AnthropicProvider:
        def respond(_request: httpx2.Request) -> httpx2.Response:
            wire = self._answer()
            if wire.status == LOST:
                lost = [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.ConnectTimeout,
                        httpx2.RemoteProtocolError, httpx2.ReadError]  # fmt: skip
                raise self.random.choice(lost)("lost")
            return httpx2.Response(wire.status, headers=wire.headers, content=wire.body)

        http = httpx2.AsyncClient(
            transport=httpx2.MockTransport(respond), event_hooks={"response": [stop_redirect]}
        )
        client = anthropic.AsyncAnthropic(
            api_key=KEY, max_retries=0, http_client=http, open_telemetry=False
        )
        return AnthropicProvider(Line(client, ApiKey(KEY)), "claude-haiku-5-5")

    def _voyage(self) -> VoyageProvider:
        way = Egress(ApiKey(KEY), "https://api.voyageai.com/v1")
        return VoyageProvider(voyageai, "voyage-4", way, session=StrictSession(_Http(self)))


class _Http:
    """As much of aiohttp's session as is used."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired

    async def request(self, **_arguments: Any) -> Any:
        wire = self._wired._answer()
        if wire.status == LOST:
            lost = [aiohttp.ServerDisconnectedError, aiohttp.ConnectionTimeoutError, TimeoutError,
                    aiohttp.ClientPayloadError, ConnectionResetError]  # fmt: skip
            raise self._wired.random.choice(lost)()
        return _Response(wire)


class _Response:
    def __init__(self, wire: Wire) -> None:
        self.status = wire.status
        self.headers = {name.title(): value for name, value in wire.headers.items()}
        self.content = wire.body

    async def read(self) -> bytes:
        return self.content

    def release(self) -> None: ...
