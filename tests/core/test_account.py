"""Engines that share an account: they pause together, one of them probes, they ramp up in turns."""

from __future__ import annotations

import pytest

from streams.core import Limits, Paused, Resumed
from streams.core.account import Account
from streams.core.reservation import Reservation
from streams.core.seat import Seat
from streams.errors import Fault
from streams.model import Quota, RateLimits
from streams.policies.breaker import BreakerLimits
from streams.policies.demand import Demand
from streams.policies.retry import Backoff

from .scenario import Company, Scenario, words

ONE = {"max_items": 1, "max_wait_s": 0.0}


def of(**limits: object) -> dict[str, object]:
    """Limits of a member that calls each item alone, at once."""
    return {**ONE, **limits}


def in_flight(company: Company) -> list[int]:
    return [len(member.in_flight) for member in company.members]


# -- pauses and probes ---------------------------------------------------------------------------


def test_a_429_of_one_pauses_both_one_of_them_probes_and_both_go_on() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0 a1").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    company.at(1.0)
    b.arrive("b0 b1")
    company.at(4.9)
    assert (a.calls(), b.calls()) == (["a0"], [])
    company.at(60.0)
    assert (a.calls(), b.calls()) == (["a0"], [])  # one probe, and nobody beside it
    a.reply("a0")
    company.turn()
    assert (a.calls(), b.calls()) == (["a1"], ["b0"])
    assert a.said() == [Paused("throttled", 5.0, "no"), Resumed()]
    assert b.said() == [Paused("throttled", 5.0, "no"), Resumed()]


@pytest.mark.parametrize(("retry_after_s", "opens_at"), [(9.0, 10.0), (2.0, 5.0)])
def test_a_longer_retry_after_that_another_engine_hears_counts(
    retry_after_s: float, opens_at: float
) -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0")
    b.arrive("b0")
    a.fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    company.at(1.0)
    b.fail("b0", Fault.THROTTLED, retry_after_s=retry_after_s)
    company.at(opens_at - 0.1)
    assert in_flight(company) == [0, 0]
    company.at(opens_at)
    assert in_flight(company) == [1, 0]


def test_five_calls_of_two_engines_that_fail_together_are_one_failure() -> None:
    company = Company(a=of(max_in_flight=3), b=of(max_in_flight=2))
    a, b = company.members
    a.arrive("a0 a1 a2")
    b.arrive("b0 b1")
    for engine, call in ((a, "a0"), (b, "b0"), (a, "a1"), (b, "b1"), (a, "a2")):
        engine.fail(call, Fault.CONNECTION)
    assert company.account.statistics().paused_until == 0.25


def test_a_refused_key_of_one_pauses_both() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.ACCOUNT, message="credit balance is too low")
    b.arrive("b0")
    company.at(29.0)
    assert b.calls() == []
    assert b.said() == [Paused("account", 0.25, "credit balance is too low")]
    company.at(30.0)
    a.reply("a0")
    company.turn()
    assert b.calls() == ["b0"]


def test_what_refuses_one_engine_only_stops_no_other() -> None:
    """Its schema, say: the API takes that for the same fault as an empty purse."""
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive(words("a", 9))
    b.arrive(words("b", 900))
    answered = 0
    for second in range(600):
        company.at(float(second))
        for call in list(a.in_flight):
            a.fail(call, Fault.ACCOUNT, message="the schema is too complex")
        for call in list(b.in_flight):
            b.reply(call)
            answered += 1
        company.turn()
    assert answered >= 595, "only the first pause, of a moment, is everybody's"
    assert a.engine.statistics().paused_message == "the schema is too complex"
    assert a.engine.statistics().calls <= 12
    assert b.engine.statistics().paused_reason is None


def test_an_engine_that_alone_was_refused_goes_on_once_it_gets_a_result() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive(words("a", 3)).fail("a0", Fault.ACCOUNT)
    b.arrive(words("b", 2))
    company.at(0.25)
    a.fail("a1", Fault.ACCOUNT)  # the account's probe
    company.at(1.0)
    b.reply("b0")  # ends the account's pause
    company.turn()
    a.fail(next(iter(a.in_flight)), Fault.ACCOUNT)
    assert company.account.pause is None
    assert b.calls()[-1] == "b1"
    company.at(1.2)
    assert a.in_flight == {}
    company.at(1.25)
    a.reply(next(iter(a.in_flight)))
    assert a.said()[-1] == Resumed()
    assert len(a.in_flight) == 1


