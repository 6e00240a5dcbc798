"""`streams.chunk`, and operations as stages: a document pipeline through the real SDKs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streams
from streams import ItemError, Pipeline
from streams.codec.records import estimate_tokens
from streams.errors import ConfigError
from streams.model import Item
from streams.running.stages import Stage
from streams.simulator.running_server import Simulator

PAGE = (Path(__file__).parents[2] / "docs" / "library.md").read_text()


async def pieces(*items: Any, **options: Any) -> list[Any]:
    return await Pipeline([streams.chunk(**options), streams.gather()]).run(items)


async def test_a_text_is_cut_into_pieces_of_so_many_tokens_at_most() -> None:
    (made,) = await pieces(PAGE, max_tokens=100, overlap=20)
    assert len(made) > 20
    assert max(map(estimate_tokens, made)) <= 100
    assert all(piece in PAGE for piece in made)


async def test_without_overlap_every_word_is_in_one_piece() -> None:
    (made,) = await pieces(PAGE, max_tokens=50, overlap=0)
    assert "".join("".join(made).split()) == "".join(PAGE.split())


async def test_neighbours_overlap() -> None:
    (made,) = await pieces("one. two. three. four. five. six. seven.", max_tokens=6, overlap=3)
    assert made == ["one. two. three.", ". three. four.", ". four. five. six", ". six. seven."]


@given(st.text(st.characters(codec="ascii"), max_size=300), st.integers(1, 40))
def test_no_piece_is_above_the_limit(text: str, limit: int) -> None:
    (made,) = function_of(streams.chunk(limit, 0))([text])
    assert all(estimate_tokens(piece) <= limit for piece in made)


def function_of(stage: Stage) -> Any:
    return stage.process


async def test_a_text_without_words_has_no_pieces() -> None:
    assert await pieces("", " \n ", "word") == [[], [], ["word"]]


async def test_texts_of_objects_and_records_are_found() -> None:
    record = Item({"body": "b"}, "the text", 1, None, (), "t", 0, 0, 0, None)
    assert await pieces({"body": "words"}, record, text="/body") == [["words"], ["b"]]
    assert await pieces(record) == [["the text"]]


@pytest.mark.parametrize("item", [5, {"a": 1}, None, "half \ud800 a pair"])
async def test_an_item_without_a_text_is_an_error_in_its_place(item: Any) -> None:
    results = await pieces("a", item, "b")
    assert results[::2] == [["a"], ["b"]]
    assert isinstance(results[1], ItemError)
    assert results[1].code == "no_text"


@pytest.mark.parametrize(("max_tokens", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_numbers_out_of_range_are_refused_at_once(max_tokens: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        streams.chunk(max_tokens, overlap)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semantic_text_splitter", None)
    with pytest.raises(ConfigError, match=r"pip install 'streams-microbatch\[chunk\]'"):
        streams.chunk()


async def test_chunk_embed_gather_is_a_pipeline(api: Simulator) -> None:
    embed = streams.embed("voyage-4", dimension=256, base_url=f"{api.url}/v1")
    pipeline = Pipeline([streams.chunk(max_tokens=100), embed, streams.gather()])
    texts = [PAGE[n * 2_000 : (n + 1) * 2_000] for n in range(4)]
    vectors = await pipeline.run([*texts, ""])
    assert [len(each) for each in vectors] == [
        len(each) for each in await pieces(*texts, "", max_tokens=100)
    ]
    assert len(vectors[0][0]) == 256
    chunks, embeds = pipeline.statistics().stages
    assert chunks.name == "chunk"
    assert embeds.items > chunks.items
    assert embed.usage.calls == embeds.calls < embeds.items


async def test_operations_follow_each_other(api: Simulator) -> None:
    summary = streams.generate("Sum it up.")
    label = streams.classify(["good", "bad"])
    results = await Pipeline([summary, streams.stage(label, max_in_flight=2)]).run(["a", "b", "c"])
    assert set(results) <= {"good", "bad"}
    assert (summary.usage.calls, label.usage.calls) == (1, 1)
