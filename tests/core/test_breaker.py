"""A task whose calls give dead letters and no results: it pauses, probes, and resumes by itself."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core import Paused, Resumed
from streams.core.call import Call
from streams.errors import CallError, Fault, ItemError
from streams.policies.breaker import BreakerLimits

from .scenario import CUT, INVALID, MISSING, Scenario, error, words

RUN = BreakerLimits(run=4, window=1000)
BROKEN = [Fault.REJECTED, Fault.REFUSED, Fault.TOO_LARGE, Fault.FUNCTION, Fault.TRUNCATED]


def tripped(fault: Fault = Fault.REFUSED, **limits: Any) -> Scenario:
    """a0 to a3 are dead letters, and the task has paused until 0.375 s; a4 to a29 wait."""
    s = Scenario(**{"max_items": 1, "breaker": RUN, "draw": 0.5, **limits})
    s.arrive(words("a", 30))
    for n in range(4):
        s.fail(f"a{n}", fault, message="why")
    return s


@pytest.mark.parametrize("fault", BROKEN)
def test_the_task_pauses_and_says_so_once(fault: Fault) -> None:
    s = tripped(fault)
    message = f"4 items in a row are dead letters, the last: {fault.value}: why"
    assert s.said() == [Paused("breaker", 0.375, message)]
    assert s.calls() == ["a0", "a1", "a2", "a3"]
    assert s.at(0.374).calls() == []
    assert s.engine.statistics().paused_reason == "breaker"


def test_timeouts_and_answers_that_never_come_trip_it_too() -> None:
    for fail in (
        lambda s, word: s.fail(word, Fault.TIMEOUT),
        lambda s, word: s.reply(word, **{word: MISSING}),
        lambda s, word: s.reply(word, **{word: INVALID}),
        lambda s, word: s.reply(word, **{word: CUT}),
        lambda s, word: s.reply(word, **{word: ItemError("function_error", "KeyError")}),
    ):
        s = Scenario(max_items=1, max_attempts=1, max_asks=0, breaker=RUN)
        s.arrive(words("a", 30))
        for n in range(4):
            fail(s, f"a{n}")
        assert [said.reason for said in s.said() if isinstance(said, Paused)] == ["breaker"]


def test_a_probe_takes_one_item_and_its_result_lets_everything_flow() -> None:
    s = Scenario(max_items=2, max_in_flight=3, breaker=RUN)
    s.arrive(words("a", 4))
    s.run(lambda batch: error(Fault.REFUSED), until_s=0)
    assert len(s.codes()) == 4
    s.arrive(words("a", 9, 4)).at(0.375).said()
    s.calls()
    assert list(s.in_flight) == ["a4"]
    s.reply("a4")
    assert s.said() == [Resumed()]
    assert s.calls() == ["a5 a6", "a7 a8"]


def test_a_probe_that_is_a_dead_letter_makes_the_next_wait_longer() -> None:
    s = tripped()
    waits = []
    for n in range(4, 12):
        due = s.engine.next_deadline()
        assert due is not None
        waits.append(due - s.now)
        s.at(due).fail(f"a{n}", Fault.REFUSED)
    assert waits == pytest.approx([0.375, 0.75, 1.5, 3, 6, 12, 22.5, 22.5])
    assert s.released()[-1] == "a11"


@pytest.mark.parametrize("fault", [*BROKEN, Fault.BAD_REPLY])
def test_a_refusal_shows_that_the_api_is_there_but_not_that_calls_give_results(
    fault: Fault,
) -> None:
    s = tripped()
    s.at(0.375).fail("a4", fault)
    assert s.engine.statistics().paused_reason == "breaker"
    assert not s.in_flight


def test_an_answer_without_anything_usable_does_not_end_it() -> None:
    s = tripped()
    s.at(0.375).reply("a4", a4=MISSING)
    assert s.engine.statistics().paused_reason == "breaker"


@pytest.mark.parametrize("answer", [None, ItemError("too_short")])
def test_what_a_function_decided_about_an_item_ends_it(answer: Any) -> None:
    s = tripped()
    s.at(0.375).reply("a4", a4=answer)
    assert s.engine.statistics().paused_reason is None


def test_a_call_that_began_before_it_neither_ends_nor_prolongs_it() -> None:
    s = Scenario(max_items=1, max_in_flight=3, breaker=RUN)
    s.arrive(words("a", 30))
    for word in ("a0", "a1", "a2", "a3"):
        s.fail(word, Fault.REFUSED)
    assert sorted(s.in_flight) == ["a4", "a5"]
    s.said()
    s.reply("a4").fail("a5", Fault.REFUSED)
    assert s.said() == []
    assert s.engine.statistics().paused_reason == "breaker"


def test_an_outage_during_it_ends_by_a_refusal_and_the_breaker_stays() -> None:
    s = tripped()
    s.at(0.375).fail("a4", Fault.CONNECTION).said()
    s.at(10.0).fail("a4", Fault.REFUSED)
    assert [said.reason for said in s.said() if isinstance(said, Paused)] == ["breaker"]
    s.at(100.0).reply("a5")
    assert s.said() == [Resumed()]


def test_a_probe_that_times_out_prolongs_it() -> None:
    s = tripped()
    s.at(0.375).fail("a4", Fault.TIMEOUT)
    assert s.engine.statistics().paused_until == 0.375 + 0.75


def test_a_function_that_asks_for_a_retry_is_not_tried_with_every_item_in_turn() -> None:
    s = tripped()
    s.at(0.375).calls()
    s.fail("a4", Fault.RETRY, retry_after_s=5.0)
    assert s.at(5.3).calls() == []
    s.at(5.375)
    assert len(s.calls()) == 1


def test_timeouts_of_items_that_others_had_results_beside_are_their_own() -> None:
    """They are decided late, one after the other, when everything else has long been answered."""
    s = Scenario(max_items=1, max_in_flight=2, max_attempts=3, breaker=RUN)
    s.arrive(words("a", 40))
    s.run(lambda batch: error(Fault.TIMEOUT) if int(batch.items[0][1:]) % 2 else ["ok"])
    assert len(s.codes()) == 20
    assert s.said() == []


def test_what_was_decided_before_any_call_is_not_counted() -> None:
    s = Scenario(max_items=1, max_tokens=5, breaker=RUN)
    s.arrive(words("a", 50), tokens=9).arrive(words("b", 50), outcome=ItemError("invalid_json"))
    assert len(s.codes()) == 100
    assert s.said() == []


def test_item_errors_of_a_function_never_trip_it() -> None:
    s = Scenario(max_items=5, breaker=RUN)
    s.arrive(words("a", 100))
    s.run(lambda batch: [ItemError("too_short")] * batch.size)
    assert s.said() == []
    assert len(s.codes()) == 100


def test_without_limits_there_is_no_breaker() -> None:
    """A list of bad items (`map_batches`) comes to its end."""
    s = tripped(breaker=None)
    s.run(lambda batch: error(Fault.REFUSED), until_s=0)
    assert len(s.codes()) == 30


def test_a_task_whose_every_item_is_bad_goes_on_at_the_probes_pace_in_order() -> None:
    s = Scenario(max_items=20, max_in_flight=5, breaker=BreakerLimits())
    s.arrive(words("a", 500)).arrive(words("b", 500))

    def respond(batch: Call) -> CallError:
        return error(Fault.REJECTED)

    s.run(respond, until_s=600)
    first = len(s.codes())
    assert 100 <= first <= 100 + 5 + 600 / 15  # one a probe, every 15 to 30 s once it backed off
    s.run(respond, until_s=6000)
    assert first + 150 <= len(s.codes()) <= first + 5400 / 15
    left = " ".join(s.released()).split()
    for lane in "ab":
        seqs = [int(word[1:]) for word in left if word[0] == lane]
        assert seqs == list(range(len(seqs)))


def test_after_it_everything_has_results_and_few_dead_letters_were_made() -> None:
    s = Scenario(max_items=20, max_in_flight=5, breaker=BreakerLimits())
    s.arrive(words("a", 500)).arrive(words("b", 500))
    s.run(lambda batch: error(Fault.REFUSED), until_s=120)
    dead = set(s.codes())
    assert len(dead) < 130
    s.run(lambda batch: [word.upper() for word in batch.items])
    assert set(s.codes()) == dead
    assert sorted(" ".join(s.released()).split()) == sorted(s.slots)


def test_where_most_items_fail_its_pauses_grow_though_each_ends_with_the_first_result() -> None:
    s = Scenario(max_items=1, breaker=BreakerLimits(run=10**6, window=20), check=False)
    s.arrive(words("a", 200))
    s.run(lambda batch: error(Fault.REFUSED) if int(batch.items[0][1:]) % 4 else ["ok"])
    said = s.said()
    assert said[1::2] == [Resumed()] * (len(said) // 2)
    assert s.now > 0.375 + 0.75 + 1.5
    assert len(s.codes()) == 150
