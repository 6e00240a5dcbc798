"""The contract's paragraph "Attempts", sentence by sentence, from the response's status on.

`streams.providers.sdk_faults` says what a response means, the engine what follows; time is virtual.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streams.core import Paused, Resumed
from streams.core.call import Call
from streams.errors import CallError, Fault
from streams.providers.sdk_faults import call_error

from .scenario import INVALID, MISSING, Scenario, words

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DAY_S = 86_400.0
LOST = CallError(Fault.CONNECTION, "reset by peer")
TIMED_OUT = CallError(Fault.TIMEOUT, "no reply within 60 s")


def response(status: int, message: str = "", code: str | None = None) -> CallError:
    body = {"error": {"type": "e", "message": message, "details": {"error_code": code}}}
    return call_error(status, {}, body, now=NOW)


NOT_THE_ITEMS_FAULT = [
    pytest.param(response(429), "throttled", id="429"),
    pytest.param(response(529), "throttled", id="529"),
    pytest.param(LOST, "outage", id="connection"),
    *(pytest.param(response(n), "outage", id=f"{n} for everybody") for n in (500, 502, 503, 504)),
]
ACCOUNT = [
    pytest.param(response(401), id="401"),
    pytest.param(response(402), id="402"),
    pytest.param(response(403), id="403"),
    pytest.param(
        response(400, "You have reached your specified API usage limits."), id="spend limit, 400"
    ),
    pytest.param(response(429, code="enforced_spend_limit_reached"), id="spend limit, 429"),
    pytest.param(response(429, code="contract_spend_limit_reached"), id="contract limit, 429"),
    pytest.param(response(400, "Your credit balance is too low."), id="credit, 400"),
]
REQUEST = [
    pytest.param(response(400), "rejected", id="400"),
    pytest.param(response(400, "prompt is too long: 9 tokens"), "too_large", id="400, length"),
    pytest.param(response(413), "too_large", id="413"),
    pytest.param(response(422), "rejected", id="422"),
]


def failing(s: Scenario, error: CallError, *, until_s: float) -> Any:
    """An API that answers nothing else before that time."""

    def respond(batch: Call) -> list[Any] | CallError:
        return error if s.now < until_s else [word.upper() for word in batch.items]

    return respond


@pytest.mark.parametrize(("error", "reason"), NOT_THE_ITEMS_FAULT)
def test_what_is_not_the_items_fault_pauses_the_task_is_probed_and_costs_no_attempt(
    error: CallError, reason: str
) -> None:
    """However often it comes: here for an hour, with `max_attempts` = 1."""
    s = Scenario(max_items=5, max_in_flight=3, max_attempts=1)
    s.arrive(words("a", 30))
    calls = s.run(failing(s, error, until_s=3600))
    assert s.codes() == {}
    assert {slot.faults for slot in s.slots.values()} == {0}
    assert " ".join(s.released()) == words("a", 30)
    said = s.said()
    assert {each.reason for each in said if isinstance(each, Paused)} == {reason}
    assert isinstance(said[-1], Resumed)
    assert calls < (1_200 if reason == "throttled" else 300)  # probed, not hammered


@pytest.mark.parametrize("error", ACCOUNT)
def test_a_refused_account_pauses_the_task_and_never_makes_a_dead_letter(error: CallError) -> None:
    """For two days, until a person has done something; it says what the API said."""
    s = Scenario(max_items=5, max_in_flight=3, max_attempts=1)
    s.arrive(words("a", 30))
    s.run(failing(s, error, until_s=2 * DAY_S))
    assert s.codes() == {}
    assert {slot.faults for slot in s.slots.values()} == {0}
    assert " ".join(s.released()) == words("a", 30)
    paused = [each for each in s.said() if isinstance(each, Paused)]
    assert {each.reason for each in paused} == {"account"}
    assert paused[0].message == error.message


@pytest.mark.parametrize("attempts", [1, 2, 3, 6])
def test_a_timeout_is_an_attempt_and_max_attempts_are_made_exactly(attempts: int) -> None:
    s = Scenario(max_items=1, max_attempts=attempts)
    s.arrive("a0")
    assert s.run(failing(s, TIMED_OUT, until_s=DAY_S)) == attempts
    assert s.codes() == {"a0": "timeout"}
    assert s.slots["a0"].calls == attempts


@pytest.mark.parametrize("attempts", [1, 2, 3, 6])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_5xx_while_other_calls_succeed_is_an_attempt_and_max_attempts_are_made_exactly(
    status: int, attempts: int
) -> None:
    s = Scenario(max_items=1, max_attempts=attempts, max_in_flight=2, max_wait_s=0)
    s.arrive("a0")
    calls = max(attempts, 2)  # the first failure alone may be everybody's
    for n in range(calls):
        assert s.codes() == {}
        if not s.in_flight:
            s.at(s.now + 100)
        s.arrive(f"b{n}").reply(f"b{n}")
        failed = response(status)
        s.fail("a0", failed.fault, message=failed.message)
    assert s.codes() == {"a0": "server_error"}
    assert s.slots["a0"].calls == calls
    assert s.said() == []


@pytest.mark.parametrize("attempts", [1, 6])
@pytest.mark.parametrize(("error", "code"), REQUEST)
def test_a_request_that_is_refused_costs_its_item_and_no_other(
    error: CallError, code: str, attempts: int
) -> None:
    """It is divided at once, without back-off, down to the item; alone, asking again would not
    help, whatever `max_attempts` is. Its neighbours have not lost an attempt by it."""
    s = Scenario(max_items=20, max_in_flight=2, max_attempts=attempts)
    s.arrive(words("a", 20))
    s.run(lambda batch: error if "a13" in batch.items else [w.upper() for w in batch.items])
    assert s.codes() == {"a13": code}
    assert {slot.faults for slot in s.slots.values()} == {0}
    assert s.now == 0.0
    assert s.said() == []


def test_attempts_count_over_outages_and_the_outages_do_not() -> None:
    """Three timeouts are three attempts; the lost connection and the 429 between them are none."""
    s = Scenario(max_items=1, max_attempts=3)
    s.arrive("a0").fail("a0", Fault.TIMEOUT).at(10)
    s.fail("a0", Fault.CONNECTION).at(100)
    s.fail("a0", Fault.TIMEOUT).at(200)
    s.fail("a0", Fault.THROTTLED, retry_after_s=5.0).at(300)
    assert s.codes() == {}
    s.fail("a0", Fault.TIMEOUT)
    assert s.codes() == {"a0": "timeout"}
    assert s.slots["a0"].calls == 5


@pytest.mark.parametrize(("why", "code"), [(MISSING, "no_answer"), (INVALID, "invalid_answer")])
@pytest.mark.parametrize("attempts", [1, 6])
def test_a_missing_or_invalid_answer_is_asked_for_again_at_once_and_at_most_twice(
    why: Any, code: str, attempts: int
) -> None:
    s = Scenario(max_items=4, max_attempts=attempts)
    s.arrive(words("a", 4))
    calls = s.run(lambda batch: [why if word == "a1" else word for word in batch.items])
    assert calls == 3
    assert s.codes() == {"a1": code}
    assert s.now == 0.0  # without back-off
    assert s.said() == []


def test_a_refusal_of_a_single_item_is_final() -> None:
    s = Scenario(max_items=1)
    s.arrive("a0")
    assert s.run(lambda batch: CallError(Fault.REFUSED, "the model declined to answer")) == 1
    assert s.codes() == {"a0": "refused"}


DOWN = [
    LOST,
    response(502),
    response(503),
    response(529),
    response(429),
    CallError(Fault.CONNECTION, "no connection in time"),
    response(500),
]


@pytest.mark.parametrize("what", [*range(len(DOWN)), "each in turn"])
def test_an_api_that_is_down_for_ten_minutes_delays_and_nothing_else(what: int | str) -> None:
    """Items go on coming meanwhile. Within half a minute of its return calls flow again, every
    item has its result, in order, and is delivered; nothing is left behind."""
    s = Scenario(max_items=20, max_in_flight=5, max_attempts=1, draw=0.99, check=False)
    back_at_s, arrived, calls = 600.0, 0, 0

    def respond(batch: Call) -> list[Any] | CallError:
        nonlocal calls
        calls += 1
        if s.now >= back_at_s:
            return [word.upper() for word in batch.items]
        return DOWN[what if isinstance(what, int) else calls % len(DOWN)]

    while s.now < back_at_s + 60:
        for lane in "abc":
            s.arrive(words(lane, 10, start=arrived))
        arrived += 10
        s.run(respond, until_s=s.now + 5)
        s.at(s.now + 5)
        if s.now < back_at_s:
            assert not s.released()
        s.deliver()
    assert s.codes() == {}
    assert {lane: s.watermark(lane) for lane in "abc"} == dict.fromkeys("abc", arrived)
    assert {slot.faults for slot in s.slots.values()} == {0}
    assert s.at_rest
    assert s.engine.buffered_bytes == 0
    assert s.engine.statistics().paused_reason is None
    s.engine.check_invariants()


def test_calls_flow_again_within_half_a_minute_of_the_apis_return() -> None:
    """The longest wait between two probes is 30 s."""
    for draw in (0.0, 0.5, 0.99):
        s = Scenario(max_items=1, draw=draw)
        s.arrive("a0")
        s.run(failing(s, LOST, until_s=600.0))
        assert s.now <= 600.0 + 30.0