def test_an_account_that_refuses_everybody_pauses_everybody() -> None:
    """Also where one of them was answered, long ago, and another never."""
    company = Company(a=of(), b=of())
    a, b = company.members
    b.arrive("b0").reply("b0")
    a.arrive("a0").fail("a0", Fault.ACCOUNT)
    company.at(30.0)
    a.fail("a0", Fault.ACCOUNT)
    b.arrive("b1")
    assert in_flight(company) == [0, 0]
    assert company.account.pause is not None


def test_engines_of_other_accounts_are_unaffected() -> None:
    company, other = Company(a=of()), Company(b=of())
    (a,), (b,) = company.members, other.members
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    b.arrive("b0")
    assert b.calls() == ["b0"]


def test_the_breaker_of_one_engine_pauses_no_other() -> None:
    company = Company(a=of(breaker=BreakerLimits(run=1)), b=of())
    a, b = company.members
    a.arrive("a0 a1").fail("a0", Fault.REJECTED)
    b.arrive("b0")
    assert (a.calls(), b.calls()) == (["a0"], ["b0"])
    assert company.account.pause is None
    assert b.said() == []


def test_an_answer_to_an_old_call_of_another_engine_ends_an_outage() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    b.arrive("b0")
    a.arrive("a0 a1").fail("a0", Fault.CONNECTION)
    company.at(0.1)
    assert a.calls() == ["a0"]
    b.reply("b0")
    assert company.wakes == {"a": 1}
    company.turn()
    assert a.calls() == ["a0"]
    assert a.said() == [Paused("outage", 0.25, "no"), Resumed()]


def test_an_engine_looks_when_its_call_is_due_though_another_paused_the_account_meanwhile() -> None:
    company = Company(a=of(), b=of(max_wait_s=1.0, max_items=2))
    a, b = company.members
    b.arrive("b0")
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    assert b.engine.next_deadline() == 1.0
    company.at(1.0)
    assert company.account.statistics().in_line == 2
    assert b.said() == [Paused("throttled", 5.0, "no")]


def test_a_call_that_began_before_the_pause_of_another_engine_does_not_end_it() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    b.arrive("b0 b1")
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    b.reply("b0")
    company.at(4.9)
    assert b.calls() == ["b0"]


def test_when_the_longer_of_two_pauses_ends_those_that_wait_ask_when_the_other_is_over() -> None:
    company = Company(a=of(), b=of(max_in_flight=2), c=of())
    a, b, c = company.members
    a.arrive("a0")
    b.arrive("b0 b1")
    a.fail("a0", Fault.THROTTLED, retry_after_s=2.0)
    c.arrive("c0")
    b.fail("b0", Fault.CONNECTION, retry_after_s=50.0)
    company.at(1.0)
    b.reply("b1")  # which ends the outage
    company.at(2.0)
    assert sum(in_flight(company)) == 1


def test_probes_take_turns_among_engines() -> None:
    """The calls of one engine break every connection: the other's get through all the same."""
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.CONNECTION)
    b.arrive("b0")
    company.at(0.25)
    assert in_flight(company) == [1, 0]
    a.fail("a0", Fault.CONNECTION)
    company.at(10.0)
    assert in_flight(company) == [0, 1]


def test_the_failed_probe_of_one_engine_makes_the_other_wait_longer() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.CONNECTION)
    b.arrive("b0")
    company.at(0.25)
    a.fail("a0", Fault.CONNECTION)
    company.at(0.74)
    assert in_flight(company) == [0, 0]
    company.at(0.75)
    assert in_flight(company) == [0, 1]
    assert b.said() == [Paused("outage", 0.25, "no"), Paused("outage", 0.75, "no")]


# -- who may not hold the probe ------------------------------------------------------------------


