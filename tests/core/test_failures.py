"""What follows a failed call and a missing answer: one test per row of the table in
`streams.policies.retry`, and the bounds that hold for a bad item and its neighbours."""

from __future__ import annotations

from math import ceil, log2
from typing import Any

import pytest

from streams.core.call import Call
from streams.errors import CallError, Fault

from .scenario import CUT, INVALID, MISSING, Scenario, error, words

# -- something in the request ---------------------------------------------------------------------

REQUEST_FAULTS = [
    (Fault.REJECTED, "rejected"),
    (Fault.REFUSED, "refused"),
    (Fault.TOO_LARGE, "too_large"),
    (Fault.FUNCTION, "function_error"),
    (Fault.TRUNCATED, "truncated"),
]


@pytest.mark.parametrize(("fault", "code"), REQUEST_FAULTS)
def test_a_request_that_is_at_fault_is_halved_at_once(fault: Fault, code: str) -> None:
    s = Scenario(max_items=5, max_in_flight=2)
    s.arrive(words("a", 5)).fail(words("a", 5), fault)
    assert s.calls()[1:] == ["a0 a1 a2", "a3 a4"]
    assert s.codes() == {}


@pytest.mark.parametrize(("fault", "code"), REQUEST_FAULTS)
def test_an_item_that_is_at_fault_alone_is_a_dead_letter_at_once(fault: Fault, code: str) -> None:
    s = Scenario(max_items=1)
    s.arrive("a0").fail("a0", fault, message="bad words")
    assert s.codes() == {"a0": code}
    assert s.slots["a0"].outcome.message == "bad words"
    assert s.released() == ["a0"]


@pytest.mark.parametrize(("fault", "code"), REQUEST_FAULTS)
def test_where_nothing_may_be_split_each_item_of_the_call_gets_the_error(
    fault: Fault, code: str
) -> None:
    s = Scenario(max_items=3, split=False)
    s.arrive("a0 a1 a2").fail("a0 a1 a2", fault)
    assert s.codes() == {"a0": code, "a1": code, "a2": code}
    assert s.slots["a0"].outcome is not s.slots["a1"].outcome


def poisoned(poison: str, fault: Fault) -> Any:
    """An API that refuses every call with this item, and answers every other."""

    def respond(batch: Call) -> list[Any] | CallError:
        return error(fault) if poison in batch.items else [word.upper() for word in batch.items]

    return respond


@pytest.mark.parametrize("fault", [Fault.REJECTED, Fault.REFUSED, Fault.BAD_REPLY])
@pytest.mark.parametrize("size", [1, 2, 7, 20, 100])
def test_one_poison_item_is_isolated_and_its_neighbours_get_their_results(
    size: int, fault: Fault
) -> None:
    """At most 2 * ceil(log2 N) + 1 extra calls, wherever it stands; of 20 on average at most 9."""
    places = range(size) if size <= 20 else (0, 1, 49, 50, 74, 99)
    extra_calls = []
    for place in places:
        s = Scenario(max_items=size, max_wait_s=0, check=size == 7)
        s.arrive(words("a", size))
        extra_calls.append(s.run(poisoned(f"a{place}", fault)) - 1)
        assert s.codes() == {f"a{place}": fault.value}
        assert " ".join(s.released()) == words("a", size)
        assert sorted(s.outcomes().values()) == sorted(
            [fault.value, *(f"A{n}" for n in range(size) if n != place)]
        )
    if size == 1:
        assert extra_calls == [2 if fault is Fault.BAD_REPLY else 0]
    else:
        assert max(extra_calls) <= 2 * ceil(log2(size)) + 1
    if size == 20 and fault is not Fault.BAD_REPLY:
        assert sum(extra_calls) / size <= 9


# -- replies that are cut or cannot be read -----------------------------------------------------


def test_answers_before_the_cut_stand_and_the_others_are_asked_in_halves() -> None:
    s = Scenario(max_items=5, max_in_flight=2)
    s.arrive(words("a", 5)).reply(words("a", 5), a2=CUT, a3=CUT, a4=CUT)
    assert s.released() == ["a0 a1"]
    assert s.calls()[1:] == ["a2 a3", "a4"]


