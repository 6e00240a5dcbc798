"""Claude through the official SDK: one call of `messages.create` per request, nothing retried.

The SDK is imported when a provider is made, not before: it takes 1.7 s and 77 MB. The reply's body
is read as JSON by us: the SDK's typed message loses what it does not know, and judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streams.errors import CallError, Fault
from streams.operations.exchange import Completion, Prompt, Request
from streams.operations.prompts import MAX_OUTPUT_TOKENS
from streams.providers.api_key import ApiKey
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
    kind_of,
)
from streams.providers.prices import Price, claude_usage, price_of
from streams.providers.proxies import Proxy
from streams.providers.redirects import followed
from streams.providers.response_headers import rate_limits
from streams.providers.sdk_faults import call_error, no_message
from streams.providers.secrecy import reworded, without_keys

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_SDK_TIMEOUT_FACTOR: Final = 1.25
"""The SDK's own timeout as a multiple of the task's: the task's must fire first."""
_CONNECT_S: Final = 10.0


class Traits(NamedTuple):
    """Properties of a model that the caller cannot change.

    `thinking`, `effort`: the settings that reduce its thinking as far as possible; None: not sent.
    `thinking_tokens`: room for thinking that cannot be switched off; it counts in max_tokens.
    `cache_min_tokens`: the shortest prefix that is cached, in tokens; shorter ones silently are
    not.
    """

    thinking: str | None = None
    effort: str | None = None
    thinking_tokens: int = 0
    cache_min_tokens: int = 1_024


_TRAITS: Final[Mapping[str, Traits]] = {  # the longest prefix of the model's name counts
    "claude-haiku-5-5": Traits("disabled", cache_min_tokens=512),
    "claude-sonnet-5-5": Traits("between_tools"),
    "claude-haiku-4-5": Traits(cache_min_tokens=4_096),
    "claude-sonnet-4-": Traits(),
    "claude-opus-4-": Traits(cache_min_tokens=4_096),
    "claude-opus-": Traits(effort="low", thinking_tokens=8_192, cache_min_tokens=512),
    "claude-fable-": Traits(effort="low", thinking_tokens=8_192, cache_min_tokens=512),
    "": Traits(thinking_tokens=8_192, cache_min_tokens=4_096),  # an unknown model: it may think
}


def traits(model: str) -> Traits:
    return _TRAITS[max((p for p in _TRAITS if model.startswith(p)), key=len)]


class Line(NamedTuple):
    """The SDK's client, and what it needs for every call. `proxy`: None: called directly."""

    client: AsyncAnthropic
    key: ApiKey
    proxy: Proxy | None = None

    def ready(self) -> AsyncAnthropic:
        """The client, with the key as it is now."""
        self.client.api_key = self.key.current()
        return self.client

    def timeout(self, timeout_s: float) -> Any:
        """The SDK's own limits, where the caller gives up after `timeout_s`."""
        import anthropic

        own = timeout_s * _SDK_TIMEOUT_FACTOR + 1.0
        return anthropic.Timeout(own, connect=min(own, _CONNECT_S))

    def failure(self, error: Exception) -> CallError:
        """Any error of a call. To be raised outside the handler: the SDK's error, which holds the
        request with its texts and key, must not be the context of ours."""
        failure = connection_failure(error, self.proxy) or failure_of(error)
        keys = [self.key.current(), self.client.api_key or ""]
        return reworded(failure, without_keys(failure.message, keys))


class AnthropicProvider:
    """Carries prompts to one Claude model."""

    operations: Final = frozenset({"classify", "extract", "generate"})

    def __init__(self, line: Line, model: str, price: Price | None = None) -> None:
        """`price`: None: what its calls cost is not known."""
        self._line = line
        self._model = model
        self._price = price
        self._traits = traits(model)
        self.call_facts = CallFacts(thinking_tokens=self._traits.thinking_tokens)
        base_url = str(line.client.base_url)
        self.account = account_of("anthropic", base_url, line.key.source, model)

    def request(self, request: Request) -> dict[str, Any]:
        if not isinstance(request, Prompt):
            raise CallError(Fault.REJECTED, "Claude makes no embeddings")
        return message_params(self._model, self._traits, request)

    async def send(self, params: Params, timeout_s: float) -> WireReply:
        try:
            response = await self._line.ready().messages.with_raw_response.create(
                **params, timeout=self._line.timeout(timeout_s)
            )
            headers, body = response.headers, await response.read()
        except Exception as error:
            failure = self._line.failure(error)
        else:
            reply, now = json_of(body), datetime.now(UTC)
            if is_message(reply):
                return WireReply(reply, rate_limits(headers, now=now))
            failure = no_message(response.status_code, headers, reply, now=now, what=kind_of(body))
        raise failure

    def read(self, message: Any) -> Completion:
        return completion_of(self._price, message)

    def describe(self) -> dict[str, Any]:
        settings = {"thinking": self._traits.thinking, "effort": self._traits.effort}
        return {"provider": "anthropic", "model": self._model, "settings": settings}

    async def aclose(self) -> None:
        await self._line.client.close()


