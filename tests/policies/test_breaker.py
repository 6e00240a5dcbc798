"""When dead letters stop being the items' fault, in counts."""

from __future__ import annotations

from random import Random

import pytest

from streams.errors import ItemError, StageError
from streams.model import DROP, Unanswered
from streams.policies.breaker import RUN, WINDOW, Breaker, BreakerLimits, results_and_failures

LIMITS = BreakerLimits()


def test_a_run_of_dead_letters_without_one_result_trips() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(RUN - 1):
        assert breaker.decided(0, 1) is None
    assert breaker.decided(0, 1) == "100 items in a row are dead letters"


def test_one_result_in_time_ends_a_run() -> None:
    breaker = Breaker(BreakerLimits(window=10**9))
    for _ in range(50):
        assert breaker.decided(0, RUN - 1) is None
        assert breaker.decided(1, 0) is None


def test_a_call_that_gives_results_and_dead_letters_ends_a_run() -> None:
    breaker = Breaker(BreakerLimits(window=10**9))
    assert breaker.decided(0, 99) is None
    assert breaker.decided(1, 19) is None
    assert breaker.decided(0, 99) is None


def test_a_window_of_which_most_are_dead_letters_trips() -> None:
    breaker = Breaker(LIMITS)
    said = [breaker.decided(9, 11) for _ in range(WINDOW // 20)]
    assert said[:-1] == [None] * 19
    assert said[-1] == "220 of the last 400 items are dead letters"


def test_a_window_of_which_half_are_dead_letters_does_not() -> None:
    breaker = Breaker(LIMITS)
    assert [breaker.decided(10, 10) for _ in range(100)] == [None] * 100


@pytest.mark.parametrize("share", [0.01, 0.2, 0.3])
def test_bad_items_spread_over_a_topic_never_trip_it(share: float, seed: int) -> None:
    breaker, random = Breaker(LIMITS), Random(seed)
    for _ in range(5_000):
        dead = sum(random.random() < share for _ in range(20))
        assert breaker.decided(20 - dead, dead) is None


def test_a_small_topic_of_bad_items_never_trips_it() -> None:
    breaker = Breaker(LIMITS)
    assert [breaker.decided(0, 1) for _ in range(99)] == [None] * 99


def test_after_it_tripped_it_counts_afresh() -> None:
    breaker = Breaker(LIMITS)
    assert breaker.decided(0, RUN) is not None
    assert breaker.decided(0, RUN - 1) is None
    assert breaker.decided(0, 1) is not None


def test_trips_are_counted_until_a_whole_window_was_in_order() -> None:
    breaker = Breaker(LIMITS)
    breaker.decided(0, RUN)
    breaker.decided(1, 0)
    breaker.decided(0, RUN)
    assert breaker.trips == 2
    breaker.decided(WINDOW - 1, 0)
    assert breaker.trips == 2
    breaker.decided(1, 0)
    assert breaker.trips == 0


def test_a_run_goes_on_over_the_end_of_a_window() -> None:
    breaker = Breaker(BreakerLimits(run=10, window=20))
    assert breaker.decided(15, 0) is None
    assert breaker.decided(0, 5) is None
    assert breaker.decided(0, 5) == "10 items in a row are dead letters"


def test_a_run_is_never_less_than_what_may_be_in_flight_and_a_window_twice_that() -> None:
    assert BreakerLimits.for_rounds_of(20 * 5) == LIMITS
    assert BreakerLimits.for_rounds_of(1000 * 5) == BreakerLimits(run=5_000, window=10_000)


@pytest.mark.parametrize("wrong", [{"run": 0}, {"window": 0}, {"share": 1.0}, {"share": -0.1}])
def test_limits_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        BreakerLimits(**wrong)  # type: ignore[arg-type]


def test_what_a_function_decides_about_an_item_is_no_failure_of_its_call() -> None:
    error = ItemError("function_error", "ValueError at jobs.py:1")
    answers = [{"a": 1}, None, DROP, ItemError("too_short"), error, *Unanswered]
    assert results_and_failures(answers) == (4, [error])


def test_what_failed_for_good_in_a_stage_of_a_pipeline_counts_as_a_call_that_failed() -> None:
    """A function's own word does not, as in a task without stages."""
    failed = [StageError("embed", ItemError(code)) for code in ("timeout", "no_answer")]
    said = StageError("check", ItemError("too_short"))
    assert results_and_failures([{"a": 1}, *failed, said]) == (2, failed)