def test_an_item_whose_answer_is_cut_alone_is_a_dead_letter() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0 a1").reply("a0 a1", a1=CUT).reply("a1", a1=CUT)
    assert s.outcomes() == {"a0": "A0", "a1": "truncated"}


def test_a_reply_cut_before_its_first_answer_is_asked_in_halves() -> None:
    s = Scenario(max_items=4, max_in_flight=2)
    s.arrive(words("a", 4)).reply("a0 a1 a2 a3", a0=CUT, a1=CUT, a2=CUT, a3=CUT)
    assert s.calls()[1:] == ["a0 a1", "a2 a3"]


def test_cut_answers_are_dead_letters_where_nothing_may_be_split() -> None:
    s = Scenario(max_items=2, split=False)
    s.arrive("a0 a1").reply("a0 a1", a1=CUT)
    assert s.outcomes() == {"a0": "A0", "a1": "truncated"}


def test_an_unreadable_reply_is_asked_in_halves() -> None:
    s = Scenario(max_items=4, max_in_flight=2)
    s.arrive(words("a", 4)).fail(words("a", 4), Fault.BAD_REPLY)
    assert s.calls()[1:] == ["a0 a1", "a2 a3"]


def test_an_unreadable_reply_to_one_item_is_asked_again_at_once_twice() -> None:
    s = Scenario(max_items=1)
    s.arrive("a0")
    for _ in range(3):
        s.fail("a0", Fault.BAD_REPLY)
    assert s.calls() == ["a0", "a0", "a0"]
    assert s.codes() == {"a0": "invalid_answer"}
    assert s.now == 0.0


def test_an_unreadable_reply_is_asked_again_whole_where_nothing_may_be_split() -> None:
    s = Scenario(max_items=2, split=False, max_asks=1)
    s.arrive("a0 a1").fail("a0 a1", Fault.BAD_REPLY).fail("a0 a1", Fault.BAD_REPLY)
    assert s.calls() == ["a0 a1", "a0 a1"]
    assert s.codes() == {"a0": "invalid_answer", "a1": "invalid_answer"}


# -- answers that are missing or invalid ----------------------------------------------------------


def test_missing_answers_are_asked_again_together_and_the_others_stand() -> None:
    s = Scenario(max_items=4)
    s.arrive(words("a", 4)).reply("a0 a1 a2 a3", a1=MISSING, a3=INVALID)
    assert s.released() == ["a0"]
    assert s.calls()[1:] == ["a1 a3"]
    s.reply("a1 a3")
    assert s.released() == ["a1 a2 a3"]
    assert s.now == 0.0  # without back-off


def test_the_last_time_each_is_asked_alone() -> None:
    """So that one item that spoils its replies cannot spoil its neighbours' last chance."""
    s = Scenario(max_items=4, max_in_flight=4)
    s.arrive(words("a", 4)).reply("a0 a1 a2 a3", a1=MISSING, a3=MISSING)
    s.reply("a1 a3", a1=MISSING, a3=INVALID)
    assert s.calls()[1:] == ["a1 a3", "a1", "a3"]
    s.reply("a1", a1=MISSING).reply("a3", a3=INVALID)
    assert s.codes() == {"a1": "no_answer", "a3": "invalid_answer"}
    assert not s.at_rest
    s.deliver()
    assert s.at_rest


@pytest.mark.parametrize(("why", "code"), [(MISSING, "no_answer"), (INVALID, "invalid_answer")])
@pytest.mark.parametrize("size", [1, 2, 20])
def test_an_item_that_is_never_answered_costs_two_calls_more(
    size: int, why: Any, code: str
) -> None:
    s = Scenario(max_items=size)
    s.arrive(words("a", size))
    calls = s.run(lambda batch: [why if word == "a0" else word for word in batch.items])
    assert calls == 1 + 2
    assert s.codes() == {"a0": code}
    assert s.slots["a0"].calls == 3


def test_two_items_that_are_never_answered_cost_two_calls_more_each_at_most() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0 a1")
    assert s.run(lambda batch: [MISSING] * batch.size) == 1 + 4
    assert s.codes() == {"a0": "no_answer", "a1": "no_answer"}


def test_a_reply_without_any_usable_answer_is_asked_in_halves() -> None:
    s = Scenario(max_items=4, max_in_flight=2)
    s.arrive(words("a", 4))
    s.reply("a0 a1 a2 a3", a0=MISSING, a1=MISSING, a2=INVALID, a3=MISSING)
    assert s.calls()[1:] == ["a0 a1", "a2 a3"]


