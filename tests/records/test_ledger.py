"""The call ledger's records: what comes back from them is emitted as it would have been without the
crash, and where a lane's next owner begins to read never passes what it needs."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import answers
from streams.codec.answers import Keys, Trail, entry, key, paid_slots, restore
from streams.codec.records import Decoder
from streams.codec.vectors import VECTOR
from streams.core.call import Call, Slot, State
from streams.errors import ItemError
from streams.model import DROP, Unanswered
from tests.records.samples import NOW_MS, WHERE, Record, emitted, encoder, item_of, released

FINGERPRINT = "5f1d7a84db00d2fc"
ITEM = b'{"id": 7, "text": "fine", "more": 18446744073709551616}'


@dataclass
class Judged:
    mood: str
    score: float


def again(slot: Slot) -> Slot:
    """The slot of a later owner, restored from what the ledger has of this one."""
    record = entry(slot, FINGERPRINT)
    assert record.offset == slot.item.offset
    made = Slot(slot.lane, slot.seq, slot.item)
    assert restore(made, record.value)
    return made


OUTCOMES = {
    "classification": {"label": "positive"},
    "floats": {"a": 1e16, "b": 0.1, "c": -0.0, "d": 1e22, "e": 1.0},
    "numpy's floats, which are written otherwise": {"a": numpy.float32(1e14), "b": numpy.ones(2)},
    "a vector": {VECTOR: struct.pack("<3f", 0.1, -2.5, 1e14), "dim": 3},
    "a vector that no result can hold": {VECTOR: struct.pack("<1f", float("nan")), "dim": 1},
    "half a float": {VECTOR: b"abc", "dim": 1},
    "a vector that is none": {VECTOR: "abc"},
    "a string like the record's own end": ',"result":{"label":"x"}}',
    "null inside": {"label": None},
    "null": None,
    "a list": [1, [2, {}], "x"],
    "a dataclass": Judged("good", 0.25),
    "what JSON cannot hold": {"x": float("nan")},
    "what no writer takes": {"x": object()},
    "a key that is no string": {1: 2},
    "an integer beyond 64 bits": {"x": 2**70},
    "a dead letter": ItemError("refused", "the model declined to answer"),
    "a dead letter with a long message": ItemError("refused", "é" * 5000),
    "a dead letter with a lone surrogate": ItemError("odd", "x\ud800y"),
    "a drop": DROP,
}


@pytest.mark.parametrize("mode", ["envelope", "merge", "result"])
@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_what_is_restored_is_emitted_byte_for_byte_as_it_would_have_been(mode, outcome) -> None:
    slot = released(item_of(ITEM), outcome, index=3, size=20, calls=2)
    made = again(slot)
    writer = encoder(mode=mode)
    first, second = emitted(writer, slot), emitted(writer, made)
    assert first[0] == second[0]
    assert (first[1] is None) == (second[1] is None)


@pytest.mark.parametrize("layout", ["floats", "base64"])
def test_a_vector_is_written_in_the_layout_of_the_day(layout) -> None:
    slot = released(item_of(ITEM), OUTCOMES["a vector"])
    writer = encoder(embedding=layout)
    assert writer.encode([slot], NOW_MS) == writer.encode([again(slot)], NOW_MS)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.integers(0, 99), st.integers(0, 2**40), st.integers(1, 9))
def test_any_result_comes_back_with_its_bytes_and_its_facts(result, index, tokens, calls) -> None:
    slot = released(item_of(ITEM), result, index=index, size=100, calls=calls)
    slot.input_tokens, slot.cost_nano_usd = tokens, tokens * 3
    writer = encoder()
    assert writer.encode([slot], NOW_MS) == writer.encode([again(slot)], NOW_MS)


def test_a_paid_answer_without_a_known_price_comes_back_without_one() -> None:
    slot = released(item_of(ITEM), {"label": "x"})
    slot.cost_nano_usd = None
    assert again(slot).cost_nano_usd is None


@pytest.mark.parametrize(
    "other",
    [
        Record(b'{"id": 7, "text": "bad"}'),
        Record(b'{"id": 8, "text": "fine"}'),
        Record(None),
    ],
    ids=["another text", "another value", "a tombstone"],
)
def test_an_answer_is_not_given_to_another_item_at_its_position(other) -> None:
    """The topic may have been made anew under its name."""
    value = entry(released(item_of(ITEM), {"label": "x"}), FINGERPRINT).value
    slot = Slot("lane", 1041, Decoder().decode([other], *WHERE).items[0])
    assert not restore(slot, value)
    assert slot.call is None
    assert slot.calls == 0


def test_an_answer_is_not_given_to_another_text_of_the_same_item() -> None:
    """The task's `text` was changed meanwhile; the fingerprint says nothing of it."""
    raw = b'{"text": "fine", "title": "bad"}'
    value = entry(released(item_of(raw), {"label": "x"}), FINGERPRINT).value
    titled = Decoder(text="/title").decode([Record(raw)], *WHERE).items[0]
    assert not restore(Slot("lane", 1041, titled), value)


