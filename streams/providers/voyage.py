"""Voyage through the official SDK: one call of the embeddings endpoint per request, no retries.

The SDK (0.5) misreads much of what can go wrong: a 529 passes as success, an error page loses its
headers, a reply cut short is printed to stderr. Therefore it is given a session of ours, the way it
provides for (the `aiosession` variable): shared by all calls, where its own opens a connection for
each, and strict, so that the SDK sees complete replies with status 200 alone. Its resource class
is called instead of its client, which turns each vector into a list of floats and drops `index`.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from streams.codec.strict_json import BOM
from streams.errors import CallError, Fault
from streams.operations.exchange import Request, Texts, Vectors
from streams.providers.connection_faults import connection_failure
from streams.providers.egress import Egress, sdk_and_egress
from streams.providers.port import (
    CallFacts,
    Params,
    ProviderSettings,
    TaskModel,
    WireReply,
    account_of,
    json_of,
)
from streams.providers.prices import Price, price_of, voyage_usage
from streams.providers.proxies import Proxy
from streams.providers.redirects import MAX_REDIRECTS, followed
from streams.providers.sdk_faults import call_error, no_message
from streams.providers.secrecy import reworded, without_keys

_SDK_TIMEOUT_FACTOR: Final = 1.25
_CONNECT_S: Final = 10.0

MAX_TEXTS: Final = 1_000
"""In one call, of any model.
https://www.mongodb.com/docs/api/doc/atlas-embedding-and-reranking-api/"""
MAX_TOKENS: Final[
    Mapping[str, int]
] = {  # in one call; the longest prefix of the model's name counts
    "voyage-4-lite": 1_000_000,
    "voyage-3.5-lite": 1_000_000,
    "voyage-4-large": 120_000,
    "voyage-4": 320_000,
    "voyage-3.5": 320_000,
    "": 120_000,
}


def max_tokens(model: str) -> int:
    return MAX_TOKENS[max((p for p in MAX_TOKENS if model.startswith(p)), key=len)]


class VoyageProvider:
    """Carries texts to one Voyage model. `session`: None: one of its own, made with the first
    call. `price`: None: what its calls cost is not known."""

    operations: Final = frozenset({"embed"})

    def __init__(
        self,
        sdk: Any,
        model: str,
        way: Egress,
        session: StrictSession | None = None,
        *,
        price: Price | None = None,
    ) -> None:
        self._sdk = sdk
        self._model = model
        self._price = price
        self._way = way
        self._session = session
        self.call_facts = CallFacts(MAX_TEXTS, max_tokens(model))
        self.account = account_of("voyage", way.base_url, way.key.source, model)

    def request(self, request: Request) -> dict[str, Any]:
        if not isinstance(request, Texts):
            raise CallError(Fault.REJECTED, "Voyage writes no texts")
        return {
            "model": self._model,
            "input": list(request.texts),
            "input_type": request.input_type,
            "output_dimension": request.dimension,
            "output_dtype": "float",
            # A text above the model's context is refused, not cut in silence.
            "truncation": False,
            "encoding_format": "base64",
        }

    async def send(self, params: Params, timeout_s: float) -> WireReply:
        if self._session is None:  # here, since a session belongs to the loop of its creation
            self._session = strict_session(self._way)
        key = self._way.key.current()
        # A context variable: each call runs in its own task, so it is set in each.
        token = self._sdk.aiosession.set(self._session)
        try:
            reply = await self._sdk.Embedding.acreate(
                api_key=key,
                base_url=self._way.base_url,
                request_timeout=timeout_s * _SDK_TIMEOUT_FACTOR + 1.0,
                **params,
            )
        except Exception as error:
            failure = failure_of(error)
            failure = reworded(failure, without_keys(failure.message, [key]))
        else:
            if is_reply(reply):
                return WireReply(reply)
            failure = no_message(200, {}, reply, now=datetime.now(UTC))
        finally:
            self._sdk.aiosession.reset(token)
        # Outside the handler: the SDK's error holds texts, and must not be the context of ours.
        raise failure

    def read(self, message: Any) -> Vectors:
        if not isinstance(message, Mapping):
            raise CallError(Fault.BAD_REPLY, "the reply is no JSON object", status=200)
        usage = voyage_usage(self._price, message.get("usage"))
        return Vectors(vectors_of(message.get("data")), usage)

    def describe(self) -> dict[str, Any]:
        return {"provider": "voyage", "model": self._model, "settings": {"truncation": False}}

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class StrictSession:
    """The HTTP session for the SDK: a response is complete and has status 200, or our error is
    raised."""

    def __init__(self, http: aiohttp.ClientSession, proxy: Proxy | None = None) -> None:
        self._session = http
        self._proxy = proxy

    async def request(self, *, timeout: aiohttp.ClientTimeout, **arguments: Any) -> CompleteReply:
        total = timeout.total
        connect = _CONNECT_S if total is None else min(total, _CONNECT_S)
        limits = aiohttp.ClientTimeout(total=total, sock_connect=connect)
        if (proxy := self._proxy) is not None:
            arguments.update(proxy=proxy.url, proxy_headers=proxy.headers)
        try:
            response = await self._follow(limits, arguments)
            body = await response.read()
        except Exception as error:
            failure = connection_failure(error, self._proxy) or failure_of(error)
        else:
            if response.status == 200:
                return CompleteReply(body)
            failure = call_error(
                response.status, response.headers, json_of(body), now=datetime.now(UTC)
            )
            response.release()
        raise failure

    async def _follow(
        self, limits: aiohttp.ClientTimeout, arguments: Mapping[str, Any]
    ) -> aiohttp.ClientResponse:
        """The response, after the redirects that are followed."""
        arguments = {**arguments, "allow_redirects": False}
        for _ in range(MAX_REDIRECTS):
            response = await self._session.request(timeout=limits, **arguments)
            location = response.headers.get("Location")
            url = followed(response.status, str(arguments["url"]), location)
            if url is None:
                break
            response.release()
            arguments["url"] = url
        return response

    async def close(self) -> None:
        await self._session.close()


