"""The paths of the APIs and their operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import web

from streams.simulator import batch_endpoints, embeddings, messages, models
from streams.simulator.calls import Call
from streams.simulator.script import Rule
from streams.simulator.simulation import Simulation
from streams.simulator.wire import Provider, RefusalError, Reply

MAX_BYTES: Final = 32 * 2**20
MAX_BATCH_BYTES: Final = 256 * 2**20

Respond = Callable[[Simulation, Call, Rule | None], Awaitable[Reply]]
Stream = Callable[
    [Simulation, Call, web.BaseRequest, Reply, dict[str, str], Rule | None],
    Awaitable[web.StreamResponse],
]


class Endpoint(NamedTuple):
    """One operation of an API. `counted`: it is a call to a model, with latency and limits.
    `stream`: sends the reply piece by piece; None: as a whole."""

    name: str
    provider: Provider
    counted: bool
    respond: Respond
    stream: Stream | None = None


async def _nothing(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    raise RefusalError(404, "Not found")


_OTHER: Final = Endpoint("other", "anthropic", False, _nothing)
_MODELS: Final = "/v1/models/"
_BATCHES: Final = "/v1/messages/batches/"

_EXACT: Final[Mapping[tuple[str, str], Endpoint]] = {
    ("POST", "/v1/messages"): Endpoint("messages", "anthropic", True, messages.create),
    ("POST", "/v1/messages/count_tokens"): Endpoint(
        "count_tokens", "anthropic", True, messages.count_tokens
    ),
    ("POST", "/v1/embeddings"): Endpoint("embeddings", "voyage", True, embeddings.embed),
    ("POST", "/v1/contextualizedembeddings"): Endpoint(
        "contextualized", "voyage", True, embeddings.contextualized
    ),
    ("POST", "/v1/multimodalembeddings"): Endpoint(
        "multimodal", "voyage", True, embeddings.multimodal
    ),
    ("POST", "/v1/rerank"): Endpoint("rerank", "voyage", True, embeddings.rerank),
    ("POST", "/v1/messages/batches"): Endpoint(
        "batches", "anthropic", False, batch_endpoints.create
    ),
    ("GET", "/v1/messages/batches"): Endpoint(
        "batches", "anthropic", False, batch_endpoints.list_batches
    ),
    ("GET", "/v1/models"): Endpoint("models", "anthropic", False, models.list_models),
}
_ONE_MODEL: Final = Endpoint("models", "anthropic", False, models.one_model)
_ONE_BATCH: Final[Mapping[tuple[str, str], Endpoint]] = {
    ("GET", ""): Endpoint("batch", "anthropic", False, batch_endpoints.retrieve),
    ("DELETE", ""): Endpoint("batch", "anthropic", False, batch_endpoints.delete),
    ("POST", "cancel"): Endpoint("batch", "anthropic", False, batch_endpoints.cancel),
    ("GET", "results"): Endpoint(
        "batch_results",
        "anthropic",
        False,
        batch_endpoints.results,
        batch_endpoints.send_results,
    ),
}


def find(method: str, path: str) -> tuple[Endpoint, str]:
    """The endpoint, and the id in the path (empty where there is none)."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact, ""
    if method == "GET" and path.startswith(_MODELS):
        return _ONE_MODEL, path.removeprefix(_MODELS)
    if path.startswith(_BATCHES):
        name, _, operation = path.removeprefix(_BATCHES).partition("/")
        return _ONE_BATCH.get((method, operation), _OTHER), name
    return _OTHER, ""


def max_bytes(endpoint: str) -> int:
    """The largest body that an endpoint takes."""
    return MAX_BATCH_BYTES if endpoint == "batches" else MAX_BYTES
