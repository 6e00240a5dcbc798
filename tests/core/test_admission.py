"""How many calls are in flight, and who goes next."""

from __future__ import annotations

import pytest

from streams.core import Limits
from streams.errors import Fault

from .scenario import CUT, MISSING, Scenario, words


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_limit_of_n_admits_exactly_n(limit: int) -> None:
    """arroyo's max_pending_futures=2 accepted 3."""
    s = Scenario(max_items=1, max_in_flight=limit)
    s.arrive(words("a", 20))
    assert len(s.calls()) == limit
    for n in range(20):
        s.reply(f"a{n}")
        assert len(s.in_flight) == min(limit, 19 - n)
    assert s.engine.statistics().max_in_flight_seen == limit


def test_a_call_that_failed_gives_its_place_back_while_it_waits() -> None:
    s = Scenario(max_items=1, max_in_flight=1)
    s.arrive("a0 b0").fail("a0", Fault.TIMEOUT)
    assert s.calls() == ["a0", "b0"]


def test_a_repeat_that_is_due_goes_before_new_batches() -> None:
    """It holds back everything after it in order."""
    s = Scenario(max_items=1, max_in_flight=1)
    s.arrive("a0 a1 a2").fail("a0", Fault.TIMEOUT)
    assert s.calls() == ["a0", "a1"]
    s.at(10.0).reply("a1")
    assert s.calls() == ["a0"]


def test_a_repeat_is_never_called_beyond_the_limit() -> None:
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1 a2 a3").fail("a0", Fault.TIMEOUT).at(10.0)
    assert s.calls() == ["a0", "a1", "a2"]


def test_a_batch_that_asks_for_a_retry_for_ever_does_not_hold_others_back() -> None:
    """Retry(0) is due at once, every time; with one place in flight it would take every turn."""
    s = Scenario(max_items=1, max_in_flight=1)
    s.arrive("a0 b0 b1 b2")
    for _ in range(10):
        (word,) = s.in_flight
        if word == "a0":
            s.fail("a0", Fault.RETRY, retry_after_s=0)
        else:
            s.reply(word)
    assert s.released() == ["b0", "b1", "b2"]


def test_batch_ids_count_calls_in_the_order_they_start() -> None:
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1").fail("a0", Fault.TIMEOUT).at(10.0)
    assert [batch.id for batch in s.batches()] == ["t-1", "t-2", "t-3"]


def test_a_slot_says_which_call_answered_it_and_how_many_it_was_in() -> None:
    s = Scenario(max_items=4, draw=0.0)
    s.arrive("a0 a1 a2 a3").fail("a0 a1 a2 a3", Fault.REJECTED).reply("a0 a1").reply("a2 a3")
    slot = s.slots["a3"]
    assert slot.call is not None
    assert (slot.call.id, slot.call.size, slot.index, slot.calls) == ("t-3", 2, 1, 2)


def test_a_call_that_is_over_keeps_no_slot_in_memory() -> None:
    """A slot points to its batch: a batch that pointed back would keep both until the collector
    comes by."""
    s = Scenario(max_items=2)
    s.arrive("a0 a1").reply("a0 a1")
    batch = s.slots["a0"].call
    assert batch is not None
    assert (batch.slots, batch.size) == ([], 2)


def test_one_call_per_batch_when_nothing_fails() -> None:
    s = Scenario(max_items=5, max_in_flight=3)
    s.arrive(words("a", 50))
    calls = s.run(lambda batch: list(batch.items))
    statistics = s.engine.statistics()
    assert (calls, statistics.calls, statistics.retries, statistics.splits) == (10, 10, 0, 0)


def test_every_call_is_new_or_a_retry_or_a_split_and_never_two_of_them() -> None:
    """Dividing a batch into k calls is one retry and k - 1 splits."""
    s = Scenario(max_items=4, max_in_flight=9)
    s.arrive("a0 a1 a2 a3")
    s.fail("a0 a1 a2 a3", Fault.REJECTED)  # 1 retry, 1 split
    s.reply("a0 a1", a1=MISSING)  # 1 retry (asked again)
    s.reply("a2 a3", a2=CUT, a3=CUT)  # 1 retry, 1 split
    s.fail("a2", Fault.RETRY, retry_after_s=0)  # 1 retry
    statistics = s.engine.statistics()
    assert (statistics.calls, statistics.retries, statistics.splits) == (7, 4, 2)
    retries = [call.reason for call in s.batches() if call.cause in ("retry", "ask")]
    assert sorted(retries) == ["no_answer", "rejected", "retry", "truncated"]


def test_what_holds_a_lane_back_is_named_with_the_reason() -> None:
    s = Scenario(max_items=2, max_wait_s=1)
    assert s.engine.blocking("a") is None
    s.arrive("a3")
    blocking = s.engine.blocking("a")
    assert blocking is not None
    assert (blocking.seq, blocking.state.value, blocking.since) == (3, "waiting", 0.0)
    s.at(1.0)
    blocking = s.engine.blocking("a")
    assert blocking is not None
    assert (blocking.state.value, blocking.since, blocking.call_id) == ("in flight", 1.0, "t-1")
    s.at(2.0).fail("a3", Fault.TIMEOUT)
    blocking = s.engine.blocking("a")
    assert blocking is not None
    assert (blocking.state.value, blocking.since, blocking.until, blocking.reason) == (
        "retrying",
        2.0,
        2.25,  # 0.5 s with half of it drawn
        "timeout",
    )
    s.at(3.0).reply("a3")
    blocking = s.engine.blocking("a")
    assert blocking is not None
    assert blocking.state.value == "awaiting delivery"


def test_the_history_of_an_item_is_told_in_order() -> None:
    s = Scenario(max_items=1, draw=0.5)
    s.arrive("a0").fail("a0", Fault.TIMEOUT).at(1.0).reply("a0").deliver()
    assert s.engine.history("a", 0) == [
        "0.000 arrived",
        "0.000 call t-1 (new, count)",
        "0.000 t-1 failed: timeout: no",
        "0.000 retry in 0.250 s",
        "0.250 call t-2 (retry, timeout)",
        "1.000 released",
        "1.000 delivered",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_items": 0},
        {"max_tokens": 0},
        {"max_bytes": -1},
        {"max_in_flight": 0},
        {"max_attempts": 0},
        {"max_asks": -1},
        {"max_wait_s": -0.001},
        {"max_wait_s": float("nan")},
        {"order": "any"},
    ],
)
def test_limits_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Limits(**wrong)  # type: ignore[arg-type]


def test_an_error_for_the_wrong_number_of_answers() -> None:
    """A reply of the wrong length is an error of the call, and nobody gets another's answer."""
    s = Scenario(max_items=2)
    s.arrive("a0 a1")
    batch = s.in_flight["a0 a1"]
    s.run(lambda b: ["only one"] if b is batch else list(b.items))
    assert s.outcomes() == {"a0": "a0", "a1": "a1"}
    assert [call.reason for call in s.batches()[1:]] == [Fault.BAD_REPLY] * 2
