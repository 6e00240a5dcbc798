"""Embeddings: vectors are matched by place, so a reply of another length is of no use at all."""

from __future__ import annotations

import struct
import time
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CallError, Fault
from streams.model import Unanswered
from streams.operations import Completion, Embed, Vectors
from tests.operations.conftest import at_leisure, items_of


def packed(*floats: float) -> bytes:
    return struct.pack(f"<{len(floats)}f", *floats)


def test_a_vector_stays_the_bytes_that_came():
    answers = Embed().read(items_of(["a"]), Vectors([packed(0.5, -1.0)]))
    assert answers == [{"embedding_f32": packed(0.5, -1.0), "dim": 2}]


def test_a_list_of_floats_becomes_little_endian_float32():
    answers = Embed().read(items_of(["a"]), Vectors([[0.5, -1]]))
    assert answers == [{"embedding_f32": packed(0.5, -1.0), "dim": 2}]


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_short_or_long_reply_is_of_no_use_to_any_item(count):
    """Nothing tells which text was left out."""
    with pytest.raises(CallError) as caught:
        Embed().read(items_of(["a", "b", "c"]), Vectors([packed(1.0)] * count))
    assert caught.value.fault is Fault.BAD_REPLY


@pytest.mark.parametrize("vectors", [None, "abc", {}, 7])
def test_a_reply_without_vectors_is_a_bad_reply(vectors):
    with pytest.raises(CallError) as caught:
        Embed().read(items_of(["a"]), Vectors(vectors))
    assert caught.value.fault is Fault.BAD_REPLY


def test_text_is_no_answer_to_texts():
    with pytest.raises(CallError) as caught:
        Embed().read(items_of(["a"]), Completion([], "end_turn"))
    assert caught.value.fault is Fault.BAD_REPLY


@pytest.mark.parametrize(
    "bad", [b"", b"abc", None, [], ["x"], {}, "text", [1.0, None], [10**400], [float("nan")]]
)
def test_a_broken_vector_costs_its_own_item_only(bad):
    answers = Embed().read(items_of(["a", "b"]), Vectors([bad, packed(1.0)]))
    assert answers == [Unanswered.INVALID, {"embedding_f32": packed(1.0), "dim": 1}]


@at_leisure
@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_a_vector_is_accepted_exactly_where_all_its_numbers_are_finite(floats):
    """NaN and infinity are no JSON."""
    [answer] = Embed().read(items_of(["a"]), Vectors([packed(*floats)]))
    finite = all(abs(number) <= 3.4028235e38 for number in floats)
    assert (answer is not Unanswered.INVALID) is finite


def test_one_vector_of_another_dimension_is_invalid():
    answers = Embed(2).read(items_of(["a", "b"]), Vectors([packed(1.0), packed(1.0, 2.0)]))
    assert answers == [Unanswered.INVALID, {"embedding_f32": packed(1.0, 2.0), "dim": 2}]


def test_a_whole_reply_of_another_dimension_is_the_accounts_fault():
    """No item will ever fit: the task pauses, where it would drain into its dead letters."""
    with pytest.raises(CallError) as caught:
        Embed(2).read(items_of(["a", "b"]), Vectors([packed(1.0)] * 2))
    assert caught.value.fault is Fault.ACCOUNT
    assert "`dimension` is 2" in caught.value.message


def test_the_request_carries_texts_in_order_and_the_tasks_settings():
    request = Embed(256, "query").request(items_of(["b", "a"]))
    assert request == (["b", "a"], "query", 256)


def test_a_lone_surrogate_is_replaced_before_it_is_sent():
    assert Embed().request(items_of(["a\ud800"])).texts == ["a\ufffd"]


def test_checking_1024_numbers_takes_less_than_a_loop_over_them():
    """The check stands on the path of every item."""
    vector = array("f", [0.25] * 1024).tobytes()
    batch, vectors = items_of(["a"] * 100), Vectors([vector] * 100)
    embed = Embed(1024)
    best = min(_timed(lambda: embed.read(batch, vectors)) for _ in range(20))
    loop = min(
        _timed(lambda: [all(map(abs, array("f", vector))) for _ in range(100)]) for _ in "123"
    )
    assert best < loop


def _timed(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start
