"""Estimates of tokens learn from replies what they take."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.correction import (
    ERRORS,
    FIRST_MARGIN,
    LEAST_MARGIN,
    SINGLE,
    TOGETHER,
    Correction,
    Factor,
)

ENGLISH, CHINESE, CODE = range(3)
TRUTH = (0.8, 1.35, 1.25)
FRAME, OVERHEAD = 6.0, 310.0
FACTORS = [Factor(1.0, 0.25)] * 3 + [Factor(7.0, 2.0), Factor(250.0, 60.0)]


def features_of(random: Random, scripts: list[int], items: int = 20) -> list[float]:
    """Of a call with items of 5 to 2,000 tokens, each in one of the scripts."""
    sums = [0.0, 0.0, 0.0]
    for _ in range(items):
        sums[random.choice(scripts)] += 5 * 400 ** random.random()
    return [*sums, items, 1]


def truth_of(features: list[float]) -> float:
    return sum(f * a for f, a in zip((*TRUTH, FRAME, OVERHEAD), features, strict=True))


def trained(random: Random, scripts: list[int], calls: int) -> Correction:
    """Each call is 3 % off."""
    correction = Correction(FACTORS)
    for _ in range(calls):
        features = features_of(random, scripts, random.randint(1, 20))
        correction.learn(features, truth_of(features) * random.gauss(1, 0.03))
    return correction


@pytest.mark.parametrize("scripts", [[ENGLISH], [CHINESE], [CODE], [ENGLISH, CHINESE, CODE]])
def test_after_50_calls_it_is_within_a_tenth(scripts: list[int], seed: int) -> None:
    random = Random(seed)
    correction = trained(random, scripts, 50)
    for items in (1, 5, 20):
        features = features_of(random, scripts, items)
        assert correction.estimate(features) == pytest.approx(truth_of(features), rel=0.1)
    assert correction.error < 0.06


def test_before_the_first_reply_it_is_what_is_likely() -> None:
    correction = Correction(FACTORS)
    assert correction.estimate([10, 20, 30, 2, 1]) == 10 + 20 + 30 + 2 * 7 + 250
    assert list(correction.factors) == [1, 1, 1, 7, 250]
    assert (correction.replies, correction.margin) == (0, FIRST_MARGIN)


def test_a_feature_that_no_call_had_keeps_its_factor(seed: int) -> None:
    correction = trained(Random(seed), [ENGLISH], 200)
    assert correction.factors[ENGLISH] == pytest.approx(TRUTH[ENGLISH], rel=0.05)
    assert list(correction.factors[1:3]) == [1, 1]


def test_another_tokenizer_is_learned_within_a_few_hundred_calls(seed: int) -> None:
    random = Random(seed)
    correction = trained(random, [ENGLISH], 500)
    for _ in range(300):
        features = features_of(random, [ENGLISH])
        correction.learn(features, 1.3 * truth_of(features) * random.gauss(1, 0.03))
    features = features_of(random, [ENGLISH])
    assert correction.estimate(features) == pytest.approx(1.3 * truth_of(features), rel=0.1)


def test_the_error_is_how_far_estimates_are_off() -> None:
    correction = Correction([Factor(1.0, 0.25)])
    before = correction.error
    for n in range(100):
        correction.learn([100], 120 if n % 2 else 80)
    assert correction.error == pytest.approx(0.22, abs=0.05)
    assert correction.error > before


def test_the_margin_is_the_worst_of_the_latest_estimates_that_were_too_low() -> None:
    correction = Correction([Factor(1.0, 0.001)])
    for _ in range(100):
        correction.learn([1_000], 1_000)
    assert correction.margin == LEAST_MARGIN
    correction.learn([1_000], 1_040)
    assert correction.margin == pytest.approx(0.04, abs=0.004)
    for _ in range(50):
        correction.learn([1_000], 950)  # too high does no harm
    assert correction.margin == LEAST_MARGIN


def test_one_reply_that_is_far_off_does_not_halve_the_calls_for_long() -> None:
    correction = Correction([Factor(1.0, 0.001)])
    for _ in range(100):
        correction.learn([1_000], 1_000)
    correction.learn([1_000], 4_000)
    for _ in range(30):
        correction.learn([1_000], 1_000)
    assert correction.margin <= ERRORS * correction.error
    assert correction.margin < 0.2


def test_a_reply_that_says_no_usage_teaches_nothing() -> None:
    correction = Correction([Factor(1.0, 0.25)])
    assert not correction.learn([100], 0)
    assert not correction.learn([0], 50)
    assert (correction.replies, list(correction.factors)) == (0, [1])


def test_the_first_replies_teach_one_by_one_and_later_ones_together() -> None:
    correction = Correction([Factor(1.0, 0.25)])
    taught = [correction.learn([100], 100 + n) for n in range(SINGLE + 2 * TOGETHER)]
    assert taught == [True] * SINGLE + ([False] * (TOGETHER - 1) + [True]) * 2


@pytest.mark.parametrize("factors", [[], [Factor(-1.0, 0.1)], [Factor(1.0, 0.0)]])
def test_what_cannot_be_is_an_error(factors: list[Factor]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Correction(factors)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(0, 1e6), min_size=3, max_size=3),
            st.integers(1, 1_000),
            st.floats(0, 1e9),
        ),
        max_size=100,
    )
)
def test_whatever_replies_say_the_factors_stay_within_their_bounds(
    replies: list[tuple[list[float], int, float]],
) -> None:
    correction = Correction(FACTORS)
    for tokens, items, used in replies:
        correction.learn([*tokens, items, 1], used)
        for factor, first in zip(correction.factors, FACTORS, strict=True):
            assert first.likely / 8 <= factor <= first.likely + 12 * first.doubt
        assert 0 <= correction.error <= 1
        assert 0 <= correction.margin <= ERRORS