def test_an_answer_is_final_at_once_where_none_is_to_be_asked_again() -> None:
    s = Scenario(max_items=2, max_asks=0)
    s.arrive("a0 a1").reply("a0 a1", a1=MISSING)
    assert s.outcomes() == {"a0": "A0", "a1": "no_answer"}


# -- counted attempts ----------------------------------------------------------------------------


def test_a_timeout_is_tried_again_after_waits_that_double_and_final_after_max_attempts() -> None:
    """Full jitter with half of each wait drawn: of 0.5, 1, 2, 4, 8 s."""
    s = Scenario(max_items=1, max_attempts=6, draw=0.5)
    s.arrive("a0").fail("a0", Fault.TIMEOUT)
    waits = []
    while (due := s.engine.next_deadline()) is not None:
        waits.append(due - s.now)
        s.at(due).fail("a0", Fault.TIMEOUT)
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert s.codes() == {"a0": "timeout"}
    assert s.slots["a0"].calls == 6


def test_a_timeout_of_several_divides_them_so_that_each_is_alone_by_its_last_attempt() -> None:
    s = Scenario(max_items=20, max_attempts=6)
    s.arrive(words("a", 20))
    sizes: dict[int, set[int]] = {}

    def respond(batch: Call) -> CallError:
        sizes.setdefault(s.slots[batch.items[0]].calls, set()).add(batch.size)
        return error(Fault.TIMEOUT)

    s.run(respond)
    assert sizes == {1: {20}, 2: {10}, 3: {5}, 4: {2, 3}, 5: {1, 2}, 6: {1}}
    assert set(s.codes().values()) == {"timeout"}
    assert len(s.codes()) == 20


@pytest.mark.parametrize("attempts", [1, 2, 3, 6])
@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.SERVER])
def test_only_the_item_at_fault_is_a_dead_letter_and_only_alone(
    attempts: int, fault: Fault
) -> None:
    """An item's neighbours get their results, whatever max_attempts is."""
    s = Scenario(max_items=20, max_attempts=attempts)
    s.arrive(words("a", 60))
    alone = []

    def respond(batch: Call) -> list[Any] | CallError:
        if "a13" not in batch.items:
            return list(batch.items)
        s.arrive(f"b{len(alone)}")  # other items go on coming: their calls show that the API works
        alone.append(batch.size == 1)
        return error(fault)

    s.run(respond)
    assert s.codes() == {"a13": fault.value}
    assert alone[-1]
    assert "a59" in s.outcomes().values()
    if fault is Fault.TIMEOUT:
        assert s.slots["a13"].calls <= max(attempts, 2)
    else:  # first it is found among the 20
        assert s.slots["a13"].calls <= attempts + 7


def test_a_server_error_of_the_only_item_there_is_is_never_held_against_it() -> None:
    """Nothing else is called, so nobody can tell the item's fault from an outage."""
    s = Scenario(max_items=1, max_attempts=1)
    s.arrive("a0")
    s.run(poisoned("a0", Fault.SERVER), until_s=600)
    assert s.codes() == {}
    assert s.slots["a0"].faults == 0


def test_a_timeout_is_repeated_whole_where_nothing_may_be_split() -> None:
    s = Scenario(max_items=2, split=False, max_attempts=2)
    s.arrive("a0 a1").fail("a0 a1", Fault.TIMEOUT).at(1.0).fail("a0 a1", Fault.TIMEOUT)
    assert s.calls() == ["a0 a1", "a0 a1"]
    assert s.codes() == {"a0": "timeout", "a1": "timeout"}


def test_a_server_error_again_while_others_succeed_is_an_attempt_and_so_is_the_first() -> None:
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1").reply("a1").fail("a0", Fault.SERVER)
    assert s.slots["a0"].faults == 0
    assert s.engine.next_deadline() == 0.25
    s.arrive("a2").reply("a2").at(0.25).fail("a0", Fault.SERVER)
    assert s.slots["a0"].faults == 2
    assert s.said() == []
    assert s.engine.next_deadline() == 0.25 + 0.5


