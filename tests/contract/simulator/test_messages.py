"""The Messages endpoint as the Anthropic SDK sees it."""

from __future__ import annotations

import hashlib

import pytest

from tests.contract.simulator.asking import (
    CLASSIFY,
    HAIKU,
    LABELS,
    microbatch,
    results_of,
    schema_of,
    text_of,
    texts,
    turn,
)


async def test_every_item_gets_one_record_with_its_id_and_a_label_of_the_enum(start, claude):
    client = claude(await start())
    message = await client.messages.create(**microbatch(texts(20)))
    results = results_of(message)
    assert [record["id"] for record in results] == [str(number) for number in range(1, 21)]
    assert {record["label"] for record in results} <= set(LABELS)
    assert len({record["label"] for record in results}) > 1
    assert message.stop_reason == "end_turn"


async def test_without_the_encoder_a_label_is_the_stated_hash_of_seed_path_and_text(start, claude):
    client = claude(await start(seed=7))
    asked = texts(12)
    message = await client.messages.create(**microbatch(asked))
    for text, record in zip(asked, results_of(message), strict=True):
        words = b"\0".join((b"7", b"/results//label", text.encode()))
        drawn = int.from_bytes(hashlib.sha256(words).digest()[:8], "big")
        assert record["label"] == LABELS[drawn % len(LABELS)]


