"""What an item weighs: tokens for the window, bytes for the request, memory for back-pressure."""

from __future__ import annotations

import gc
import json
import random
import string
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.records import Decoder, TextLimit, cut, estimate_tokens, text_bytes, weigh
from streams.core.call import Slot

from .samples import WHERE, Record, item_of


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 1),
        ("a" * 300, 101),
        ("é" * 300, 281),
        ("д" * 300, 281),
        ("汉" * 300, 461),
        ("😀" * 300, 641),
    ],
)
def test_tokens_are_a_third_of_ascii_and_more_of_other_scripts(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_one_curly_quote_does_not_make_a_long_text_expensive() -> None:
    assert estimate_tokens("a" * 3_000 + "’") - estimate_tokens("a" * 3_000) <= 3


@given(st.text(st.characters()), st.text(st.characters()))
def test_a_longer_text_never_weighs_less_and_a_surrogate_never_raises(a: str, b: str) -> None:
    assert estimate_tokens(a + b) >= estimate_tokens(a) >= 1
    assert text_bytes(a + b) == text_bytes(a) + text_bytes(b)


@given(st.text())
def test_text_bytes_is_the_length_in_utf8(text: str) -> None:
    assert text_bytes(text) == len(text.encode())


COUNT = 60
CHANCE = random.Random(20260101)


def words(count: int) -> str:
    return "".join(CHANCE.choice(string.ascii_lowercase + " ") for _ in range(count))


SHAPES: dict[str, Callable[[int], Any]] = {
    "short": lambda n: {"text": words(1)},
    "plain": lambda n: {"id": n, "text": words(120), "user": words(8), "stars": 4, "lang": "en"},
    "nested": lambda n: {"text": words(99), "price": 4.5, "tags": ["a", words(4)], "by": {"a": n}},
    "long": lambda n: {"id": n, "text": words(10_000)},
    "a long string beside the text": lambda n: {"text": words(9), "body": words(10_000)},
    "a wide one": lambda n: {"text": words(9), "body": words(1_000) + "汉字"},
    "chinese": lambda n: {"id": n, "text": "汉字" * 150},
    "one emoji": lambda n: {"id": n, "text": words(1_000) + "😀"},
    "many members": lambda n: {"text": words(9), **{f"f{i}": words(6) for i in range(20)}},
    "numbers": lambda n: {"text": words(9), "v": [CHANCE.random() for _ in range(100)]},
    "objects": lambda n: {"text": words(9), "v": [{"a": 1} for _ in range(100)]},
    "empty objects": lambda n: {"text": words(9), "v": [{} for _ in range(100)]},
    "empty arrays": lambda n: {"text": words(9), "v": [[] for _ in range(100)]},
    "not JSON": lambda n: f"{{cut of {n}",
}


@pytest.mark.parametrize("text", ["/text", "{/text} {/text}"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_memory_of_items_is_never_less_than_what_python_takes(shape: str, text: str) -> None:
    values = [
        json.dumps(SHAPES[shape](n), ensure_ascii=False, separators=(",", ":")).encode()
        for n in range(COUNT)
    ]
    if shape == "not JSON":
        values = [value.strip(b'"') for value in values]
    decoder = Decoder(text=text)
    decoder.decode([Record(value) for value in values[:2]], *WHERE)  # fills orjson's cache of keys
    gc.freeze()  # what is there by now is not looked at: that takes half a second each time
    gc.collect()  # objects that Python keeps for the next use would not be counted
    tracemalloc.start()
    try:
        records = [
            Record(
                value=bytes(bytearray(value)),
                key=b"key-%d" % n,
                headers=(("".join(["header", str(n)]), b"value %d" % n),),
                offset=10_000 + n,
                timestamp=1_790_000_000_000 + n,
            )
            for n, value in enumerate(values)
        ]
        items, settled = decoder.decode(records, *WHERE)
        del records
        slots = [
            Slot(0, item.offset, item, 1_000 + n, 1_000 + n, 1_000 + n, float(n))
            for n, item in enumerate(items)
        ]
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert bool(settled) == (shape == "not JSON")
    counted = sum(weigh([slot.item for slot in slots]).memory)
    assert used <= counted, f"{used / COUNT:.0f} taken, {counted / COUNT:.0f} counted for each"
    if shape in ("plain", "long", "chinese", "one emoji") and text == "/text":
        assert counted <= 1.6 * used, "so far above that little of the room would be used"


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_items_are_weighed_one_by_one(texts: list[str]) -> None:
    items = [item_of(json.dumps({"text": text}).encode()) for text in texts]
    weights = weigh(items)
    assert weights.tokens == [estimate_tokens(item.text) for item in items]
    assert weights.bytes == [text_bytes(item.text) for item in items]
    assert weights.memory == [weigh([item]).memory[0] for item in items]


def test_a_tombstone_holds_little() -> None:
    assert weigh([item_of(None)]).memory[0] < 1_800


@given(st.text(max_size=300), st.integers(1, 60), st.integers(1, 200))
def test_a_text_is_cut_to_the_longest_beginning_that_fits(
    text: str, tokens: int, size: int
) -> None:
    most = TextLimit(tokens, size)
    short = cut(text, most)
    assert text.startswith(short)
    if short != text:
        longer = text[: len(short) + 1]
        assert estimate_tokens(longer) > tokens or text_bytes(longer) > size
    if short:
        assert estimate_tokens(short) <= tokens
        assert text_bytes(short) <= size


def test_a_text_that_fits_is_not_even_copied() -> None:
    text = "word " * 100
    assert cut(text, TextLimit(10_000, 10_000)) is text


def test_a_decoder_cuts_texts_where_it_is_told_to_and_keeps_the_record() -> None:
    value = b'{"text":"%b","id":1}' % (b"word " * 1_000)
    records = [Record(value), Record(b'{"text":"short"}'), Record(None), Record(b"{")]
    items, settled = Decoder(limit=TextLimit(100, 1_000_000)).decode(records, *WHERE)
    assert estimate_tokens(items[0].text) == 100
    assert items[0].raw == value
    assert items[0].value["text"] == "word " * 1_000
    assert [item.text for item in items[1:]] == ["short", "", ""]
    assert set(settled) == {2, 3}
    assert len(Decoder().decode(records, *WHERE).items[0].text) == 5_000