@given(st.binary(max_size=200) | st.recursive(JSON, st.lists).map(orjson.dumps))
def test_what_anybody_else_wrote_into_the_ledger_is_nothing(value) -> None:
    assert not restore(Slot("lane", 1041, item_of(ITEM)), value)


@given(st.data())
def test_a_record_that_was_cut_off_or_spoilt_raises_nothing(data) -> None:
    outcome = data.draw(st.sampled_from([{"label": "x"}, DROP, ItemError("a", "b")]))
    value = entry(released(item_of(ITEM), outcome), FINGERPRINT).value
    place = data.draw(st.integers(0, len(value) - 1))
    restore(Slot("lane", 1041, item_of(ITEM)), value[:place])
    spoilt = value[:place] + data.draw(st.binary(min_size=1, max_size=3)) + value[place + 1 :]
    restore(Slot("lane", 1041, item_of(ITEM)), spoilt)


# -- keys --------------------------------------------------------------------------------------


def test_a_record_is_keyed_by_position_and_fingerprint() -> None:
    made = key(item_of(ITEM), FINGERPRINT)
    assert made == b"reviews/3/1041/5f1d7a84db00d2fc"
    assert Keys("reviews", 3, FINGERPRINT).offset(made) == 1041


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        b"",
        b"reviews/3/1041/0000000000000000",
        b"reviews/4/1041/5f1d7a84db00d2fc",
        b"others/3/1041/5f1d7a84db00d2fc",
        b"reviews/3//5f1d7a84db00d2fc",
        b"reviews/3/-1/5f1d7a84db00d2fc",
        b"reviews/3/5f1d7a84db00d2fc",
        b"reviews/3/1_0/5f1d7a84db00d2fc",
    ],
)
def test_the_key_of_another_prompt_partition_or_program_says_nothing(foreign) -> None:
    assert Keys("reviews", 3, FINGERPRINT).offset(foreign) is None


# -- what a call paid for ----------------------------------------------------------------------


def call(*outcomes: Any) -> tuple[Call, list[Slot]]:
    """A call that has ended, and its slots as the engine left them; `...` is a slot whose lane was
    closed."""
    slots = [Slot("lane", n, item_of(ITEM)) for n in range(len(outcomes))]
    batch = Call(slots, "new", "count")
    for slot, outcome in zip(slots, outcomes, strict=True):
        slot.state = State.DROPPED if outcome is ... else State.ANSWERED
        if outcome is not ... and not isinstance(outcome, Unanswered):
            slot.outcome, slot.call = outcome, batch
    return batch, slots


def test_a_call_paid_for_what_it_answered_and_not_for_what_it_left_out() -> None:
    batch, slots = call("a", Unanswered.MISSING, ItemError("refused"))
    answers = ["a", Unanswered.MISSING, ItemError("refused")]
    assert paid_slots(batch, slots, answers) == [slots[0], slots[2]]


def test_an_answer_of_an_item_that_has_been_revoked_is_paid_too() -> None:
    batch, slots = call(..., "b", ...)
    assert paid_slots(batch, slots, ["a", "b", Unanswered.CUT]) == slots[:2]
    assert slots[0].outcome == "a"
    assert slots[0].call is batch


def test_a_call_that_failed_paid_for_the_outcomes_that_it_settled() -> None:
    batch, slots = call(ItemError("rejected"))
    assert paid_slots(batch, slots, ()) == slots
    batch, slots = call(...)
    assert paid_slots(batch, slots, ()) == []


def test_a_reply_of_the_wrong_length_answers_nothing() -> None:
    batch, slots = call(..., ...)
    assert paid_slots(batch, slots, ["a"]) == []


# -- where to begin ----------------------------------------------------------------------------


def test_the_next_owner_begins_where_the_first_unsettled_answer_stands() -> None:
    trail = Trail(100, 100)
    trail.bound_late_calls(0)
    trail.add_written(100, 20, 39)  # the second microbatch was answered first
    trail.add_written(120, 20, 19)
    trail.add_written(140, 20, 59)
    assert [trail.begin(mark) for mark in (0, 20, 40, 60)] == [100, 100, 140, 160]


def test_a_commit_that_comes_to_nothing_moves_nothing() -> None:
    """A transaction tells where to begin once it is committed; it may be aborted."""
    trail = Trail(100, 100)
    trail.bound_late_calls(0)
    trail.add_written(100, 20, 19)
    assert trail.begin(20) == 120
    assert trail.begin(0) == 100


def test_what_is_settled_is_forgotten() -> None:
    trail = Trail(100, 100)
    trail.bound_late_calls(0)
    for n in range(1000):
        trail.add_written(100 + 20 * n, 20, 20 * n + 19)
        trail.forget_below(20 * n)
    assert len(trail._stretches) <= 2


