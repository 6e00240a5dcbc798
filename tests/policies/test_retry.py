"""The table of faults and the waits, as numbers."""

from __future__ import annotations

import pytest

from streams.errors import Fault
from streams.policies import retry
from streams.policies.retry import (
    RULES,
    WHILE_OTHERS_SUCCEED,
    Backoff,
    Cause,
    FunctionErrors,
    Step,
    rule,
)


def test_every_fault_has_a_rule() -> None:
    assert set(RULES) == set(Fault)


def test_a_rule_names_a_cause_exactly_when_it_pauses_the_task() -> None:
    for step, cause in [*RULES.values(), *WHILE_OTHERS_SUCCEED.values()]:
        assert (step is Step.PAUSE) == (cause is not None)


def test_the_table_in_words_has_a_row_for_every_fault() -> None:
    assert retry.__doc__ is not None
    rows = {line.split()[0] for line in retry.__doc__.splitlines() if line.startswith("    ")}
    assert {fault.name for fault in Fault} <= rows


@pytest.mark.parametrize(
    ("fault", "others_succeed", "step", "cause"),
    [
        (Fault.SERVER, True, Step.COUNT, None),
        (Fault.SERVER, False, Step.PAUSE, Cause.OUTAGE),
        (Fault.CONNECTION, True, Step.BACK_OFF, None),
        (Fault.CONNECTION, False, Step.PAUSE, Cause.OUTAGE),
        (Fault.THROTTLED, True, Step.PAUSE, Cause.THROTTLED),
        (Fault.ACCOUNT, True, Step.PAUSE, Cause.ACCOUNT),
        (Fault.TIMEOUT, True, Step.COUNT, None),
        (Fault.TIMEOUT, False, Step.COUNT, None),
        (Fault.REJECTED, False, Step.HALVE, None),
    ],
)
def test_whose_fault_it_is_may_depend_on_whether_other_calls_succeed(
    fault: Fault, others_succeed: bool, step: Step, cause: Cause | None
) -> None:
    assert rule(fault, others_succeed=others_succeed) == (step, cause)


@pytest.mark.parametrize(
    ("function_errors", "step"), [("final", Step.HALVE), ("counted", Step.HALVE_THEN_COUNT)]
)
def test_what_a_function_raises_is_final_or_an_attempt_as_its_caller_says(
    function_errors: FunctionErrors, step: Step
) -> None:
    found = rule(Fault.FUNCTION, others_succeed=True, function_errors=function_errors)
    assert found == (step, None)
    assert rule(Fault.REJECTED, others_succeed=True, function_errors=function_errors) == (
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
