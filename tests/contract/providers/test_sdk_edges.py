"""What the SDKs are told, and what their errors mean where no server is needed to see it."""

from __future__ import annotations

import aiohttp
import anthropic
import httpx2
import pytest

from streams.errors import CallError, Fault
from streams.operations import Prompt
from streams.providers import anthropic as claude
from streams.providers import voyage
from streams.providers.port import json_of

PROMPT = Prompt("system", "user", {"type": "object"}, 100)
REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/messages")


def arguments(model: str, prompt: Prompt = PROMPT) -> dict[str, object]:
    return claude.message_params(model, claude.traits(model), prompt)


@pytest.mark.parametrize(
    ("model", "thinking", "effort", "max_tokens"),
    [
        ("claude-haiku-5-5", {"type": "disabled"}, None, 100),
        ("claude-haiku-5-5-20261007", {"type": "disabled"}, None, 100),
        ("claude-sonnet-5-5", {"type": "between_tools"}, None, 100),
        ("claude-haiku-4-5", None, None, 100),
        ("claude-opus-4-8", None, None, 100),
        ("claude-opus-5-5", None, "low", 8_292),
        ("claude-fable-5-1", None, "low", 8_292),
        ("claude-of-next-year", None, None, 8_292),
    ],
)
def test_thinking_is_off_where_the_model_allows_it_and_has_room_where_not(
    model, thinking, effort, max_tokens
):
    """Thinking counts in max_tokens and is billed as output."""
    given = arguments(model)
    assert given.get("thinking") == thinking
    assert given["output_config"].get("effort") == effort
    assert given["max_tokens"] == max_tokens


def test_max_tokens_stays_below_the_sdks_limit_also_with_room_for_thinking():
    assert arguments("claude-opus-5-5", PROMPT._replace(max_tokens=21_332))["max_tokens"] == 21_332


def test_nothing_is_sent_that_the_api_of_2026_10_refuses():
    assert set(arguments("claude-haiku-5-5")) == {
        "model", "max_tokens", "system", "messages", "output_config", "thinking"
    }  # fmt: skip
    assert [turn["role"] for turn in arguments("claude-haiku-5-5")["messages"]] == ["user"]


@pytest.mark.parametrize(
    ("model", "tokens"), [("claude-haiku-5-5", 512), ("claude-haiku-4-5", 4_096)]
)
def test_only_a_system_prompt_that_the_model_would_cache_is_marked(model, tokens):
    short = arguments(model, PROMPT._replace(system="x" * (tokens * 4 - 1)))
    long = arguments(model, PROMPT._replace(system="x" * tokens * 4))
    assert isinstance(short["system"], str)
    assert long["system"][-1]["cache_control"] == {"type": "ephemeral"}


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (caused(anthropic.APITimeoutError(REQUEST), httpx2.ReadTimeout("x")), Fault.TIMEOUT),
        (caused(anthropic.APITimeoutError(REQUEST), httpx2.ConnectTimeout("x")), Fault.CONNECTION),
        (caused(anthropic.APITimeoutError(REQUEST), httpx2.PoolTimeout("x")), Fault.CONNECTION),
        (anthropic.APIConnectionError(request=REQUEST), Fault.CONNECTION),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), Fault.REJECTED),
        (TypeError("a defect"), Fault.BAD_REPLY),
        (CallError(Fault.TRUNCATED), Fault.TRUNCATED),
    ],
)
def test_what_the_anthropic_sdk_raises_has_a_fault(error, fault):
    """A connection that was never made is no item's fault."""
    assert claude.failure_of(error).fault is fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (aiohttp.ConnectionTimeoutError(), Fault.CONNECTION),
        (aiohttp.SocketTimeoutError(), Fault.TIMEOUT),
        (TimeoutError(), Fault.TIMEOUT),
        (aiohttp.ServerDisconnectedError(), Fault.CONNECTION),
        (aiohttp.ClientPayloadError(), Fault.CONNECTION),
        (ConnectionResetError(), Fault.CONNECTION),
        (aiohttp.InvalidURL("x"), Fault.ACCOUNT),
        (AttributeError("data"), Fault.CONNECTION),
        (CallError(Fault.THROTTLED), Fault.THROTTLED),
    ],
)
def test_what_the_voyage_sdk_or_its_session_raises_has_a_fault(error, fault):
    assert voyage.failure_of(error).fault is fault


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b"null"])
def test_a_body_that_is_no_json_object_is_a_bad_reply(body):
    with pytest.raises(CallError) as caught:
        claude.completion_of(None, json_of(body))
    assert caught.value.fault is Fault.BAD_REPLY
