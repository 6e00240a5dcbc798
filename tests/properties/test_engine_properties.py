"""Properties of whole runs: what an API may do, and what every item gets for it."""

from __future__ import annotations

from math import ceil, log2
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.core import (
    Arrived,
    Engine,
    Failed,
    Limits,
    Opened,
    Paused,
    Replied,
    Slot,
    StartCall,
    Tick,
)
from streams.core.call import Call
from streams.errors import CallError, Fault
from streams.model import Unanswered
from streams.policies.breaker import BreakerLimits

from ..core.scenario import Scenario, words
from .effort import effort

FATAL = [Fault.REJECTED, Fault.REFUSED, Fault.TOO_LARGE, Fault.FUNCTION, Fault.BAD_REPLY]
UNCOUNTED = [Fault.CONNECTION, Fault.THROTTLED, Fault.ACCOUNT, Fault.RETRY]
ORDERS = st.sampled_from(["partition", "key", "none"])


@effort(60)
@given(
    size=st.integers(1, 40),
    poison=st.sets(st.integers(0, 99), max_size=6),
    fault=st.sampled_from([*FATAL, Fault.TIMEOUT]),
    in_flight=st.integers(1, 4),
    attempts=st.integers(1, 7),
)
def test_bad_items_never_change_their_neighbours_results(
    size: int, poison: set[int], fault: Fault, in_flight: int, attempts: int
) -> None:
    """However many there are in a batch: each is a dead letter, every other has its own result."""
    s = Scenario(
        max_items=size, max_wait_s=0, max_in_flight=in_flight, max_attempts=attempts, check=False
    )
    s.arrive(words("a", 100))
    bad = {f"a{n}" for n in poison}

    def respond(batch: Call) -> list[Any] | CallError:
        if bad.intersection(batch.items):
            return CallError(fault, "no")
        return [word.upper() for word in batch.items]

    calls = s.run(respond)
    assert s.outcomes() == {word: fault.value if word in bad else word.upper() for word in s.slots}
    assert " ".join(s.released()) == words("a", 100)
    if fault is not Fault.TIMEOUT:
        each = 2 * ceil(log2(size)) + 1 if size > 1 else 2
        new = sum(s.engine.statistics().calls_by_reason.values())
        assert calls <= new + each * len(bad)