class CompleteReply:
    """As much of a response as the SDK reads. It is JSON, whatever its headers call it, and has no
    byte order mark, which the SDK does not skip."""

    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.content = body.removeprefix(BOM)

    async def read(self) -> bytes:
        return self.content

    def release(self) -> None: ...


def strict_session(way: Egress) -> StrictSession:
    """A session without a limit of its own: the engine limits the calls in flight. It does not
    look at the environment: `way` has what that says."""
    connector = aiohttp.TCPConnector(limit=0, ssl=way.tls or True)
    return StrictSession(aiohttp.ClientSession(connector=connector), way.proxy)


def is_reply(reply: Any) -> bool:
    """Whether a reply is one of embeddings, however bad. If not, it is not the API's: gateways
    wrap their errors in forms like {"code": 500, "data": null}."""
    if not isinstance(reply, Mapping):
        return False
    if isinstance(reply.get("data"), list):
        return True
    return reply.get("object") == "list" and reply.get("error") is None


def vectors_of(data: Any) -> list[Any] | None:
    """The vectors in the order of the texts, by the `index` of each; without any index in the order
    of the reply. Base64 becomes bytes; an invalid string stays, and is refused later. None: the
    reply has no list of vectors, or its indices do not number them."""
    if not isinstance(data, list) or not all(isinstance(entry, Mapping) for entry in data):
        return None
    places = [entry.get("index") for entry in data]
    vectors = [_bytes(entry.get("embedding")) for entry in data]
    if places == list(range(len(data))) or not any(place is not None for place in places):
        return vectors
    ordered: list[Any] = [None] * len(data)
    for place, vector in zip(places, vectors, strict=True):
        if type(place) is not int or not 0 <= place < len(data) or ordered[place] is not None:
            return None
        ordered[place] = vector if vector is not None else b""
    return ordered


def _bytes(embedding: Any) -> Any:
    if not isinstance(embedding, str):
        return embedding
    try:
        return binascii.a2b_base64(embedding, strict_mode=True)
    except (binascii.Error, ValueError):
        return b""


def failure_of(error: Exception) -> CallError:
    """Any error of the SDK or its session, as the one error that the engine knows."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return CallError(Fault.CONNECTION, "no connection in time")
    if isinstance(error, TimeoutError):
        return CallError(Fault.TIMEOUT, "no reply in time")
    if isinstance(error, aiohttp.InvalidURL):
        return CallError(Fault.ACCOUNT, "provider.voyage.base_url is no address")
    if isinstance(error, aiohttp.ClientError | OSError):
        return CallError(Fault.CONNECTION, f"the connection failed ({type(error).__name__})")
    # The session lets only complete replies pass, so this one is no JSON object.
    return CallError(Fault.CONNECTION, f"HTTP 200 with no JSON ({type(error).__name__})")


def make_voyage(
    task: TaskModel, settings: ProviderSettings | None, environ: Mapping[str, str]
) -> VoyageProvider:
    """The provider for a task. Raises ConfigError for a missing SDK or key, and for a way to the
    API that cannot be gone."""
    voyageai, way = sdk_and_egress("voyage", task, settings, environ)
    return VoyageProvider(voyageai, task.model, way, price=price_of(task.model, task.price))