def message_params(model: str, model_traits: Traits, prompt: Prompt) -> dict[str, Any]:
    """The keywords of `messages.create`, and the `params` of a request in a Message Batch. No
    temperature, no prefill, no forced tool: the API of 2026-10 takes none of them."""
    output_config: dict[str, Any] = {
        "format": {"type": "json_schema", "schema": dict(prompt.schema)}
    }
    if model_traits.effort is not None:
        output_config["effort"] = model_traits.effort
    params: dict[str, Any] = {
        "model": model,
        "max_tokens": min(MAX_OUTPUT_TOKENS, prompt.max_tokens + model_traits.thinking_tokens),
        "system": _system(prompt.system, model_traits.cache_min_tokens),
        "messages": [{"role": "user", "content": prompt.user}],
        "output_config": output_config,
    }
    if model_traits.thinking is not None:
        params["thinking"] = {"type": model_traits.thinking}
    return params


def _system(text: str, cache_min_tokens: int) -> str | list[dict[str, Any]]:
    """With a cache mark if it is long enough (4 bytes to a token): on the block itself, since a
    mark on the request would include the items, and pay for writing them each time."""
    if len(text.encode()) // 4 < cache_min_tokens:
        return text
    return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]


def is_message(reply: Any) -> bool:
    """Whether a reply is a message, however bad its content. If not, it is not the API's: gateways
    wrap their errors in forms like {"type": "message", "error": ...} or {"content": null}."""
    if not isinstance(reply, Mapping):
        return False
    its_type = reply.get("type")
    if isinstance(reply.get("content"), list):
        return its_type in ("message", None)
    return its_type == "message" and reply.get("error") is None


def completion_of(price: Price | None, message: Any) -> Completion:
    """A message, not checked: of a call, or of a batch's result. Raises CallError BAD_REPLY if it
    is not a JSON object."""
    if not isinstance(message, Mapping):
        raise CallError(Fault.BAD_REPLY, "the reply is no JSON object", status=200)
    usage = claude_usage(price, message.get("usage"))
    return Completion(message.get("content"), message.get("stop_reason"), usage)


def failure_of(error: Exception) -> CallError:
    """Any error of the SDK, as the one error that the engine knows."""
    import anthropic

    if isinstance(error, CallError):
        return error
    if isinstance(error, anthropic.APIStatusError):
        return call_error(
            error.status_code, error.response.headers, error.body, now=datetime.now(UTC)
        )
    if isinstance(error.__cause__, CallError):
        return error.__cause__
    if isinstance(error, anthropic.APITimeoutError):
        cause = type(error.__cause__).__name__
        if cause in ("ConnectTimeout", "PoolTimeout"):  # the request was never sent
            return CallError(Fault.CONNECTION, f"no connection in time ({cause})")
        return CallError(Fault.TIMEOUT, "no reply in time")
    if isinstance(error, anthropic.APIConnectionError):
        cause = type(error.__cause__).__name__ if error.__cause__ else "no cause given"
        return CallError(Fault.CONNECTION, f"the connection failed ({cause})")
    if isinstance(error, UnicodeEncodeError):
        return CallError(Fault.REJECTED, "the request cannot be written as UTF-8")
    return CallError(Fault.BAD_REPLY, f"the SDK failed: {type(error).__name__}")


def make_anthropic(
    task: TaskModel, settings: ProviderSettings | None, environ: Mapping[str, str]
) -> AnthropicProvider:
    """The provider for a task. Raises ConfigError as `line_to`."""
    line = line_to(task, settings, environ)
    return AnthropicProvider(line, task.model, price_of(task.model, task.price))


def line_to(task: TaskModel, settings: ProviderSettings | None, environ: Mapping[str, str]) -> Line:
    """The line of a task. Raises ConfigError for a missing SDK or key, and for a way to the API
    that cannot be gone."""
    anthropic, way = sdk_and_egress("anthropic", task, settings, environ)
    traced = environ.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() in ("1", "true", "on")
    client = anthropic.AsyncAnthropic(
        api_key=way.key.current(),
        base_url=way.base_url,
        max_retries=0,
        open_telemetry=None if traced else False,
        http_client=_http_client(way),
    )
    return Line(client, way.key, way.proxy)


def _http_client(way: Egress) -> Any:
    """The SDK's aiohttp client: twice as many calls per second as its default one, and as fast with
    hundreds in flight. It has no limit of its own: the engine limits the calls in flight."""
    import anthropic
    import httpx2

    return anthropic.DefaultAioHttpClient(
        trust_env=False,  # `way` has what the environment says
        proxy=None if way.proxy is None else httpx2.Proxy(way.proxy.url, headers=way.proxy.headers),
        verify=way.tls or True,
        event_hooks={"response": [stop_redirect]},
        limits=httpx2.Limits(max_connections=0),  # for aiohttp that means any number
    )


async def stop_redirect(response: Any) -> None:
    """Raises before the client follows a redirect that is not to be followed."""
    location = response.headers.get("location")
    if response.has_redirect_location and not followed(
        response.status_code, str(response.request.url), location
    ):
        raise call_error(response.status_code, response.headers, None, now=datetime.now(UTC))