def test_behind_an_item_that_is_never_done_the_trail_stays_small() -> None:
    """Order "none": everything else goes on. It grew by a stretch with each call."""
    trail = Trail(0, 0)
    trail.bound_late_calls(0)
    for n in range(100_000):
        trail.add_written(20 * n, 20, 20 * n + 30)
        trail.forget_below(5)
    assert len(trail._stretches) <= answers.MAX_STRETCHES
    assert trail.begin(5) == 0
    trail.forget_below(2_000_000)
    assert trail.begin(2_000_000) > 1_900_000, "no more than a little is read again"


def test_a_record_whose_place_the_broker_has_forgotten_is_behind_those_before() -> None:
    """It answers -1 for a batch that it was sent twice and no longer knows."""
    trail = Trail(100, 100)
    trail.bound_late_calls(0)
    trail.add_written(120, 20, 19)
    trail.add_written(-1, 20, 39)
    assert [trail.begin(mark) for mark in (0, 20, 40)] == [120, 140, 160]


def test_what_was_read_is_read_again_until_it_is_settled() -> None:
    trail = Trail(100, 180, highest=59)
    trail.bound_late_calls(0)
    assert [trail.begin(mark) for mark in (0, 59, 60)] == [100, 100, 180]


def test_answers_of_an_earlier_owners_calls_are_not_passed_while_they_may_come() -> None:
    trail = Trail(100, 180)
    trail.add_written(
        200, 10, 9
    )  # from 180 to 200 stands what was under way when the lane was revoked
    assert trail.begin(10) == 180
    trail.bound_late_calls(30)
    assert [trail.begin(mark) for mark in (10, 29, 30)] == [180, 180, 210]


def test_a_ledger_that_could_not_be_read_is_read_from_the_same_place_again() -> None:
    trail = Trail(100, None)
    trail.add_written(300, 10, 9)
    assert trail.begin(10) == 100
    trail.bound_late_calls(20)
    assert trail.begin(20) == 310


def test_of_a_ledger_that_nothing_is_known_of_nothing_is_said_until_something_is_written() -> None:
    trail = Trail(None, None)
    assert trail.begin(0) is None
    trail.add_written(300, 10, 9)
    assert [trail.begin(mark) for mark in (0, 10)] == [300, 310]


@given(st.data())
def test_no_answer_of_an_unsettled_item_stands_before_where_the_next_owner_begins(data) -> None:
    """Answers in any order, some of another owner's between ours, watermarks that only grow."""
    first = data.draw(st.integers(0, 10))
    found = data.draw(st.lists(st.integers(0, 40), max_size=10))
    end = first + len(found)
    answers = dict(enumerate(found, first))  # item offsets by ledger offset
    trail, at, mark, before = Trail(first, end, max(found, default=-1)), end, 0, 0
    late_until = data.draw(st.integers(0, 40))
    for step in range(data.draw(st.integers(1, 12))):
        if step == 6:
            trail.bound_late_calls(late_until)
        if step < 6:
            for offset in data.draw(st.lists(st.integers(0, max(0, late_until - 1)), max_size=2)):
                answers[at], at = offset, at + 1  # an earlier owner's, which nobody tells us of
        ours = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))
        trail.add_written(at, len(ours), max(ours))
        answers |= dict(enumerate(ours, at))
        at += len(ours)
        mark = data.draw(st.integers(mark, 41))
        trail.begin(data.draw(st.integers(mark, 41)))  # of a commit that comes to nothing
        trail.forget_below(data.draw(st.integers(0, mark)))
        begin = trail.begin(mark)
        assert begin is not None
        assert begin >= before, "it went back"
        before = begin
        needed = [place for place, offset in answers.items() if offset >= mark]
        assert not [place for place in needed if place < begin], (begin, mark, answers)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.lists(st.integers(0, 40), min_size=1, max_size=3), st.integers(0, 4))),
    st.none() | st.integers(0, 40),
)
def test_a_trail_of_few_stretches_passes_no_unsettled_answer_either(limit, steps, late) -> None:
    """`steps`: the items of our next records, and by how much the watermark moves then. `late`:
    below which item an earlier owner's calls may still answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "MAX_STRETCHES", limit)
        trail, stands, at, mark, before = Trail(0, 0), {}, 0, 0, 0
        if late is not None:
            trail.bound_late_calls(late)
        for ours, moved in steps:
            trail.add_written(at, len(ours), max(ours))
            stands |= dict(enumerate(ours, at))
            at, mark = at + len(ours), mark + moved
            trail.forget_below(mark)
            begin = trail.begin(mark)
            assert begin is not None
            assert begin >= before, "it went back"
            before = begin
            assert not [place for place, item in stands.items() if item >= mark and place < begin]
            assert len(trail._stretches) <= limit + 3