@effort(20)
@given(
    size=st.sampled_from([1, 7, 20, 100, 400]),
    share=st.sampled_from([0.01, 0.2]),
    fault=st.sampled_from([*FATAL, Fault.TIMEOUT, Fault.SERVER, *Unanswered]),
    in_flight=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_bad_items_spread_over_a_topic_never_trip_the_breaker(
    size: int, share: float, fault: Fault | Unanswered, in_flight: int, seed: int
) -> None:
    """1 % as well as 20 %, whatever halving does to the order in which they are found."""
    breaker = BreakerLimits.for_rounds_of(size * in_flight)
    s = Scenario(
        max_items=size, max_wait_s=0, max_in_flight=in_flight, breaker=breaker, check=False
    )
    s.arrive(words("a", 700)).arrive(words("b", 700))
    random = Random(seed)
    bad = {word for word in s.slots if random.random() < share}

    def respond(batch: Call) -> list[Any] | CallError:
        if bad.isdisjoint(batch.items):
            return list(batch.items)
        if isinstance(fault, Unanswered):
            return [fault if word in bad else word for word in batch.items]
        return CallError(fault, "no")

    s.run(respond, until_s=3600)
    assert "breaker" not in {said.reason for said in s.said() if isinstance(said, Paused)}
    assert set(s.codes()) <= bad
    assert set(s.codes()) == bad or fault is Fault.SERVER  # the last ones may be an outage


@effort(60)
@given(
    outage=st.integers(1, 400),
    fault=st.sampled_from([*FATAL, Fault.TIMEOUT]),
    order=ORDERS,
    size=st.integers(1, 40),
    in_flight=st.integers(1, 5),
    poison=st.sets(st.integers(0, 299), max_size=10),
)
def test_after_any_time_of_dead_letters_alone_every_healthy_item_gets_its_result(
    outage: int, fault: Fault, order: str, size: int, in_flight: int, poison: set[int]
) -> None:
    """However long none does: nothing wedges, nothing is lost, few dead letters are made."""
    run = 20
    s = Scenario(
        max_items=size,
        max_wait_s=0,
        max_in_flight=in_flight,
        order=order,
        breaker=BreakerLimits(run=run),
        check=False,
    )
    s.arrive(words("a", 300))
    calls = 0

    def respond(batch: Call) -> list[Any] | CallError:
        nonlocal calls
        calls += 1
        if calls <= outage or not poison.isdisjoint(int(word[1:]) for word in batch.items):
            return CallError(fault, "no")
        return [word.upper() for word in batch.items]

    s.run(respond)
    assert all(slot.outcome in (word.upper(), fault.value) or word in s.codes()
               for word, slot in s.slots.items())  # fmt: skip
    probes = sum(isinstance(said, Paused) for said in s.said())
    assert len(s.codes()) <= len(poison) + run + in_flight + probes
    s.deliver()
    assert s.watermark("a") == 300


@effort(60)
@given(
    size=st.integers(2, 40),
    silent=st.sets(st.integers(0, 39), max_size=4),
    why=st.sampled_from([Unanswered.MISSING, Unanswered.INVALID]),
)
def test_items_that_are_never_answered_cost_two_calls_each_at_most(
    size: int, silent: set[int], why: Unanswered
) -> None:
    s = Scenario(max_items=size, max_wait_s=0, check=False)
    s.arrive(words("a", size))
    bad = {f"a{n}" for n in silent if n < size}
    if len(bad) == size > 2:
        bad.pop()
    calls = s.run(lambda batch: [why if word in bad else word for word in batch.items])
    assert set(s.codes()) == bad
    assert calls - 1 <= 2 * len(bad)


@effort(60)
@given(
    faults=st.lists(st.sampled_from([*UNCOUNTED, None]), max_size=60),
    order=ORDERS,
    size=st.integers(1, 8),
    in_flight=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_no_outage_however_long_makes_a_dead_letter(
    faults: list[Fault | None], order: str, size: int, in_flight: int, seed: int
) -> None:
    """Lost connections, throttling, account refusals, functions that ask for a retry: all pass."""
    s = Scenario(
        max_items=size,
        max_wait_s=0,
        max_in_flight=in_flight,
        order=order,
        draw=Random(seed).random(),
    )
    s.arrive(words("a", 20)).arrive(words("b", 20))
    script = iter(faults)

    def respond(batch: Call) -> list[Any] | CallError:
        fault = next(script, None)
        return [word.upper() for word in batch.items] if fault is None else CallError(fault, "no")

    s.run(respond)
    assert s.outcomes() == {word: word.upper() for word in s.slots}
    s.deliver()
    assert (s.watermark("a"), s.watermark("b")) == (20, 20)


@effort(60)
@given(backlogs=st.lists(st.integers(1, 60), min_size=1, max_size=12), max_items=st.integers(1, 10))
def test_a_new_item_waits_for_one_round_of_the_lanes_at_most(
    backlogs: list[int], max_items: int
) -> None:
    """G8: every lane with a backlog goes before it once, however long its backlog is."""
    s = Scenario(max_items=max_items, max_in_flight=1, check=False)
    for n, backlog in enumerate(backlogs):
        s.arrive(words("abcdefghijkl"[n], backlog))
    s.arrive("z0")
    s.at(1.0)
    before = s.calls()
    while not any("z0" in call.split() for call in before):
        s.reply(before[-1])
        before += s.calls()
    first = 1  # took the only place before the item came
    assert len(before) <= first + ceil((len(backlogs) + 1) / max_items)


@effort(40)
@given(
    seed=st.integers(0, 2**32),
    order=ORDERS,
    lanes=st.integers(1, 5),
    in_flight=st.integers(1, 5),
)
def test_the_same_events_and_the_same_chance_give_the_same_actions(
    seed: int, order: str, lanes: int, in_flight: int
) -> None:
    """So that any failure is replayed from its seed."""

    def run() -> list[str]:
        random = Random(seed)
        limits = Limits(max_items=4, max_in_flight=in_flight, order=order)  # type: ignore[arg-type]
        engine = Engine(limits, random=Random(seed + 1).random)
        for lane in range(lanes):
            engine.handle(Opened(lane), 0.0)
        said: list[str] = []
        calls: list[Call] = []
        now = 0.0
        for n in range(150):
            now += random.choice([0.0, 0.001, 0.05])
            dice = random.random()
            if dice < 0.4:
                slots = [
                    Slot(random.randrange(lanes), n, None, arrived_at=now, order_key=n % 3 or None)
                ]
                actions = engine.handle(Arrived(slots), now)
            elif calls and dice < 0.9:
                batch = calls.pop(random.randrange(len(calls)))
                if random.random() < 0.5:
                    answers = [random.choice([1, 2, Unanswered.MISSING]) for _ in batch.slots]
                    actions = engine.handle(Replied(batch.id, answers), now)
                else:
                    error = CallError(random.choice(list(Fault)), "no")
                    actions = engine.handle(Failed(batch.id, error), now)
            else:
                actions = engine.handle(Tick(), now)
            calls += [action.call for action in actions if isinstance(action, StartCall)]
            said += [f"{now:.6f} {action} {engine.next_deadline()}" for action in actions]
        return said

    assert run() == run()
