"""What may befall everybody, and whose it is: the contract's "The API's word is weighed"."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from streams.core import Paused
from streams.core.call import Call
from streams.errors import CallError, Fault

from .scenario import Company, Scenario, error, words

WEIGHED = [Fault.ACCOUNT, Fault.SERVER, Fault.CONNECTION, Fault.THROTTLED]
NEVER = 1e9


def refusing(poison: str, fault: Fault, **fields: Any) -> Any:
    """An API that refuses every call with this item, and answers every other."""

    def respond(call: Call) -> list[Any] | CallError:
        return error(fault, **fields) if poison in call.items else [w.upper() for w in call.items]

    return respond


# -- one bad item --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", WEIGHED)
@pytest.mark.parametrize("in_flight", [1, 5])
@pytest.mark.parametrize("place", [0, 7, 150, 299])
def test_one_item_of_300_that_is_always_refused_costs_itself_and_no_other(
    fault: Fault, in_flight: int, place: int
) -> None:
    """One partition, in order: the other 299 have their results, in order and in bounded time."""
    s = Scenario(max_items=20, max_in_flight=in_flight, draw=0.99, check=False)
    s.arrive(words("a", 300))
    poison = f"a{place}"
    s.run(refusing(poison, fault), until_s=300)
    assert s.codes() == {poison: fault.value}
    assert " ".join(s.released()) == words("a", 300)
    # Where nothing but its own microbatch is left, a limit is waited for before it is divided.
    limit_s = 180 if fault is Fault.THROTTLED and place == 299 else 60
    assert s.now <= limit_s
    assert s.slots[poison].faults == s.limits.max_attempts
    assert {slot.faults for word, slot in s.slots.items() if word != poison} == {0}
    s.engine.check_invariants()


@pytest.mark.parametrize("fault", WEIGHED)
def test_nobody_else_waits_for_an_item_that_is_always_refused(fault: Fault) -> None:
    """While it backs off other partitions go on; all pauses for its sake take some seconds."""
    s = Scenario(max_items=10, max_in_flight=1, draw=0.99, check=False)
    s.arrive(words("a", 10))
    late: list[float] = []
    for n in range(100):
        s.arrive(words("b", 10, start=10 * n))
        s.run(refusing("a3", fault), until_s=s.now)
        arrived = s.now
        s.run(refusing("a3", fault), until_s=s.now + 0.05)
        s.at(arrived + 1.0)
        s.run(refusing("a3", fault), until_s=s.now)
        late.append(s.slots[f"b{10 * n}"].outcome == f"B{10 * n}")
    assert s.codes() == {"a3": fault.value}
    assert late.count(False) <= (8 if fault is Fault.THROTTLED else 2)
    s.run(refusing("a3", fault))
    assert {slot.outcome for word, slot in s.slots.items() if word[0] == "b"} == {
        f"B{n}" for n in range(1000)
    }


@pytest.mark.parametrize("fault", WEIGHED)
@pytest.mark.parametrize("bad", [2, 15, 30])
@pytest.mark.parametrize("in_flight", [1, 5])
def test_several_bad_items_do_not_make_each_other_look_innocent(
    fault: Fault, bad: int, in_flight: int
) -> None:
    s = Scenario(max_items=20, max_in_flight=in_flight, draw=0.5, check=False)
    s.arrive(words("a", 300))
    poison = {f"a{n}" for n in Random(bad).sample(range(300), bad)}

    def respond(call: Call) -> list[Any] | CallError:
        return error(fault) if poison & set(call.items) else [w.upper() for w in call.items]

    s.run(respond, until_s=3600)
    assert set(s.codes()) == poison
    assert " ".join(s.released()) == words("a", 300)


@pytest.mark.parametrize("fault", WEIGHED)
@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_a_healthy_item_is_no_dead_letter_for_its_neighbours_sake(
    fault: Fault, attempts: int
) -> None:
    s = Scenario(max_items=20, max_in_flight=2, max_attempts=attempts, check=False)
    s.arrive(words("a", 200))
    s.run(refusing("a33", fault), until_s=600)
    assert s.codes() == {"a33": fault.value}


@pytest.mark.parametrize("fault", WEIGHED)
def test_an_item_that_the_api_says_will_never_pass_is_given_up_as_soon_as_it_is_found(
    fault: Fault,
) -> None:
    s = Scenario(max_items=20, max_in_flight=2)
    s.arrive(words("a", 200))
    s.run(refusing("a33", fault, should_retry=False))
    assert s.codes() == {"a33": fault.value}
    assert s.slots["a33"].faults < s.limits.max_attempts


def test_an_item_waits_by_itself_as_long_as_the_api_asks() -> None:
    s = Scenario(max_items=1, max_in_flight=2, draw=0.0)
    s.arrive("a0 a1").reply("a1").fail("a0", Fault.SERVER, retry_after_s=7.0)
    assert s.said() == []
    assert s.engine.next_deadline() == 7.0


# -- nobody to compare with ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", WEIGHED)
def test_an_item_with_nobody_to_compare_it_with_is_delayed_until_somebody_is_answered(
    fault: Fault,
) -> None:
    s = Scenario(max_items=1, max_in_flight=1, max_attempts=1, draw=0.5)
    s.arrive("a0")
    s.run(refusing("a0", fault), until_s=7_200)
    assert s.codes() == {}
    assert s.slots["a0"].faults == 0
    s.arrive(words("b", 200))
    s.run(refusing("a0", fault))
    assert s.codes() == {"a0": fault.value}


@pytest.mark.parametrize("fault", WEIGHED)
def test_a_call_that_began_before_a_failure_is_no_witness_of_what_came_after(fault: Fault) -> None:
    """A key is revoked while calls are under way: those that are answered were let in before."""
    s = Scenario(max_items=1, max_in_flight=5, max_attempts=1, draw=0.5)
    s.arrive(words("a", 50)).fail("a0", fault)
    s.at(0.1).reply("a1").at(0.2).reply("a2").at(0.3).reply("a3").at(0.4).reply("a4")
    s.run(lambda call: error(fault), until_s=600)
    assert s.codes() == {}
    assert {slot.faults for slot in s.slots.values()} == {0}


# -- outages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", WEIGHED)
@pytest.mark.parametrize("size", [1, 20])
@pytest.mark.parametrize("until_s", [25.0, 305.0])
@pytest.mark.parametrize("sudden", [True, False])
def test_an_outage_costs_no_dead_letter_though_calls_were_answered_right_before(
    fault: Fault, size: int, until_s: float, sudden: bool
) -> None:
    """`sudden`: else one call that begins after the first failures is still answered. That makes
    them attempts, but one is not the last."""
    attempts = 1 if sudden else 6
    for draw in (0.01, 0.99):
        s = Scenario(max_items=size, max_in_flight=5, max_attempts=attempts, draw=draw, check=False)

        def respond(call: Call, s: Scenario = s) -> list[Any] | CallError:
            straggles = s.now == 5.0 and "7" in call.items[0] and not sudden
            if 5.0 <= s.now < until_s and not straggles:
                return error(fault)
            return [word.upper() for word in call.items]

        arrived = 0
        while s.now < until_s + 310:
            s.arrive(words("a", 3, start=arrived)).arrive(words("b", 3, start=arrived))
            arrived += 3
            s.run(respond, until_s=s.now + 1)
            s.at(s.now + 1)
        assert s.codes() == {}
        assert max(slot.faults for slot in s.slots.values()) <= (0 if sudden else 2)
        assert len(" ".join(s.released()).split()) == 2 * arrived


@pytest.mark.parametrize("faults", [[fault] for fault in WEIGHED] + [WEIGHED[1:]])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("size", [1, 20])
def test_an_api_that_fails_by_chance_costs_no_dead_letter(
    faults: list[Fault], share: float, size: int, seed: int
) -> None:
    random = Random(seed)
    s = Scenario(max_items=size, max_in_flight=5, check=False)
    s.arrive(words("a", 200)).arrive(words("b", 200))

    def respond(call: Call) -> list[Any] | CallError:
        failed = random.random() < share
        return error(random.choice(faults)) if failed else [w.upper() for w in call.items]

    s.run(respond)
    assert s.codes() == {}
    assert " ".join(s.released()).count("b") == 200


@pytest.mark.parametrize("fault", WEIGHED)
@pytest.mark.parametrize("size", [1, 20])
def test_an_outage_that_flaps_costs_no_dead_letter(fault: Fault, size: int, seed: int) -> None:
    """Half a second of every five it works."""
    random = Random(seed)
    s = Scenario(max_items=size, max_in_flight=5, draw=random.random(), check=False)

    def respond(call: Call) -> list[Any] | CallError:
        works = s.now > 300 or s.now % 5 < 0.5 or random.random() < 0.05
        return [word.upper() for word in call.items] if works else error(fault)

    for n in range(300):
        s.arrive(words("a", 2, start=2 * n))
        s.run(respond, until_s=s.now + 1)
        s.at(s.now + 1)
    s.run(respond)
    assert s.codes() == {}
    assert len(" ".join(s.released()).split()) == 600


# -- members of an account -------------------------------------------------------------------------


def test_an_item_that_one_task_has_refused_is_found_by_the_answers_of_another() -> None:
    limits = {"max_items": 4, "max_wait_s": 0.0}
    company = Company(a=limits, b=limits)
    a, b = company.members
    a.arrive("a9").reply("a9")
    a.arrive("a10 a11 a12 a13")
    for n in range(200):
        b.arrive(words("b", 4, start=4 * n))
        company.at(n * 0.5)
        for call in list(b.in_flight):
            b.reply(call)
        for call in list(a.in_flight):
            if "a12" in call:
                a.fail(call, Fault.ACCOUNT)
            else:
                a.reply(call)
        company.turn()
    assert a.codes() == {"a12": "account"}
    assert [said.reason for said in b.said() if isinstance(said, Paused)].count("account") <= 2
    assert all(slot.outcome for slot in b.slots.values())
