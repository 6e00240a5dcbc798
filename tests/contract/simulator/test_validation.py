"""What the Messages endpoint refuses, and with which of the SDK's errors."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import anthropic
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.simulator import SimulatorSettings
from streams.simulator.calls import Call
from streams.simulator.messages import create, read_items
from streams.simulator.simulation import Simulation
from streams.simulator.wire import RefusalError
from tests.contract.simulator.asking import microbatch, schema_of, texts


def structured(schema):
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def with_label(**label):
    return structured(schema_of(label=label))


def recursive():
    schema = schema_of(label={"$ref": "#/$defs/tree"})
    child = {"$ref": "#/$defs/tree"}
    schema["$defs"] = {
        "tree": {"type": "object", "properties": {"of": child}, "additionalProperties": False}
    }
    return schema


def open_object():
    schema = schema_of(label={"type": "string"})
    schema["additionalProperties"] = True
    return schema


def many_optional():
    schema = schema_of(**{f"p{n}": {"type": "string"} for n in range(25)})
    schema["properties"]["results"]["items"]["required"] = ["id"]
    return schema


REFUSED = {
    "temperature": ({"extra_body": {"temperature": 0}}, "temperature"),
    "top_p": ({"extra_body": {"top_p": 0.5}}, "top_p"),
    "an unknown field": ({"extra_body": {"colour": "red"}}, "colour: Extra inputs"),
    "no messages": ({"messages": []}, "at least one message"),
    "an empty turn": ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
    "a strange role": ({"messages": [{"role": "chef", "content": "x"}]}, "role"),
    "an assistant first": (
        {"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]},
        "user role",
    ),
    "prefill": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "["}]},
        "prefill",
    ),
    "max_tokens of 0": ({"max_tokens": 0}, "max_tokens"),
    "max_tokens above the model's": ({"max_tokens": 128_001, "timeout": 600}, "128000"),
    "thinking off with effort max": (
        {"output_config": {"effort": "max"}},
        "not supported with effort max",
    ),
    "an unknown effort": ({"output_config": {"effort": "huge"}}, "effort"),
    "thinking off on Sonnet 5.5": ({"model": "claude-sonnet-5-5"}, "between_tools"),
    "thinking off on Opus 5.5": ({"model": "claude-opus-5-5"}, "always thinks"),
    "a format of another type": ({"output_config": {"format": {"type": "text"}}}, "json_schema"),
    "minItems 2": (with_label(type="array", items={"type": "string"}, minItems=2), "minItems"),
    "maxItems": (with_label(type="array", items={"type": "string"}, maxItems=9), "maxItems"),
    "minLength": (with_label(type="string", minLength=1), "minLength"),
    "maxLength": (with_label(type="string", maxLength=10), "maxLength"),
    "minimum": (with_label(type="integer", minimum=0), "minimum"),
    "oneOf": (with_label(oneOf=[{"type": "string"}]), "oneOf"),
    "an unknown type": (with_label(type="text"), "is not valid under any"),
    "an unknown format": (with_label(type="string", format="isbn"), "isbn"),
    "a look-ahead": (with_label(type="string", pattern="(?=a)b"), "pattern"),
    "additionalProperties": (structured(open_object()), "additionalProperties"),
    "recursion": (structured(recursive()), "Recursive"),
    "a reference to nowhere": (with_label(**{"$ref": "#/$defs/none"}), "points nowhere"),
    "25 optional members": (structured(many_optional()), "25"),
    "streaming": ({"extra_body": {"stream": True}}, "does not stream"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_is_refused_with_400(start, claude, what):
    """Each of these is a BadRequestError whose message names what is wrong."""
    changes, word = REFUSED[what]
    simulator = await start()
    client = claude(simulator)
    with pytest.raises(anthropic.BadRequestError) as caught:
        await client.messages.create(**microbatch(texts(2), **changes))
    assert word in caught.value.api_message
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id == "req_sim0n00000001"
    assert simulator.state()["items_answered"] == simulator.state()["cost_usd"] == 0


async def test_max_tokens_is_required(start, claude):
    client = claude(await start())
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
        await client.post("/v1/messages", cast_to=object, body=microbatch([], max_tokens=None))


async def test_an_unknown_model_is_not_found(start, claude):
    client = claude(await start())
    with pytest.raises(anthropic.NotFoundError, match="claude-none"):
        await client.messages.create(**microbatch(texts(1), model="claude-none"))


async def test_a_prompt_above_the_models_context_is_refused(start, claude):
    client = claude(await start())
    long = "word " * 150_000
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: 21"):
        await client.messages.create(
            **microbatch([long], model="claude-haiku-4-5", thinking={"type": "disabled"})
        )


async def test_five_cache_marks_are_one_too_many(start, claude):
    client = claude(await start())
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    with pytest.raises(anthropic.BadRequestError, match="maximum of 4"):
        await client.messages.create(**microbatch(texts(1), system=[block] * 5))


async def test_a_forced_tool_is_refused_on_sonnet_5_5(start, claude):
    client = claude(await start())
    tool = {"name": "answer", "input_schema": {"type": "object"}}
    with pytest.raises(anthropic.BadRequestError, match="tool_choice"):
        await client.messages.create(
            **microbatch(
                texts(1),
                model="claude-sonnet-5-5",
                thinking=None,
                tools=[tool],
                tool_choice={"type": "tool", "name": "answer"},
            )
        )


async def test_a_request_without_a_key_is_unauthorized(start):
    simulator = await start()
    headers = {"anthropic-version": "2026-10-21"}
    async with aiohttp.ClientSession() as session:
        for path, body in (("messages", microbatch(texts(1))), ("embeddings", {"input": ["x"]})):
            url = f"{simulator.voyage_url}/{path}"
            async with session.post(url, json=body, headers=headers) as response:
                assert response.status == 401


USER = {"role": "user", "content": "x"}
MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"7",
    b'{"a": "\xff"}',
    {},
    {"model": 1, "messages": 2, "max_tokens": "x"},
    microbatch([], messages=[1]),
    microbatch([], messages={"a": 1}),
    microbatch([], messages=[{"role": "user", "content": 3}]),
    microbatch([], messages=[{"role": "user", "content": [3]}]),
    microbatch([], messages=[{"role": "user", "content": [{"text": "x"}]}]),
    microbatch([], messages=[USER], system=4),
    microbatch([], messages=[USER], tools=5),
    microbatch([], messages=[USER], thinking=5),
    microbatch([], messages=[USER], output_config=5),
    microbatch([], messages=[USER], **structured({"type": "array", "items": 5})),
    microbatch([], messages=[USER], **structured(schema_of(label={"enum": "x"}))),
    microbatch([], messages=[USER], **structured(schema_of(label={"anyOf": 1}))),
    microbatch([], messages=[USER], **structured(schema_of(label={"pattern": 1}))),
    microbatch(
        [],
        messages=[USER],
        **structured({"type": "object", "properties": 5, "additionalProperties": False}),
    ),
]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: str(body)[:30])
@pytest.mark.parametrize("path", ["messages", "messages/count_tokens", "messages/batches"])
async def test_a_malformed_body_is_a_400_and_never_a_500(start, path, body):
    """Nor is it ever answered."""
    simulator = await start()
    headers = {"anthropic-version": "2026-10-21", "x-api-key": "k"}
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    url = f"{simulator.url}/v1/{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=content, headers=headers) as response,
    ):
        assert response.status == 400, await response.text()
        assert (await response.json())["type"] == "error"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.just("#/$defs/a"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def places_in(value, path=()):
    """Every path in a JSON value."""
    yield path
    listed = enumerate(value) if isinstance(value, list) else ()
    for name, inner in value.items() if isinstance(value, dict) else listed:
        yield from places_in(inner, (*path, name))


def replaced(value, path, new):
    """A copy of a JSON value with another value at one path."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


@settings(max_examples=80)
@given(st.data())
def test_whatever_stands_anywhere_in_a_request_it_is_refused_or_answered(data):
    """Never an error of our own."""
    body = microbatch(texts(2), system=[{"type": "text", "text": "Judge."}])
    path = data.draw(st.sampled_from(list(places_in(body))[1:]))
    body = replaced(body, path, data.draw(ANYTHING))
    simulation = Simulation(SimulatorSettings(answers="hash"))
    call = Call(1, "messages", "anthropic", True, {}, "req_1")
    call.body, call.model = body, str(body.get("model"))
    with contextlib.suppress(RefusalError):
        call.items = read_items(body)
        reply = asyncio.run(create(simulation, call, None))
        assert orjson.loads(reply.body)["role"] == "assistant"
