"""The requests that the Messages API refuses with 400 or 404, in its own words where we know them.

Sources: the API reference, the migration notes of version 2026-10-21 and the model pages (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.simulator.cache import BREAKPOINTS
from streams.simulator.catalogue import CLAUDE, Model
from streams.simulator.prompt import blocks
from streams.simulator.schemas import check_schema
from streams.simulator.wire import RefusalError

_SAMPLING: Final = ("temperature", "top_p", "top_k")
_WITHOUT_SAMPLING: Final = "2026-10-21"
_COUNTED: Final = frozenset(
    [
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "speed",
    ]
)
_FIELDS: Final = _COUNTED | frozenset(
    (
        *[
            "max_tokens",
            "service_tier",
            "stop_sequences",
            "metadata",
            "inference_geo",
            "diagnostics",
        ],
        "container",
        "stream",
        "workspace_id",
        "mcp_servers",
        "context_management",
        *_SAMPLING,
    )
)
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_THINKING: Final = ("adaptive", "disabled", "enabled", "between_tools")


def check_message(body: Mapping[str, Any], version: str) -> Model:
    """Refuses what the API refuses; returns the model."""
    model = _check_common(body, _FIELDS)
    max_tokens = body.get("max_tokens")
    if max_tokens is None:
        raise RefusalError(400, "max_tokens: Field required")
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool):
        raise RefusalError(400, "max_tokens: Input should be a valid integer")
    if max_tokens < 1:
        raise RefusalError(400, "max_tokens: Input should be greater than or equal to 1")
    if max_tokens > model.max_output:
        raise RefusalError(
            400,
            f"max_tokens: {max_tokens} > {model.max_output}, which is the maximum allowed number "
            f"of output tokens for {model.name}",
        )
    _check_sampling(body, version)
    if body.get("stream"):
        raise RefusalError(400, "stream: this simulator does not stream")
    return model


def check_count_tokens(body: Mapping[str, Any]) -> Model:
    """The same for count_tokens, which takes fewer fields."""
    return _check_common(body, _COUNTED)


def _check_common(body: Mapping[str, Any], fields: frozenset[str]) -> Model:
    for name in ("model", "messages"):
        if name not in body:
            raise RefusalError(400, f"{name}: Field required")
    unknown = next((name for name in body if name not in fields), None)
    if unknown is not None:
        raise RefusalError(400, f"{unknown}: Extra inputs are not permitted")
    if not isinstance(body["model"], str):
        raise RefusalError(400, "model: Input should be a valid string")
    model = CLAUDE.get(body["model"])
    if model is None:
        raise RefusalError(404, f"model: {body['model']}")
    _check_turns(body["messages"])
    if body.get("system") is not None:
        _check_blocks(body["system"], "system")
    tools = body.get("tools", [])
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RefusalError(400, "tools: Input should be a valid list")
    _check_breakpoints(body)
    _check_output(body, model)
    _check_tools(body, model)
    return model


def _check_turns(messages: Any) -> None:
    if not isinstance(messages, list):
        raise RefusalError(400, "messages: Input should be a valid list")
    if not messages:
        raise RefusalError(400, "messages: at least one message is required")
    for place, message in enumerate(messages):
        path = f"messages.{place}"
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise RefusalError(400, f"{path}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if not content:
            raise RefusalError(400, f"{path}: user messages must have non-empty content")
        if not isinstance(content, str | list):
            raise RefusalError(400, f"{path}.content: Input should be a valid list")
        _check_blocks(content, f"{path}.content")
    if messages[0]["role"] != "user":
        raise RefusalError(400, "messages: first message must use the user role")
    if messages[-1]["role"] == "assistant":
        raise RefusalError(
            400,
            "This model does not support assistant message prefill. The conversation must end "
            "with a user message.",
        )


def _check_blocks(content: Any, path: str) -> None:
    """A text, or a list of blocks: objects with a type, text blocks with a text."""
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise RefusalError(400, f"{path}: Input should be a valid list")
    for block in content:
        kind = block.get("type")
        if not isinstance(kind, str):
            raise RefusalError(400, f"{path}: type: Field required")
        if kind == "text" and not (isinstance(block.get("text"), str) and block["text"]):
            raise RefusalError(400, f"{path}: text content blocks must be non-empty")


def _check_breakpoints(body: Mapping[str, Any]) -> None:
    contents = [body.get("system"), *(m.get("content") for m in body["messages"])]
    found = sum("cache_control" in block for content in contents for block in blocks(content))
    found += sum("cache_control" in tool for tool in body.get("tools", ()))
    if found > BREAKPOINTS:
        raise RefusalError(
            400,
            f"A maximum of {BREAKPOINTS} blocks with cache_control may be provided. Found {found}.",
        )


def _check_sampling(body: Mapping[str, Any], version: str) -> None:
    for name in _SAMPLING:
        if body.get(name) is None:
            continue
        if version >= _WITHOUT_SAMPLING:
            raise RefusalError(400, f"{name}: is not supported with anthropic-version {version}")
        if name != "top_k" and not 0 <= body[name] <= 1:
            raise RefusalError(400, f"{name}: range: 0..1")


def _check_output(body: Mapping[str, Any], model: Model) -> None:
    config = body.get("output_config") or {}
    if not isinstance(config, dict):
        raise RefusalError(400, "output_config: Input should be a valid dictionary")
    unknown = next((name for name in config if name not in ("format", "effort")), None)
    if unknown is not None:
        raise RefusalError(400, f"output_config.{unknown}: Extra inputs are not permitted")
    effort = config.get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise RefusalError(
            400, f"output_config.effort: Input should be one of {', '.join(_EFFORTS)}"
        )
    _check_thinking(body.get("thinking"), effort, model)
    form = config.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        raise RefusalError(400, "output_config.format.type: Input should be 'json_schema'")
    unknown = next((name for name in form if name not in ("type", "schema")), None)
    if unknown is not None:
        raise RefusalError(400, f"output_config.format.{unknown}: Extra inputs are not permitted")
    check_schema(form.get("schema"))


def _check_thinking(thinking: Any, effort: str | None, model: Model) -> None:
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in _THINKING:
        raise RefusalError(400, f"thinking.type: Input should be one of {', '.join(_THINKING)}")
    if kind == "between_tools" and model.quiet != "between_tools":
        raise RefusalError(400, f"thinking.type: between_tools is not supported by {model.name}")
    if kind == "disabled" and model.quiet != "disabled":
        way_out = "; use between_tools" if model.quiet else ": it always thinks"
        raise RefusalError(
            400, f"thinking.type: disabled is not supported by {model.name}{way_out}"
        )
    if kind == "enabled" and model.thinks:
        raise RefusalError(
            400, f"thinking.type: enabled is not supported by {model.name}; use adaptive"
        )
    if kind == model.quiet and model.thinks and effort in ("xhigh", "max"):
        raise RefusalError(400, f"thinking.type: {kind} is not supported with effort {effort}")


def _check_tools(body: Mapping[str, Any], model: Model) -> None:
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("any", "tool") and not model.forced_tools:
        raise RefusalError(400, f"tool_choice.type: {kind} is not supported by {model.name}")
    if kind is not None and not body.get("tools"):
        raise RefusalError(400, "tool_choice: may only be specified while providing tools")
