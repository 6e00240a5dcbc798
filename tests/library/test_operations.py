"""The operations as functions: the real SDKs over HTTP against the simulator, without Kafka."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

import streams
from streams import ItemError
from streams.errors import ConfigError
from streams.simulator.running_server import Simulator, serve
from streams.simulator.simulator_settings import SimulatorSettings
from tests.library.steered import settled

LABELS = ["positive", "negative", "neutral"]


class Review(BaseModel):
    product: str
    stars: int


async def test_classify_gives_each_text_one_label_of_its_own(api: Simulator) -> None:
    label = streams.classify(LABELS, instructions="Judge the opinion.")
    results = await streams.map_batches(label, [f"text {n}" for n in range(45)])
    assert len(results) == 45
    assert set(results) <= set(LABELS)
    assert label.usage.calls == 3  # 20 to a call
    assert label.usage.input_tokens > 0
    assert label.usage.cost_usd is not None
    assert label.usage.cost_usd > 0


async def test_an_operation_is_itself_a_function_of_a_list(api: Simulator) -> None:
    label = streams.classify(LABELS)
    assert len(await label(["a", "b"])) == 2


async def test_extract_gives_instances_of_a_pydantic_model(api: Simulator) -> None:
    facts = streams.extract(Review)
    results = await streams.map_batches(facts, ["a", "b", "c"])
    assert all(isinstance(result, Review) for result in results)


async def test_an_answer_that_the_models_validators_refuse_is_asked_again(api: Simulator) -> None:
    refused: list[int] = []

    class Picky(BaseModel):
        stars: int

        @field_validator("stars")
        @classmethod
        def _twice(cls, value: int) -> int:
            refused.append(value)
            if len(refused) == 1:
                raise ValueError("not this time")
            return value

    facts = streams.extract(Picky)
    (result,) = await streams.map_batches(facts, ["a"])
    assert isinstance(result, Picky)
    assert facts.usage.calls == 2


async def test_extract_gives_dicts_for_a_json_schema(api: Simulator) -> None:
    schema = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}
    results = await streams.map_batches(streams.extract(schema), ["a"])
    assert isinstance(results[0], dict)
    assert isinstance(results[0]["stars"], int)


async def test_embed_gives_lists_of_floats(api: Simulator) -> None:
    vector = streams.embed("voyage-4", dimension=256, base_url=api.voyage_url)
    results = await streams.map_batches(vector, ["a", "b"])
    assert all(isinstance(r, list) and len(r) == 256 and type(r[0]) is float for r in results)


async def test_generate_gives_texts(api: Simulator) -> None:
    results = await streams.map_batches(streams.generate("Sum it up."), ["a", "b"])
    assert all(isinstance(result, str) for result in results)


async def test_texts_of_objects_come_by_pointer_or_template(api: Simulator) -> None:
    label = streams.classify(LABELS, text="{/title}: {/body}")
    items: list[Any] = [{"title": "a", "body": "b"}, {"title": "a"}, Review(product="x", stars=1)]
    results = await streams.map_batches(label, items)
    assert results[0] in LABELS
    for missing in results[1:]:
        assert isinstance(missing, ItemError)
        assert missing.code == "no_text"


async def test_an_item_without_a_text_takes_no_call(api: Simulator) -> None:
    label = streams.classify(LABELS)
    (result,) = await streams.map_batches(label, [{"text": "a"}])
    assert isinstance(result, ItemError)
    assert result.message == "the item is a dict, not a string: give text="
    assert label.usage.calls == 0


async def test_doors_of_one_program_share_the_account_of_a_model(api: Simulator) -> None:
    """One pause for both: the accounts are one object."""
    one, two = streams.classify(LABELS), streams.generate("Sum it up.")
    from streams.running.work import Options

    works = [one.work(Options()), two.work(Options())]
    try:
        assert works[0].account is works[1].account is not None
    finally:
        for work in works:
            await work.close()


@pytest.mark.filterwarnings("error")
def test_one_operation_serves_several_event_loops_one_after_the_other() -> None:
    """And its connections leave no warning behind, without `aclose`."""
    label = streams.classify(LABELS)

    async def once() -> None:
        simulator = await serve(SimulatorSettings(latency_ms=0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
            patch.setenv("ANTHROPIC_BASE_URL", simulator.url)
            assert len(await streams.map_batches(label, ["a"])) == 1
        await simulator.stop()

    asyncio.run(once())
    asyncio.run(once())
    assert label.usage.calls == 2


async def test_async_with_keeps_the_connections_between_uses(api: Simulator) -> None:
    async with streams.classify(LABELS) as label:
        await label(["a"])
        first = label.use()
        await label.leave(first)
        await label(["b"])
        again = label.use()
        await label.leave(again)
        assert again is first


async def test_a_missing_key_is_a_configuration_error_at_the_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    label = streams.classify(LABELS)
    with pytest.raises(ConfigError, match="set ANTHROPIC_API_KEY in the environment"):
        await label(["a"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: streams.classify(["one"]),
        lambda: streams.classify(["one", "one"]),
        lambda: streams.classify(["\u00e9", "e\u0301"]),  # one label under NFC
        lambda: streams.classify("positive"),
        lambda: streams.extract({"type": "string"}),
        lambda: streams.extract("a schema"),  # type: ignore[call-overload]
        lambda: streams.generate(" "),
        lambda: streams.embed(dimension=0),
        lambda: streams.embed(input_type="documents"),
        lambda: streams.classify(LABELS, text="body"),
    ],
)
def test_an_argument_out_of_range_is_a_value_error_at_once(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


async def test_an_operation_counts_its_own_tokens(api: Simulator) -> None:
    label = streams.classify(LABELS)
    with pytest.raises(ValueError, match="tokens: an operation counts its own"):
        await streams.map_batches(label, ["a"], tokens=len, max_tokens=5)


def test_an_unknown_keyword_is_a_type_error_at_once() -> None:
    with pytest.raises(TypeError, match="colour"):
        streams.classify(LABELS, colour="red")  # type: ignore[call-arg]


async def test_a_key_that_is_refused_is_told_while_the_door_waits(
    api: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong key looked like a hang."""
    wrong = streams.embed("voyage-4", dimension=256, base_url=api.url)  # /v1 is missing
    doors = [
        streams.map_batches(wrong, ["a"]),
        streams.Pipeline([wrong]).run(["a"]),
        streams.Coalescer(wrong, max_wait_ms=0).submit("a"),
    ]
    running = [asyncio.ensure_future(door) for door in doors]
    while len(caplog.messages) < len(doors):
        await settled()
    for each in running:
        each.cancel()
    await asyncio.wait(running)
    told = sorted(caplog.messages)
    assert [line.split(" is paused (account)")[0] for line in told] == [
        "map_batches",
        "stage embed",
        "the coalescer",
    ]