def test_a_success_from_before_its_last_failure_says_nothing_about_the_next() -> None:
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1").reply("a1").fail("a0", Fault.SERVER).arrive("a2")
    s.at(10.0).fail("a0", Fault.SERVER)  # nothing was answered since: it may be down by now
    assert s.slots["a0"].faults == 0
    assert s.engine.statistics().paused_reason == "outage"


def test_the_last_item_of_a_topic_that_ends_in_a_server_error_each_time_is_not_waited_for() -> None:
    """It failed among calls that succeeded, and none is left that could succeed again: its failures
    are its own, also where it never was in a call with others."""
    for size in (1, 7, 20):
        for place in range(20):
            s = Scenario(max_items=size, max_in_flight=5)
            s.arrive(words("a", 40))
            s.run(poisoned(f"a{20 + place}", Fault.SERVER), until_s=90)
            assert s.codes() == {f"a{20 + place}": "server_error"}
            attempts = s.slots[f"a{20 + place}"].faults
            assert s.limits.max_attempts <= attempts <= s.limits.max_attempts + 2
            assert " ".join(s.released()) == words("a", 40)


def test_the_last_item_is_waited_for_where_the_last_answer_is_a_minute_old() -> None:
    """By then it may well be the API that is down."""
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1").reply("a1").fail("a0", Fault.SERVER).at(61.0)
    s.run(poisoned("a0", Fault.SERVER), until_s=3600)
    assert s.codes() == {}
    assert s.slots["a0"].faults == 0


def test_a_server_error_that_others_saw_succeed_between_is_counted_with_one_call_at_a_time() -> (
    None
):
    """With one place no other call succeeds *during* a call; what counts is that some succeeded
    since its last failure."""
    s = Scenario(max_items=1, max_in_flight=1, max_attempts=2)
    s.arrive(words("a", 9))
    s.run(poisoned("a0", Fault.SERVER))
    assert s.codes() == {"a0": "server_error"}


def test_a_timeout_error_on_the_way_down_neither_loses_nor_skips_an_item() -> None:
    """arroyo took a task's own TimeoutError for the end of its drain and lost the item."""
    from streams.core import Halt

    s = Scenario(max_items=1, max_in_flight=3)
    s.arrive("a0 a1 a2 a3")
    s.handle(Halt())
    s.reply("a0").reply("a2").fail("a1", Fault.TIMEOUT).deliver()
    assert s.watermark("a") == 1
    assert not s.at_rest
    s.at(10.0).reply("a1").deliver()
    assert s.watermark("a") == 3  # a3 was never called: it is handed back
    assert s.at_rest


# -- not counted ---------------------------------------------------------------------------------


def test_a_connection_error_while_others_succeed_makes_only_this_batch_wait() -> None:
    s = Scenario(max_items=1, max_in_flight=2, draw=0.5)
    s.arrive("a0 a1 a2").reply("a1").fail("a0", Fault.CONNECTION)
    assert s.said() == []
    assert s.slots["a0"].faults == 0
    assert s.calls() == ["a0", "a1", "a2"]
    s.at(0.25)
    assert s.calls() == ["a0"]


def test_an_item_that_breaks_connections_is_found_among_others_and_given_up() -> None:
    s = Scenario(max_items=4, max_in_flight=2, draw=0.5)
    s.arrive(words("a", 4)).arrive(words("b", 40))
    s.run(poisoned("a2", Fault.CONNECTION), until_s=60)
    assert s.codes() == {"a2": "connection"}
    assert s.slots["a2"].faults == s.limits.max_attempts
    assert " ".join(s.released()).split()[-2:] == ["a2", "a3"]


def test_a_function_that_asks_for_a_retry_gets_its_batch_again_as_it_was() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0 a1")
    for _ in range(20):
        s.fail("a0 a1", Fault.RETRY, retry_after_s=3.0).at(s.now + 2.9)
        assert not s.in_flight
        s.at(s.now + 0.1001)
        assert list(s.in_flight) == ["a0 a1"]
    assert s.slots["a0"].faults == 0
    assert s.said() == []


@pytest.mark.parametrize("after_s", [None, float("nan"), float("inf")])
def test_a_retry_without_a_time_waits_a_second(after_s: float | None) -> None:
    s = Scenario(max_items=1)
    s.arrive("a0").fail("a0", Fault.RETRY, retry_after_s=after_s)
    assert s.engine.next_deadline() == 1.0
