"""`streams.Limits`: what a program says of its account's limits, and what its calls may cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import streams
from streams.core.limits import Limits
from streams.policies.demand import PerMinute
from streams.running.accounts import account_of_caller
from streams.simulator.running_server import Simulator

KEY = ("anthropic", "http://api", "ANTHROPIC_API_KEY", "claude-opus-4-8")
SAME_GROUP = (*KEY[:-1], "claude-opus-4-7")


async def same(items: Sequence[Any]) -> Sequence[Any]:
    return items


def per_minute(key: tuple[str, ...] | None, allowed: streams.Limits | None = None) -> PerMinute:
    account = account_of_caller(key, Limits(), allowed)
    assert account is not None
    assert account.rates is not None
    return account.rates.rate.per_minute


async def test_of_what_several_callers_say_the_lowest_counts_for_all_models_of_the_group() -> None:
    assert per_minute(KEY, streams.Limits(requests_per_minute=600))[0] == pytest.approx(600)
    assert per_minute(SAME_GROUP, streams.Limits(requests_per_minute=300))[0] == pytest.approx(300)
    assert per_minute(KEY) == PerMinute(pytest.approx(300), None, None)


async def test_a_share_of_the_limits_is_left_to_others() -> None:
    allowed = streams.Limits(output_tokens_per_minute=1_000, share=0.8)
    assert per_minute(KEY, allowed)[2] == pytest.approx(800)


async def test_which_models_share_their_limits_can_be_said() -> None:
    mine = streams.Limits(requests_per_minute=60, groups={"claude-opus-4-8": "mine"})
    assert per_minute(KEY, mine)[0] == pytest.approx(60)
    assert per_minute(SAME_GROUP) == PerMinute()


async def test_a_function_of_ones_own_has_limits_too() -> None:
    allowed = streams.Limits(requests_per_minute=60_000)
    assert await streams.map_batches(same, [1, 2, 3], limits=allowed) == [1, 2, 3]


async def test_functions_that_are_given_the_same_object_share_its_limits() -> None:
    allowed = streams.Limits(requests_per_minute=600)
    one, other = (account_of_caller(None, Limits(), allowed) for _ in range(2))
    alone = account_of_caller(None, Limits(), streams.Limits(requests_per_minute=600))
    assert one is not None
    assert other is not None
    assert alone is not None
    assert one.rates is other.rates is not alone.rates
    assert one.pauses is not other.pauses, "what refuses one says nothing about the other"


async def test_calls_never_cost_more_than_the_budget_and_what_is_left_are_errors(
    api: Simulator,
) -> None:
    label = streams.classify(["good", "bad"], limits=streams.Limits(budget_usd=0.002))
    results = await streams.map_batches(label, [f"text {n}" for n in range(400)], max_items=10)
    errors = [each for each in results if isinstance(each, streams.ItemError)]
    assert {each.code for each in errors} == {"budget"}
    assert 0 < len(errors) < 400
    cost = api.state()["cost_usd"]
    assert 0.001 < cost <= 0.002
    assert label.usage.cost_usd == pytest.approx(cost)


async def test_all_that_are_given_the_same_limits_share_the_budget(api: Simulator) -> None:
    limits = streams.Limits(budget_usd=0.001)
    label = streams.classify(["good", "bad"], limits=limits)
    summary = streams.generate("Sum it up.", limits=limits)
    texts = [f"text {n}" for n in range(200)]
    await asyncio.gather(label(texts), summary(texts))
    assert 0 < api.state()["cost_usd"] <= 0.001


async def test_with_pause_what_a_budget_does_not_have_waits(api: Simulator) -> None:
    limits = streams.Limits(budget_usd_per_hour=0.0005, on_budget="pause")
    label = streams.classify(["good", "bad"])
    done = []

    async def label_all() -> None:
        texts = [f"text {n}" for n in range(400)]
        async for result in streams.map_batches_iter(label, texts, max_items=5, limits=limits):
            done.append(result)  # noqa: PERF401

    labelling = asyncio.create_task(label_all())
    seen = -1
    while not done or seen < len(done):  # until nothing moves for a second
        seen = len(done)
        await asyncio.wait([labelling], timeout=1)
    labelling.cancel()
    assert 0 < len(done) < 400
    assert set(done) <= {"good", "bad"}
    assert api.state()["cost_usd"] <= 0.0005


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute must be above 0"),
        ({"output_tokens_per_minute": float("nan")}, "output_tokens_per_minute must be above 0"),
        ({"share": 0}, "share must be above 0"),
        ({"budget_usd": -1}, "budget_usd must be at least 0"),
        ({"on_budget": "stop"}, "on_budget must be"),
    ],
)
def test_what_is_out_of_range_is_said_at_once(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        streams.Limits(**wrong)


async def test_a_budget_needs_a_price() -> None:
    budget = streams.Limits(budget_usd=1)
    with pytest.raises(ValueError, match="a budget needs a known price"):
        await streams.map_batches(same, [1], limits=budget)
    with pytest.raises(ValueError, match="a budget needs a known price"):
        streams.classify(["a", "b"], model="claude-of-tomorrow", limits=budget)


async def test_a_price_of_ones_own_goes_before_the_list(api: Simulator) -> None:
    listed = streams.classify(["good", "bad"])
    tenfold = streams.classify(["good", "bad"], price=streams.ModelPrice(input=1.0, output=5.0))
    for label in (listed, tenfold):
        await label(["a text"] * 20)
    assert listed.usage.cost_usd is not None
    assert tenfold.usage.cost_usd == pytest.approx(10 * listed.usage.cost_usd)


async def test_with_a_price_of_its_own_any_model_has_a_budget(api: Simulator) -> None:
    label = streams.classify(
        ["good", "bad"],
        model="claude-of-tomorrow",
        price=streams.ModelPrice(input=1.0, output=5.0),
        limits=streams.Limits(budget_usd=0.0),
    )
    results = await label(["a text"])
    assert [each.code for each in results if isinstance(each, streams.ItemError)] == ["budget"]


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_price_is_a_number_from_0_on(wrong: float) -> None:
    with pytest.raises(ValueError, match="output must be from 0 to"):
        streams.ModelPrice(input=1.0, output=wrong)
