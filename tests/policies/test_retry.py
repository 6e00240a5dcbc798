"""The table of faults and the waits, as numbers."""

from __future__ import annotations

import pytest

from streams.errors import Fault
from streams.policies import retry
from streams.policies.retry import (
    RULES,
    Backoff,
    Blame,
    FunctionErrors,
    Step,
    rule,
)


def test_every_fault_has_a_rule() -> None:
    assert set(RULES) == set(Fault)


def test_a_rule_names_a_cause_exactly_when_it_pauses_the_task() -> None:
    for fault in Fault:
        for blame in Blame:
            step, cause = rule(fault, blame)
            assert (step is Step.PAUSE) == (cause is not None)


def test_the_table_in_words_has_a_row_for_every_fault() -> None:
    assert retry.__doc__ is not None
    lines = [line for line in retry.__doc__.splitlines() if line.startswith("    ")]
    rows = {word.strip(",") for line in lines for word in line.split()}
    assert {fault.name for fault in Fault} <= rows


EVERYBODYS = [Fault.ACCOUNT, Fault.SERVER, Fault.CONNECTION, Fault.THROTTLED]


@pytest.mark.parametrize("fault", EVERYBODYS)
@pytest.mark.parametrize("blame", Blame)
def test_what_may_befall_everybody_goes_by_whose_it_is(fault: Fault, blame: Blame) -> None:
    pause = RULES[fault]
    unclear = pause if fault is Fault.THROTTLED else (Step.BACK_OFF, None)
    expected = {Blame.ITEMS: (Step.ISOLATE, None), Blame.UNCLEAR: unclear}
    assert rule(fault, blame) == expected.get(blame, pause)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in EVERYBODYS])
@pytest.mark.parametrize("blame", Blame)
def test_nobody_is_to_blame_for_what_befalls_only_its_own_call(fault: Fault, blame: Blame) -> None:
    assert rule(fault, blame) == RULES[fault]
    assert RULES[fault].cause is None


@pytest.mark.parametrize(
    ("function_errors", "step"), [("final", Step.HALVE), ("counted", Step.HALVE_THEN_COUNT)]
)
def test_what_a_function_raises_is_final_or_an_attempt_as_its_caller_says(
    function_errors: FunctionErrors, step: Step
) -> None:
    found = rule(Fault.FUNCTION, function_errors=function_errors)
    assert found == (step, None)
    assert rule(Fault.REJECTED, function_errors=function_errors) == (
        Step.HALVE,
        None,
    )


@pytest.mark.parametrize(
    ("failures", "ceiling_s"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (8, 30.0), (10_000, 30.0)],
)
def test_the_ceiling_doubles_up_to_the_cap(failures: int, ceiling_s: float) -> None:
    assert Backoff().ceiling_s(failures) == ceiling_s


def test_full_jitter_draws_from_nothing_to_the_ceiling() -> None:
    backoff = Backoff(base_s=2.0, cap_s=60.0)
    assert [backoff.full_jitter_s(2, draw) for draw in (0.0, 0.5, 0.75)] == [0.0, 2.0, 3.0]


def test_equal_jitter_draws_from_half_the_ceiling_to_the_whole() -> None:
    backoff = Backoff(base_s=2.0, cap_s=60.0)
    assert [backoff.equal_jitter_s(2, draw) for draw in (0.0, 0.5)] == [2.0, 3.0]
