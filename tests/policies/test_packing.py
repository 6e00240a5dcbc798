"""The token estimate of a task learns from its replies."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.packing import LEAST, MOST, Correction, ScriptTokens

ENGLISH, CHINESE, CODE = ScriptTokens(1, 0, 0), ScriptTokens(0, 1, 0), ScriptTokens(0, 0, 1)
TRUTH = {ENGLISH: 0.8, CHINESE: 1.35, CODE: 1.25}
OVERHEAD = 310.0


def features_of(random: Random, scripts: list[ScriptTokens], items: int = 20) -> list[float]:
    """Of a call with items of 5 to 2,000 tokens, each in one of the scripts."""
    sums = [0.0, 0.0, 0.0]
    for _ in range(items):
        tokens, script = 5 * 400 ** random.random(), random.choice(scripts)
        sums = [total + tokens * part for total, part in zip(sums, script, strict=True)]
    return sums


def used(random: Random, features: list[float]) -> float:
    """What the API counts: three tokenizers in one, each call 3 % off."""
    items = sum(f * a for f, a in zip(TRUTH.values(), features, strict=True))
    return (OVERHEAD + items) * random.gauss(1, 0.03)


def trained(random: Random, scripts: list[ScriptTokens], calls: int) -> Correction:
    correction = Correction(3, overhead=250.0)
    for _ in range(calls):
        features = features_of(random, scripts, random.randint(1, 20))
        correction.learn(features, used(random, features))
    return correction


@pytest.mark.parametrize("scripts", [[ENGLISH], [CHINESE], [CODE], [ENGLISH, CHINESE, CODE]])
def test_after_50_calls_it_is_within_a_tenth(scripts: list[ScriptTokens], seed: int) -> None:
    random = Random(seed)
    correction = trained(random, scripts, 50)
    for items in (1, 5, 20):
        features = features_of(random, scripts, items)
        truth = OVERHEAD + sum(f * a for f, a in zip(TRUTH.values(), features, strict=True))
        assert correction.call(features) == pytest.approx(truth, rel=0.1)
    assert correction.error < 0.06


def test_before_the_first_reply_it_is_the_fixed_count() -> None:
    correction = Correction(3, overhead=250.0)
    assert correction.call([10, 20, 30]) == 310
    assert correction.item([10, 20, 30]) == 60
    assert correction.factors == [1, 1, 1]


def test_a_script_that_no_call_had_keeps_its_factor(seed: int) -> None:
    correction = trained(Random(seed), [ENGLISH], 200)
    assert correction.factors[0] == pytest.approx(TRUTH[ENGLISH], rel=0.05)
    assert correction.factors[1:] == [1, 1]


def test_calls_are_filled_well_and_none_is_over_its_limit(seed: int) -> None:
    random = Random(seed)
    correction = trained(random, [ENGLISH, CODE], 100)
    fills = []
    for _ in range(200):
        room, features = correction.room(8_000), [0.0, 0.0, 0.0]
        while True:
            item = features_of(random, [ENGLISH, CODE], items=1)
            more = [a + b for a, b in zip(features, item, strict=True)]
            if correction.item(more) > room:
                break
            features = more
        took = OVERHEAD + sum(f * a for f, a in zip(TRUTH.values(), features, strict=True))
        fills.append(took / 8_000)
        correction.learn(features, took * random.gauss(1, 0.01))
    assert max(fills) <= 1
    assert sum(fills) / len(fills) >= 0.88


def test_another_tokenizer_is_learned_within_a_few_hundred_calls(seed: int) -> None:
    random = Random(seed)
    correction = trained(random, [ENGLISH], 500)
    for _ in range(300):
        features = features_of(random, [ENGLISH])
        correction.learn(features, 1.3 * used(random, features))
    features = features_of(random, [ENGLISH])
    truth = 1.3 * (OVERHEAD + TRUTH[ENGLISH] * features[0])
    assert correction.call(features) == pytest.approx(truth, rel=0.1)


def test_the_error_is_how_far_estimates_are_off() -> None:
    correction = Correction(1)
    before = correction.error
    for n in range(100):
        correction.learn([100], 120 if n % 2 else 80)
    assert correction.error == pytest.approx(0.22, abs=0.05)
    assert correction.error > before
    assert correction.room(1_000) < 800


def test_a_reply_that_says_no_usage_teaches_nothing() -> None:
    correction = Correction(1)
    correction.learn([100], 0)
    correction.learn([0], 50)
    assert (correction.replies, correction.factors) == (0, [1])


@pytest.mark.parametrize(("features", "overhead"), [(0, 0.0), (1, -1.0), (1, float("nan"))])
def test_what_cannot_be_is_an_error(features: int, overhead: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Correction(features, overhead)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(0, 1e6), min_size=3, max_size=3),
            st.floats(0, 1e9),
        ),
        max_size=60,
    )
)
def test_whatever_replies_say_the_estimate_stays_within_its_bounds(
    replies: list[tuple[list[float], float]],
) -> None:
    correction = Correction(3, overhead=100.0)
    for features, tokens in replies:
        correction.learn(features, tokens)
        assert all(LEAST <= factor <= MOST for factor in correction.factors)
        assert 0 <= correction.overhead <= MOST * 100
        assert 0 <= correction.error <= 1
        assert 1 <= correction.room(8_000) <= 8_000