def test_the_probe_of_an_engine_that_leaves_is_free_for_another() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    b.arrive("b0")
    company.at(6.0)
    assert in_flight(company) == [1, 0]
    a.engine.leave()
    company.turn()
    assert b.calls() == ["b0"]


def test_a_probe_that_is_cancelled_is_free_for_another() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    b.arrive("b0")
    company.at(6.0)
    a.close("a").cancel("a0")
    company.turn()
    assert b.calls() == ["b0"]


def test_an_engine_with_nothing_to_call_does_not_take_the_probe() -> None:
    company = Company(a=of(), b=of(), c=of(max_items=9, max_wait_s=100.0))
    a, b, c = company.members
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0).close("a")
    c.arrive("c0")  # its window is open for a while
    company.at(1.0)
    b.arrive("b0")
    company.at(5.0)
    assert [member.calls() for member in company.members] == [["a0"], ["b0"], []]
    assert company.account.statistics().in_line == 0


def test_an_engine_whose_items_are_gone_leaves_the_line_to_the_next() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    b.arrive("b0")  # behind a0
    a.close("a")
    assert company.wakes == {"b": 1}  # it waits for the time now, no longer for a
    company.at(5.0)
    assert b.calls() == ["b0"]


def test_an_engine_whose_own_breaker_pauses_leaves_the_probe_to_another() -> None:
    company = Company(a=of(max_in_flight=2, breaker=BreakerLimits(run=1)), b=of())
    a, b = company.members
    a.arrive("a0 a1").fail("a0", Fault.THROTTLED, retry_after_s=0.1).fail("a1", Fault.REFUSED)
    b.arrive("b0")
    company.at(0.1)  # the breaker's pause ends at 0.25
    assert in_flight(company) == [0, 1]


# -- ramp-up -------------------------------------------------------------------------------------


def test_after_a_pause_the_calls_of_all_engines_ramp_up_together_and_in_equal_parts() -> None:
    company = Company(a=of(max_in_flight=20), b=of(max_in_flight=14))
    a, b = company.members
    a.arrive(words("a", 100))
    b.arrive(words("b", 100))
    for member in company.members:
        for call in list(member.in_flight):
            member.fail(call, Fault.THROTTLED, retry_after_s=1.0)
    company.at(1.0)
    seen = [in_flight(company)]
    for _ in range(6):
        member = max(company.members, key=lambda member: len(member.in_flight))
        member.reply(next(iter(member.in_flight)))
        company.turn()
        seen.append(in_flight(company))
    assert [sum(row) for row in seen] == [1, 2, 4, 8, 16, 32, 34]
    assert all(abs(of_a - of_b) <= 2 for of_a, of_b in seen[:5])
    assert seen[-1] == [20, 14]
    assert company.account.statistics().ramp is None


@pytest.mark.parametrize("more", [0, 9])
def test_slow_calls_of_one_engine_from_before_a_pause_do_not_stop_another(more: int) -> None:
    """They fill the ramp until they are answered, which may take a minute. `more`: items that the
    slow one would like to call, and stands in line for."""
    company = Company(slow=of(max_in_flight=12), quick=of(max_in_flight=5))
    slow, quick = company.members
    slow.arrive(words("s", 10))
    quick.arrive(words("q", 20)).fail("q0", Fault.THROTTLED, retry_after_s=1.0)
    for call in ("q1", "q2", "q3", "q4"):
        quick.reply(call)
    slow.arrive(words("s", more, start=10))
    company.at(1.0)
    while in_flight(company)[0] > 10:  # a probe of its own
        slow.reply(list(slow.in_flight)[-1])
        company.turn()
    seen = []
    for _ in range(3):
        quick.reply(next(iter(quick.in_flight)))
        company.turn()
        seen.append(in_flight(company))
    assert seen[-1][1] > 0


