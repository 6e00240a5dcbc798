"""The limits: true to the token bucket, in what they let through and in what their headers say."""

from __future__ import annotations

import datetime
import math
from fractions import Fraction

import anthropic
import pytest
import voyageai
from hypothesis import given
from hypothesis import strategies as st

from streams.simulator.rate_limits import Bucket, Buckets, admit, headers
from streams.simulator.wire import RefusalError
from tests.contract.simulator.asking import microbatch, texts
from tests.contract.simulator.conftest import WALL


async def raw(client, count=1):
    return await client.messages.with_raw_response.create(**microbatch(texts(count)))


def of(response, name):
    """limit, remaining and reset of one kind."""
    found = [response.headers[f"anthropic-ratelimit-{name}-{part}"] for part in PARTS]
    return int(found[0]), int(found[1]), found[2]


PARTS = ("limit", "remaining", "reset")


def stamp(after_s):
    moment = datetime.datetime.fromtimestamp(math.ceil(WALL + after_s), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_requests_per_minute_are_let_through_and_then_refused(limited, claude, clock):
    client = claude(await limited(requests_per_minute=3))
    seen = [of(await raw(client), "requests") for _ in range(3)]
    assert seen == [(3, 2, stamp(20)), (3, 1, stamp(40)), (3, 0, stamp(60))]
    with pytest.raises(anthropic.RateLimitError) as caught:
        await raw(client)
    assert caught.value.response.headers["retry-after"] == "20"
    assert of(caught.value.response, "requests") == (3, 0, stamp(60))
    clock.now += 19
    with pytest.raises(anthropic.RateLimitError) as caught:
        await raw(client)
    assert caught.value.response.headers["retry-after"] == "1"
    clock.now += 1
    assert of(await raw(client), "requests") == (3, 0, stamp(20 + 60))


async def test_a_refused_call_takes_nothing_and_costs_nothing(limited, claude, clock):
    simulator = await limited(requests_per_minute=1)
    client = claude(simulator)
    await raw(client)
    cost = simulator.state()["cost_usd"]
    for _ in range(3):
        with pytest.raises(anthropic.RateLimitError):
            await raw(client)
    assert simulator.state()["cost_usd"] == cost
    clock.now += 60
    await raw(client)


async def test_input_tokens_per_minute_count_the_tokens_of_the_usage(limited, claude):
    client = claude(await limited(input_tokens_per_minute=60_000))
    first = await raw(client, 60)
    used = (await first.parse()).usage.input_tokens
    assert 1000 < used < 2000
    rounded = round((60_000 - used) / 1000) * 1000
    assert of(first, "input-tokens") == (60_000, rounded, stamp(used / 1000))
    assert of(first, "tokens") == of(first, "input-tokens")


async def test_a_call_that_needs_more_input_tokens_than_are_left_is_refused(limited, claude):
    client = claude(await limited(input_tokens_per_minute=3000))
    used = (await (await raw(client, 60)).parse()).usage.input_tokens
    await raw(client, 1)
    with pytest.raises(anthropic.RateLimitError, match="3,000 input tokens") as caught:
        await raw(client, 100)
    assert 0 < int(caught.value.response.headers["retry-after"]) <= math.ceil(used / 50) + 60


async def test_output_tokens_are_taken_when_made_so_that_one_call_may_overdraw(
    limited, claude, clock
):
    client = claude(await limited(output_tokens_per_minute=60))
    response = await raw(client, 60)
    used = (await response.parse()).usage.output_tokens
    assert used > 300
    assert of(response, "output-tokens") == (60, 0, stamp(used))
    with pytest.raises(anthropic.RateLimitError, match="output tokens") as caught:
        await raw(client, 1)
    assert caught.value.response.headers["retry-after"] == str(used - 60 + 1)
    clock.now += used - 60 + 1
    await raw(client, 1)


async def test_tokens_read_from_the_cache_do_not_count_as_input(limited, claude):
    client = claude(await limited(input_tokens_per_minute=100_000))
    mark = {"cache_control": {"type": "ephemeral"}}
    system = [{"type": "text", "text": "Judge the review. " * 1000, **mark}]
    asked = microbatch(texts(1), system=system)
    left = []
    for _ in range(2):
        response = await client.messages.with_raw_response.create(**asked)
        left.append(of(response, "input-tokens")[1])
    assert left == [95_000, 95_000]


async def test_each_model_has_its_own_limits(limited, claude):
    client = claude(await limited(requests_per_minute=1))
    await raw(client)
    await client.messages.create(**microbatch(texts(1), model="claude-haiku-4-5"))
    with pytest.raises(anthropic.RateLimitError):
        await raw(client)


async def test_without_limits_no_header_names_one(start, claude):
    response = await raw(claude(await start()))
    assert not [name for name in response.headers if "ratelimit" in name]


async def test_a_short_burst_window_lets_less_through_at_once(limited, claude):
    client = claude(await limited(requests_per_minute=600, burst_s=0.5))
    for _ in range(5):
        await raw(client)
    with pytest.raises(anthropic.RateLimitError):
        await raw(client)


async def test_voyage_refuses_above_its_limits_with_a_detail_and_no_header(limited, voyage, clock):
    client = voyage(await limited(voyage_requests_per_minute=1))
    await client.embed(["x"], "voyage-4")
    with pytest.raises(voyageai.error.RateLimitError) as caught:
        await client.embed(["x"], "voyage-4")
    assert set(caught.value.json_body) == {"detail"}
    assert "retry-after" not in caught.value.headers
    clock.now += 60
    await client.embed(["x"], "voyage-4")


async def test_voyage_counts_tokens(limited, voyage):
    client = voyage(await limited(voyage_tokens_per_minute=10))
    await client.embed(["x" * 28], "voyage-4")
    with pytest.raises(voyageai.error.RateLimitError, match="tokens per minute"):
        await client.embed(["x" * 28], "voyage-4")


STEPS = st.lists(
    st.tuples(st.integers(0, 90), st.integers(0, 400), st.booleans()), min_size=1, max_size=30
)


@given(st.integers(1, 1000), st.sampled_from([60, 30, 6]), STEPS)
def test_a_bucket_is_what_its_definition_computes_in_exact_fractions(limit, burst_s, steps):
    """For any limit, window and sequence of waits and requests."""
    bucket = Bucket(limit, burst_s, 0.0)
    capacity = max(Fraction(1), Fraction(limit * burst_s, 60))
    level, now = capacity, 0
    for wait, amount, forced in steps:
        now += wait
        level = min(capacity, level + Fraction(limit * wait, 60))
        assert bucket.level(now) == pytest.approx(float(level), abs=1e-6)
        reset = float((capacity - level) * 60 / limit)
        assert bucket.full_in_s(now) == pytest.approx(reset, abs=1e-6)
        if forced or amount <= level - Fraction(1, 1000):
            bucket.take(amount, now)
            level -= amount


@given(st.integers(1, 600), st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_no_more_than_the_limit_and_the_burst_is_ever_admitted(limit, waits):
    """And whoever waits as long as retry-after says is admitted."""
    buckets = Buckets(Bucket(limit, 60, 0.0))
    now, admitted = 0.0, 0
    for wait in waits:
        now += wait
        for _ in range(25):
            try:
                admit(buckets, "m", 1, now, WALL)
            except RefusalError as refusal:
                now += int(refusal.headers["retry-after"])
                admit(buckets, "m", 1, now, WALL)
            admitted += 1
    assert admitted <= limit + limit * now / 60 + 1e-6


def test_the_headers_of_tokens_are_those_of_the_tighter_limit():
    buckets = Buckets(None, Bucket(10_000, 60, 0.0), Bucket(5_000, 60, 0.0))
    buckets.input_tokens.take(4_000, 0.0)
    found = headers(buckets, 0.0, WALL)
    assert found["anthropic-ratelimit-tokens-limit"] == "10000"
    buckets.output_tokens.take(4_000, 0.0)
    found = headers(buckets, 0.0, WALL)
    assert found["anthropic-ratelimit-tokens-limit"] == "5000"
    assert found["anthropic-ratelimit-tokens-remaining"] == "1000"