async def test_ids_that_are_numbers_stay_numbers_where_the_schema_says_so(start, claude):
    client = claude(await start())
    schema = schema_of(label={"type": "string", "enum": ["a", "b"]})
    schema["properties"]["results"]["items"]["properties"]["id"] = {"type": "integer"}
    asked = microbatch(
        [],
        messages=[{"role": "user", "content": '[{"id": 4, "text": "x"}, {"id": 9, "text": "y"}]'}],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    message = await client.messages.create(**asked)
    assert [record["id"] for record in results_of(message)] == [4, 9]


async def test_items_are_found_among_other_brackets_and_inside_content_blocks(start, claude):
    client = claude(await start())
    content = [
        {"type": "text", "text": 'Use [this] list; an example is [{"id": "0", "text": "no"}].'},
        {"type": "text", "text": turn(["one", 'two with "[{" in it', "three"])[0]["content"]},
        {"type": "text", "text": "Nothing [else]."},
    ]
    message = await client.messages.create(
        **microbatch([], messages=[{"role": "user", "content": content}])
    )
    assert [record["id"] for record in results_of(message)] == ["1", "2", "3"]


async def test_a_question_without_items_or_schema_gets_a_text(start, claude):
    client = claude(await start())
    message = await client.messages.create(
        model=HAIKU,
        max_tokens=50,
        thinking={"type": "disabled"},
        messages=[{"role": "user", "content": "What is a lane? Answer in one word."}],
    )
    assert text_of(message) == "What is a lane?"


async def test_generated_texts_are_the_first_sentence_of_each_item(start, claude):
    client = claude(await start())
    form = {"type": "json_schema", "schema": schema_of(text={"type": "string"})}
    message = await client.messages.create(
        **microbatch(
            ["It broke. I am sad.", "Great!  Would buy again."], output_config={"format": form}
        )
    )
    assert [record["text"] for record in results_of(message)] == ["It broke.", "Great!"]


async def test_an_answer_longer_than_max_tokens_is_cut_there(start, claude):
    client = claude(await start())
    message = await client.messages.create(**microbatch(texts(20), max_tokens=30))
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 30
    whole = await client.messages.create(**microbatch(texts(20)))
    assert text_of(whole).startswith(text_of(message))
    assert len(text_of(message)) == 105  # 30 tokens of 3.5 characters


async def test_usage_grows_with_the_texts_and_is_the_same_for_the_same_request(start, claude):
    client = claude(await start())
    few = await client.messages.create(**microbatch(texts(2)))
    many = await client.messages.create(**microbatch(texts(40)))
    again = await client.messages.create(**microbatch(texts(40)))
    assert many.usage == again.usage
    assert many.usage.input_tokens > few.usage.input_tokens + 38 * 10
    assert many.usage.output_tokens > few.usage.output_tokens * 10
    characters = len(turn(texts(40))[0]["content"])
    assert 0.2 * characters < many.usage.input_tokens < 0.7 * characters


async def test_count_tokens_says_what_the_call_is_billed(start, claude):
    client = claude(await start())
    asked = microbatch(texts(5))
    del asked["max_tokens"]
    counted = await client.messages.count_tokens(**asked)
    message = await client.messages.create(**microbatch(texts(5)))
    assert counted.input_tokens == message.usage.input_tokens


async def test_a_model_that_is_not_told_otherwise_thinks_first_and_that_costs(start, claude):
    client = claude(await start())
    quiet = await client.messages.create(**microbatch(texts(3)))
    thinking = await client.messages.create(**microbatch(texts(3), thinking=None))
    assert [block.type for block in quiet.content] == ["text"]
    assert [block.type for block in thinking.content] == ["thinking", "text"]
    spent = thinking.usage.output_tokens_details.thinking_tokens
    assert spent > 0
    assert thinking.usage.output_tokens == quiet.usage.output_tokens + spent


async def test_request_ids_are_in_the_header_and_the_message(start, claude):
    client = claude(await start(seed=3))
    raw = await client.messages.with_raw_response.create(**microbatch(texts(1)))
    message = await raw.parse()
    assert raw.request_id == raw.headers["request-id"] == message._request_id
    assert raw.request_id == "req_sim3n00000001"


async def test_the_prompt_cache_writes_a_long_prefix_once_and_then_reads_it(start, claude):
    client = claude(await start())
    system = [
        {
            "type": "text",
            "text": "Judge the reviewer's opinion of the product. " * 60,
            "cache_control": {"type": "ephemeral"},
        }
    ]
    first = await client.messages.create(**microbatch(texts(2), system=system))
    second = await client.messages.create(**microbatch(texts(3), system=system))
    written = first.usage.cache_creation_input_tokens
    assert written == 772  # 2700 characters at 3.5 to a token
    assert first.usage.cache_read_input_tokens == 0
    assert first.usage.cache_creation.ephemeral_5m_input_tokens == written
    assert second.usage.cache_read_input_tokens == written
    assert second.usage.cache_creation_input_tokens == 0


async def test_a_prefix_below_the_models_minimum_is_silently_not_cached(start, claude):
    client = claude(await start())
    system = [{"type": "text", "text": "Short.", "cache_control": {"type": "ephemeral"}}]
    for _ in range(2):
        message = await client.messages.create(**microbatch(texts(2), system=system))
        assert message.usage.cache_creation_input_tokens == 0
        assert message.usage.cache_read_input_tokens == 0


async def test_models_are_listed_and_found_and_an_unknown_one_is_not(start, claude):
    import anthropic

    client = claude(await start())
    listed = [model.id async for model in client.models.list(limit=4)]
    assert HAIKU in listed
    assert len(listed) > 10
    found = await client.models.retrieve(HAIKU)
    assert found.max_tokens == 128_000
    assert found.capabilities.thinking.types.disabled.supported is True
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("claude-none")


async def test_a_structured_answer_can_be_parsed_by_the_sdk_itself(start, claude):
    import pydantic

    class Verdict(pydantic.BaseModel):
        sure: bool
        stars: int
        words: list[str]

    client = claude(await start())
    message = await client.messages.parse(
        model=HAIKU,
        max_tokens=500,
        messages=[{"role": "user", "content": "It has 4 wheels and it rolls well on any road."}],
        output_format=Verdict,
    )
    assert message.parsed_output.stars == 4


async def test_an_older_client_with_an_x_api_key_and_an_older_version_is_served(start):
    import aiohttp

    simulator = await start()
    body = microbatch(texts(2), temperature=0)
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{simulator.url}/v1/messages", json=body, headers=headers) as response,
    ):
        assert response.status == 200
        assert (await response.json())["model"] == HAIKU


async def test_the_schema_may_use_definitions(start, claude):
    client = claude(await start())
    schema = {
        **CLASSIFY,
        "$defs": {"label": {"type": "string", "enum": ["hot", "cold"]}},
    }
    record = dict(schema["properties"]["results"]["items"])
    record["properties"] = {**record["properties"], "label": {"$ref": "#/$defs/label"}}
    schema["properties"] = {"results": {"type": "array", "items": record}}
    form = {"type": "json_schema", "schema": schema}
    message = await client.messages.create(**microbatch(texts(6), output_config={"format": form}))
    assert {record["label"] for record in results_of(message)} <= {"hot", "cold"}
