"""Bad items among good ones: isolated in few calls, whatever they do, wherever they stand."""

from __future__ import annotations

from collections import Counter
from math import ceil, log2
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.core.call import Call
from streams.errors import CallError, Fault
from streams.model import Unanswered

from ..core.scenario import Scenario, words
from .effort import effort

FAULTS = [Fault.REJECTED, Fault.REFUSED, Fault.TOO_LARGE, Fault.TRUNCATED, Fault.BAD_REPLY]
UNANSWERED = [Unanswered.MISSING, Unanswered.INVALID]
CUT = Unanswered.CUT


def most_extra(size: int, why: Fault | Unanswered) -> int:
    """Calls that one bad item of a microbatch may cost beyond the one that it has anyway."""
    if why in UNANSWERED:
        return 2
    if size == 1:
        return 2 if why is Fault.BAD_REPLY else 0
    return 2 * ceil(log2(size)) + 1


class PoisonedRun:
    """Items through an engine; every call that holds a bad one fails, or lacks its answer, as
    `why_of` says of it. `extra`: calls more, by the number of the microbatch that began it."""

    def __init__(self, size: int, items: int, why_of: dict[int, Any], **limits: Any) -> None:
        self.s = Scenario(max_items=size, max_wait_s=0, check=False, **limits)
        self._why_of = {f"a{n}": why for n, why in why_of.items()}
        self.extra: Counter[int] = Counter()
        self._size = size
        self.s.arrive(words("a", items))
        self.s.run(self._respond)

    def _respond(self, batch: Call) -> list[Any] | CallError:
        if batch.cause != "new":
            self.extra[int(batch.items[0][1:]) // self._size] += 1
        bad = {word: self._why_of[word] for word in batch.items if word in self._why_of}
        for why in bad.values():
            if isinstance(why, Fault):
                return CallError(why, "bad")
        answers: list[Any] = []
        for word in batch.items:
            after_cut = answers[-1:] == [CUT]
            answers.append(CUT if after_cut else bad.get(word, word.upper()))
        return answers


@effort(150)
@given(
    size=st.integers(1, 100),
    place=st.integers(0, 99),
    why=st.sampled_from([*FAULTS, *UNANSWERED, CUT]),
    in_flight=st.integers(1, 5),
)
@example(size=100, place=99, why=Fault.BAD_REPLY, in_flight=1)
@example(size=65, place=0, why=Fault.REFUSED, in_flight=5)
def test_one_bad_item_costs_at_most_twice_the_halvings_and_one_call_more(
    size: int, place: int, why: Any, in_flight: int
) -> None:
    run = PoisonedRun(size, size, {place % size: why}, max_in_flight=in_flight)
    bad = f"a{place % size}"
    assert run.s.outcomes() == {w: why.value if w == bad else w.upper() for w in run.s.slots}
    assert " ".join(run.s.released()) == words("a", size)
    assert run.extra.total() <= most_extra(size, why)


@effort(100)
@given(
    size=st.integers(1, 40),
    bad=st.dictionaries(st.integers(0, 119), st.sampled_from(FAULTS), max_size=12),
    order=st.sampled_from(["partition", "key", "none"]),
    in_flight=st.integers(1, 5),
)
def test_several_bad_items_cost_no_more_than_each_by_itself(
    size: int, bad: dict[int, Fault], order: str, in_flight: int
) -> None:
    """Of different kinds, in one microbatch or in several, and in every order."""
    run = PoisonedRun(size, 120, dict(bad), order=order, max_in_flight=in_flight)
    assert set(run.s.codes()) == {f"a{n}" for n in bad}
    assert all(run.s.outcomes()[w] == w.upper() for w in run.s.slots if w not in run.s.codes())
    left = " ".join(run.s.released()).split()
    assert sorted(left) == sorted(run.s.slots)
    assert order != "partition" or left == [*run.s.slots]
    in_batch = Counter(n // size for n in bad)
    for number, extra in run.extra.items():
        assert extra <= in_batch[number] * max(most_extra(size, why) for why in bad.values())


@pytest.mark.parametrize("why", [Fault.REFUSED, Fault.REJECTED])
def test_no_place_among_twenty_costs_more_than_nine_calls(why: Fault) -> None:
    """Every hundredth item of a partition has the same place in its microbatch: an average over
    all places would promise too little."""
    for place in range(20):
        assert PoisonedRun(20, 20, {place: why}, max_in_flight=2).extra.total() <= 9


def test_a_bad_item_among_twenty_costs_what_is_promised_on_average(seed: int) -> None:
    """1 % of the items, by chance: at most 9 calls each where they are refused or rejected, at most
    2 where they are never answered; never more than 11."""
    random = Random(seed)
    bad = random.sample(range(4_000), 40)
    for why, mean, most in (
        (Fault.REFUSED, 9, 11),
        (Fault.REJECTED, 9, 11),
        (Unanswered.MISSING, 2, 2),
    ):
        run = PoisonedRun(20, 4_000, dict.fromkeys(bad, why), max_in_flight=5)
        assert run.extra.total() / len(bad) <= mean
        in_batch = Counter(n // 20 for n in bad)
        assert max(run.extra[number] / count for number, count in in_batch.items()) <= most
        assert len(run.s.codes()) == len(bad)


@pytest.mark.parametrize("attempts", [1, 2, 3, 6])
def test_an_item_that_always_times_out_delays_its_neighbours_by_its_attempts_at_most(
    attempts: int,
) -> None:
    """G7: `max_attempts` x `timeout_s`; each neighbour has its result by then."""
    s = Scenario(max_items=20, max_attempts=attempts, max_in_flight=20, draw=0.99)
    s.arrive(words("a", 20))
    calls_of_neighbours = 0

    def respond(batch: Call) -> list[Any] | CallError:
        nonlocal calls_of_neighbours
        if "a7" in batch.items:
            return CallError(Fault.TIMEOUT, "no reply")
        calls_of_neighbours = max(s.slots[word].calls for word in batch.items)
        return [word.upper() for word in batch.items]

    s.run(respond)
    assert s.codes() == {"a7": "timeout"}
    assert calls_of_neighbours <= max(attempts, 2)
    assert s.slots["a7"].calls == max(attempts, 2)