def test_a_place_that_comes_free_goes_to_who_has_waited_longest() -> None:
    """Calls that time out do not let the ramp grow: three engines share its two places."""
    company = Company(a=of(), b=of(), c=of())
    a, b, c = company.members
    a.arrive(words("a", 9)).fail("a0", Fault.THROTTLED, retry_after_s=1.0)
    company.at(1.0)
    b.arrive(words("b", 9))
    c.arrive(words("c", 9))
    a.reply("a0")
    company.turn()
    assert in_flight(company) == [0, 1, 1]  # a waits behind those that have waited longer
    b.fail("b0", Fault.TIMEOUT)
    company.turn()
    assert in_flight(company) == [1, 0, 1]
    c.fail("c0", Fault.TIMEOUT)
    company.turn()
    assert in_flight(company) == [1, 1, 0]


def test_an_engine_alone_may_use_all_of_the_ramp() -> None:
    company = Company(a=of(max_in_flight=4), b=of(max_in_flight=4))
    a, _ = company.members
    a.arrive(words("a", 9)).fail("a0", Fault.THROTTLED, retry_after_s=1.0)
    for call in ("a1", "a2", "a3"):
        a.reply(call)
    company.at(1.0)
    for calls in (2, 4):
        a.reply(next(iter(a.in_flight)))
        assert len(a.in_flight) == calls


def test_an_engine_that_leaves_takes_its_limit_along() -> None:
    company = Company(a=of(max_in_flight=1), b=of(max_in_flight=9))
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=1.0)
    company.at(1.0)
    a.reply("a0")
    assert company.account.statistics().ramp == 2
    b.engine.leave()
    assert company.account.statistics().ramp is None


# -- waking --------------------------------------------------------------------------------------


def test_nobody_is_woken_for_nothing() -> None:
    company = Company(a=of(), b=of(), c=of())
    a, b, c = company.members
    a.arrive("a0 a1 a2").reply("a0").fail("a1", Fault.THROTTLED, retry_after_s=5.0)
    company.at(6.0)
    assert company.wakes == {}  # it has a deadline of its own, b and c have nothing to call
    a.reply("a1")
    assert company.wakes == {}
    b.arrive("b0 b1").reply("b0")
    a.reply("a2")
    assert c.said() == []
    assert company.wakes == {}


def test_an_engine_that_has_announced_the_pause_is_woken_when_it_is_over() -> None:
    """It has nothing to call, but its log and its metrics say that it is paused."""
    company = Company(a=of(), b=of())
    a, b = company.members
    b.arrive("b0")
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    b.reply("b0")
    assert b.said() == [Paused("throttled", 5.0, "no")]
    company.at(5.0)
    a.reply("a0")
    assert company.wakes == {"b": 1}
    company.turn()
    assert b.said() == [Resumed()]


def test_the_account_does_not_wake_the_engine_that_is_being_handled() -> None:
    company = Company(a=of(max_in_flight=2))
    (a,) = company.members
    a.arrive(words("a", 9)).fail("a0", Fault.CONNECTION).reply("a1")
    company.at(100.0)
    while a.in_flight:
        a.reply(next(iter(a.in_flight)))
    assert set(a.outcomes().values()) == {f"A{n}" for n in range(9)}
    assert company.wakes == {}


def test_a_call_that_is_due_later_is_in_line_from_when_it_is_due() -> None:
    """While another's probe is out nobody knows when calls may start."""
    company = Company(a=of(), b=of(max_items=9, max_wait_s=3.0))
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.CONNECTION)
    company.at(0.25)  # a0 probes
    b.arrive("b0")
    assert b.engine.next_deadline() == 3.25
    company.at(4.0)
    assert b.engine.next_deadline() is None
    assert company.account.statistics().in_line == 1
    a.reply("a0")
    company.turn()
    assert b.calls() == ["b0"]


# -- reserve -------------------------------------------------------------------------------------


def account() -> Account:
    return Account(Backoff(), Backoff(30.0, 300.0), lambda: 0.0)


def throttled(shared: Account, retry_after_s: float) -> None:
    member = Scenario(account=shared, **ONE)
    member.arrive("z0").fail("z0", Fault.THROTTLED, retry_after_s=retry_after_s)
    member.engine.leave()


def test_a_reservation_is_granted_while_calls_flow_and_counts_its_tokens() -> None:
    shared = account()
    seat = Seat(shared, Limits(max_in_flight=2), lambda: None)
    first, second = seat.reserve(Demand(1, 100, 0), 0.0), seat.reserve(Demand(1, 20, 0), 0.0)
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    assert shared.statistics()[2:4] == (2, 120)
    seat.ended(first)
    assert shared.statistics()[2:4] == (1, 20)


