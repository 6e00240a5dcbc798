"""Tokens and money of a call: whole nano-dollars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model import Usage
from streams.providers.prices import claude_usage, has_price, price_of, voyage_usage
from streams.settings import PriceSettings
from tests.operations.conftest import at_leisure

MILLION = 1_000_000


def usd(usage: Usage | None) -> float:
    assert usage is not None
    assert usage.cost_nano_usd is not None
    return usage.cost_nano_usd / 1e9


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("claude-haiku-5-5", 0.50 + 2.50),  # a prompt above 100,000 tokens
        ("claude-haiku-4-5", 1 + 5),
        ("claude-haiku-4-5-20251001", 1 + 5),
        ("claude-sonnet-5-5", 2 + 10),
        ("claude-opus-5-5", 4 + 20),
        ("claude-fable-5-1", 10 + 50),
    ],
)
def test_a_million_tokens_in_and_out_cost_what_the_price_list_says(model, dollars):
    usage = claude_usage(price_of(model), {"input_tokens": MILLION, "output_tokens": MILLION})
    assert usd(usage) == pytest.approx(dollars)
    assert has_price(model)


def test_haiku_costs_five_times_as_much_from_the_first_token_above_100_000():
    """The whole request does, cached input counted in."""
    short = claude_usage(
        price_of("claude-haiku-5-5"), {"input_tokens": 100_000, "output_tokens": 10}
    )
    long = claude_usage(
        price_of("claude-haiku-5-5"),
        {"input_tokens": 1, "cache_read_input_tokens": 100_000, "output_tokens": 10},
    )
    assert short == Usage(100_000, 10, 100_000 * 100 + 10 * 500)
    assert long == Usage(100_001, 10, 500 + 100_000 * 50 + 10 * 2_500, cache_read_tokens=100_000)


def test_input_is_the_sum_of_new_written_and_read_each_at_its_price():
    usage = claude_usage(
        price_of("claude-haiku-5-5"),
        {
            "input_tokens": 10,
            "output_tokens": 4,
            "cache_read_input_tokens": 1_000,
            "cache_creation_input_tokens": 300,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 100,
                "ephemeral_1h_input_tokens": 200,
            },
        },
    )
    cost = 10 * 100 + 4 * 500 + 1_000 * 10 + 100 * 125 + 200 * 200
    assert usage == Usage(1_310, 4, cost, cache_read_tokens=1_000)


def test_the_same_tokens_within_a_message_batch_cost_half():
    tokens = {"input_tokens": 1_001, "output_tokens": 10, "cache_read_input_tokens": 100}
    alone = claude_usage(price_of("claude-haiku-5-5"), {**tokens, "service_tier": "standard"})
    within = claude_usage(price_of("claude-haiku-5-5"), {**tokens, "service_tier": "batch"})
    assert within == alone._replace(cost_nano_usd=alone.cost_nano_usd // 2)


def test_a_model_without_a_known_price_counts_tokens_and_claims_no_cost():
    tokens = {"input_tokens": 3, "output_tokens": 2, "service_tier": "batch"}
    assert claude_usage(price_of("claude-next"), tokens) == Usage(3, 2, None)
    assert voyage_usage(price_of("voyage-law-9"), {"total_tokens": 3}) == Usage(3, 0, None)
    assert not has_price("claude-next")


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("voyage-4-lite", 0.02),
        ("voyage-4", 0.06),
        ("voyage-4-large", 0.12),
        ("voyage-code-3", 0.18),
    ],
)
def test_embeddings_cost_their_input(model, dollars):
    usage = voyage_usage(price_of(model), {"total_tokens": MILLION})
    assert usage is not None
    assert usage.input_tokens == MILLION
    assert usd(usage) == pytest.approx(dollars)


@pytest.mark.parametrize(
    "usage",
    [None, [], "12", 7, {}, {"input_tokens": 3}, {"output_tokens": 3}, {"total_tokens": "3"}],
)
def test_what_a_reply_cost_is_not_known_where_it_does_not_say_its_tokens(usage):
    """A gateway may leave them out: it counted as free."""
    assert claude_usage(price_of("claude-haiku-5-5"), usage).cost_nano_usd is None
    assert voyage_usage(price_of("voyage-4"), usage).cost_nano_usd is None


def test_no_tokens_cost_nothing():
    none = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert (
        claude_usage(price_of("claude-haiku-5-5"), none)
        == voyage_usage(price_of("voyage-4"), none)
        == Usage(0, 0, 0)
    )


values = st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | st.text()
names = ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_creation",
         "cache_read_input_tokens", "total_tokens"]  # fmt: skip


@at_leisure
@given(st.dictionaries(st.sampled_from(names), values | st.dictionaries(st.text(), values)))
def test_no_usage_makes_the_count_fail_or_go_below_zero(usage):
    for counted in (
        claude_usage(price_of("claude-haiku-5-5"), usage),
        voyage_usage(price_of("voyage-4"), usage),
    ):
        tokens, cost = counted[:2], counted.cost_nano_usd
        assert all(type(number) is int and number >= 0 for number in tokens)
        assert cost is None or cost >= 0


@pytest.mark.parametrize("tokens", [10**400, 2**64, 10**9 + 1])
def test_a_number_of_tokens_that_no_call_can_have_counts_for_nothing_known(tokens):
    """Its cost fits into no float: the envelope of a good answer could not be written."""
    assert voyage_usage(price_of("voyage-4"), {"total_tokens": tokens}) == Usage(0, 0, None)
    usage = claude_usage(price_of("claude-haiku-5-5"), {"input_tokens": 3, "output_tokens": tokens})
    assert usage == Usage(3, 0, None)


def test_a_price_of_ones_own_counts_with_cache_batch_and_long_prompts():
    own = PriceSettings(
        input=1.0,
        output=5.0,
        cache_write=1.5,
        cache_write_1h=3.0,
        cache_read=0.25,
        batch=0.4,
        long_prompt_tokens=1_000,
        long_prompt_factor=2.0,
    )
    price = price_of("claude-haiku-5-5", own)
    tokens = {
        "input_tokens": 10,
        "output_tokens": 4,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_1h_input_tokens": 20},
    }
    nano = 10 * 1_000 + 10 * 1_500 + 20 * 3_000 + 100 * 250 + 4 * 5_000
    assert claude_usage(price, tokens) == Usage(140, 4, nano, cache_read_tokens=100)
    assert claude_usage(price, {**tokens, "service_tier": "batch"}).cost_nano_usd == nano * 4 // 10
    long = claude_usage(price, {"input_tokens": 1_001, "output_tokens": 1})
    assert long.cost_nano_usd == 2 * (1_001 * 1_000 + 5_000)


def test_cache_prices_that_are_not_given_follow_the_inputs():
    price = price_of("my-model", PriceSettings(input=2.0))
    assert (price.write_5m, price.write_1h, price.read) == (2_500_000, 4_000_000, 200_000)
    assert price.output == 0


def test_a_price_far_below_a_nano_dollar_a_token_still_adds_up():
    price = price_of("tiny", PriceSettings(input=0.0005))
    assert voyage_usage(price, {"total_tokens": MILLION}).cost_nano_usd == 500_000