def test_a_reservation_in_a_pause_names_the_time_to_ask_again() -> None:
    shared = account()
    throttled(shared, 5.0)
    seat = Seat(shared, Limits(max_in_flight=1), lambda: None)
    assert seat.reserve(Demand(1, 1, 0), 4.9) == 5.0
    probe = seat.reserve(Demand(1, 1, 0), 5.0)
    assert isinstance(probe, Reservation)
    assert seat.is_probe(probe)


def test_who_cannot_know_the_time_is_woken_once_when_it_may_ask() -> None:
    shared, woken = account(), []
    throttled(shared, 5.0)
    limits = Limits(max_in_flight=1)
    one, other = (Seat(shared, limits, lambda name=name: woken.append(name)) for name in "ab")  # type: ignore[misc]
    probe = one.reserve(Demand(1, 1, 0), 5.0)
    assert isinstance(probe, Reservation)
    assert other.reserve(Demand(1, 1, 0), 5.0) == float("inf")
    one.succeeded(probe, 6.0)
    one.withdraw(6.0)
    assert woken == ["b"]
    assert isinstance(other.reserve(Demand(1, 1, 0), 6.0), Reservation)


def test_an_engine_that_has_left_starts_nothing_and_says_nothing() -> None:
    company = Company(a=of(max_in_flight=2), b=of())
    a, b = company.members
    a.arrive("a0 a1 a2")
    a.engine.leave()
    a.fail("a0", Fault.ACCOUNT).reply("a1")
    assert company.account.pause is None
    assert company.account.statistics()[:4] == (1, 0, 0, 0)
    assert a.calls() == ["a0", "a1"]
    b.arrive("b0")
    assert b.calls() == ["b0"]


def test_the_tokens_of_what_was_called_are_reserved_whatever_the_estimate() -> None:
    company = Company(a={"max_items": 2, "max_tokens": 100, "max_in_flight": 9})
    (a,) = company.members
    for seq, tokens in enumerate((1, 2, 30, 90, 5)):
        a.arrive(f"a{seq}", tokens=tokens)
    assert a.calls() == ["a0 a1", "a2", "a3 a4"]
    assert company.account.statistics().reserved_tokens == 128
    a.reply("a3 a4")
    assert company.account.statistics().reserved_tokens == 33


# -- what the calls say --------------------------------------------------------------------------


def test_the_latest_rate_limits_are_those_of_replies_and_refusals_alike() -> None:
    company = Company(a=of(), b=of())
    a, b = company.members
    first, second = (RateLimits(requests=Quota(1000, left, 0.1)) for left in (7, 0))
    a.arrive("a0 a1").reply("a0", rate_limits=first)
    assert company.account.statistics().rate_limits == first
    b.arrive("b0").fail("b0", Fault.THROTTLED, rate_limits=second)
    a.reply("a1")  # a response without such headers
    assert company.account.statistics().rate_limits == second


def test_a_server_error_is_the_items_where_calls_of_another_engine_succeed() -> None:
    company = Company(a=of(max_attempts=2), b=of())
    a, b = company.members
    a.arrive("a0")
    b.arrive("b0 b1 b2").reply("b0")
    a.fail("a0", Fault.SERVER)
    assert company.account.pause is None
    assert a.slots["a0"].faults == 0  # once is no proof
    company.at(100.0)
    b.reply("b1").reply("b2")
    a.fail("a0", Fault.SERVER)
    assert a.codes() == {"a0": "server_error"}


def test_the_last_item_of_an_engine_is_not_to_blame_while_another_engine_waits_for_answers() -> (
    None
):
    company = Company(a=of(), b=of())
    a, b = company.members
    b.arrive("b0 b1").reply("b0")
    a.arrive("a0").fail("a0", Fault.TIMEOUT)
    company.at(10.0)
    a.fail("a0", Fault.SERVER)
    assert a.slots["a0"].faults == 1
    assert company.account.statistics().paused_reason == "outage"
