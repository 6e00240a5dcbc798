"""Calls start when the API's limits allow them, by our count and by the API's word."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.model import Quota, RateLimits
from streams.policies.bucket import BURST_S
from streams.policies.demand import Demand, Grant, PerMinute
from streams.policies.model_groups import model_group
from streams.policies.rate import FIRST_CALLS, SLOW_START, Rate

CALL = Demand(1, 100, 10)
LIMITS = PerMinute(6_000, 1_000_000, 1_000_000)  # 100 requests a second bind


def quota(limit: int, remaining: int) -> RateLimits:
    return RateLimits(requests=Quota(limit, remaining))


def flood(rate: Rate, start: float, end: float, demand: Demand = CALL) -> list[Grant]:
    """Calls as early as they may start, in that time."""
    grants, now = [], start
    while now < end:
        got = rate.reserve(demand, now)
        if isinstance(got, Grant):
            grants.append(got)
        else:
            assert got > now
            now = got
    return grants


def ready(limits: PerMinute = LIMITS, **options: float) -> Rate:
    """One whose slow start is over, with nothing left at 100 s."""
    rate = Rate(limits, 0.0, says_limits=False, **options)
    flood(rate, 0.0, 100.0)
    assert rate.pace == 1.0
    return rate


def test_calls_go_at_the_binding_limit_which_is_named() -> None:
    rate = ready()
    assert len(flood(rate, 100.0, 110.0)) == pytest.approx(1_000, abs=1)
    assert rate.binding == "requests"


@pytest.mark.parametrize(
    ("demand", "binding", "calls"),
    [
        (Demand(1, 100, 10), "requests", 1_000),
        (Demand(1, 1_000, 10), "input_tokens", 167),
        (Demand(1, 100, 500), "output_tokens", 333),
    ],
)
def test_each_limit_can_bind(demand: Demand, binding: str, calls: int) -> None:
    rate = Rate(LIMITS, 0.0, says_limits=False)
    flood(rate, 0.0, 100.0, demand)
    assert len(flood(rate, 100.0, 110.0, demand)) == pytest.approx(calls, abs=2)
    assert rate.binding == binding


def test_after_a_rest_two_seconds_worth_start_at_once() -> None:
    rate = ready()
    at_once = 0
    while isinstance(rate.reserve(CALL, 120.0), Grant):
        at_once += 1
    assert at_once == 100 * BURST_S


def test_a_start_is_slow_and_doubles_every_two_seconds() -> None:
    rate = Rate(LIMITS, 0.0, says_limits=False)
    grants = flood(rate, 0.0, 12.0)
    by_second = [sum(n <= grant.started_at < n + 1 for grant in grants) for n in range(12)]
    assert by_second[1] < 40
    assert by_second[4] == pytest.approx(2 * by_second[2], rel=0.2)
    assert by_second[-1] == pytest.approx(100, abs=1)


def test_a_start_with_little_use_stays_slow() -> None:
    rate = Rate(LIMITS, 0.0, says_limits=False)
    for now in range(20):
        assert isinstance(rate.reserve(CALL, float(now)), Grant)
    assert rate.pace < 2 * SLOW_START


def test_small_limits_start_at_one_call_a_second() -> None:
    rate = Rate(PerMinute(60), 0.0)
    rate.correct(next(iter(flood(rate, 0.0, 0.5))), CALL, 0.5)
    assert len(flood(rate, 0.5, 10.5)) >= 9


def test_after_long_idleness_the_start_is_slow_again() -> None:
    rate = ready()
    rate.reserve(CALL, 125.0)
    assert rate.pace == 1.0
    rate.reserve(CALL, 200.0)
    assert rate.pace < 1.1 * SLOW_START


def test_a_refusal_stops_everybody_until_it_is_over() -> None:
    rate = ready()
    grant = flood(rate, 100.0, 100.1)[0]
    rate.refused(grant, 7.0, 101.0)
    opens_at = rate.reserve(CALL, 101.0)
    assert isinstance(opens_at, float)
    assert 108.0 <= opens_at < 108.2
    assert rate.reserve(CALL, 107.9) == pytest.approx(opens_at)
    assert isinstance(rate.reserve(CALL, opens_at), Grant)
    assert not isinstance(rate.reserve(CALL, opens_at), Grant)  # what waited does not come at once


def test_a_pause_slows_the_start_by_its_length() -> None:
    for pause_s, pace in ((1.0, 0.7), (60.0, SLOW_START)):
        rate = ready()
        rate.refused(flood(rate, 100.0, 100.1)[0], pause_s, 101.0)
        assert rate.pace == pytest.approx(pace, abs=0.01)


def test_calls_that_began_before_a_refusal_are_one_refusal() -> None:
    rate = Rate(LIMITS, 0.0, says_limits=False)
    grants = flood(rate, 0.0, 4.0)
    before = rate.pace
    for grant in grants[-10:]:
        rate.refused(grant, None, 4.0)
    assert rate.pace == pytest.approx(before / 2)
    rate.refused(grants[0], 9.0, 4.1)  # a later time to come back counts
    assert rate.reserve(CALL, 5.0) == pytest.approx(13.2, abs=0.1)


@pytest.mark.parametrize("wait_s", [float("nan"), inf, -5.0, None])
def test_a_wait_that_makes_no_sense_stops_nobody(wait_s: float | None) -> None:
    rate = ready()
    rate.refused(flood(rate, 100.0, 100.1)[0], wait_s, 101.0)
    got = rate.reserve(CALL, 101.0)
    assert isinstance(got, Grant) or got < 102.0


def test_what_the_api_says_is_left_holds_where_it_is_less() -> None:
    rate = ready()
    grant = flood(rate, 100.0, 100.1)[0]
    rate.correct(grant, CALL, 110.0)
    rate.learn(quota(6_000, 30), grant, 110.0)
    started = 0
    while isinstance(rate.reserve(CALL, 110.0), Grant):
        started += 1
    assert 0 < started <= 30


def test_a_call_that_took_less_gives_back_what_it_did_not_take() -> None:
    rate = ready(PerMinute(None, 60_000, None))
    start = 200.0
    rate.reserve(Demand(1, 100, 0), start - 1)
    first = rate.reserve(Demand(1, 2_000, 0), start)
    assert isinstance(first, Grant) or first > start
    while not isinstance(first, Grant):
        start = first
        first = rate.reserve(Demand(1, 2_000, 0), start)
    later = rate.reserve(Demand(1, 1_000, 0), start)
    assert not isinstance(later, Grant)
    rate.correct(first, Demand(1, 500, 0), start)
    assert isinstance(rate.reserve(Demand(1, 1_000, 0), start), Grant)


def test_a_limit_that_the_api_lowers_holds_at_once_and_one_it_raises_by_a_slow_start() -> None:
    rate = ready()
    grant = flood(rate, 100.0, 100.1)[0]
    rate.learn(quota(3_000, 3_000), grant, 101.0)
    assert len(flood(rate, 103.0, 113.0)) == pytest.approx(500 + 100, abs=2)
    grant = flood(rate, 113.0, 113.1)[-1]
    rate.learn(quota(6_000, 3_000), grant, 113.1)
    assert rate.pace == pytest.approx(0.5)


def test_a_response_that_was_overtaken_changes_no_limit() -> None:
    rate = ready()
    old, new = flood(rate, 100.0, 100.1)[:2]
    rate.learn(quota(3_000, 3_000), new, 101.0)
    rate.learn(quota(6_000, 6_000), old, 101.0)
    assert len(flood(rate, 105.0, 115.0)) < 700


def test_what_is_configured_bounds_what_the_api_allows() -> None:
    rate = Rate(PerMinute(600), 0.0)
    grant = flood(rate, 0.0, 0.1)[0]
    rate.correct(grant, CALL, 0.5)
    rate.learn(quota(60_000, 60_000), grant, 0.5)
    flood(rate, 0.5, 30.0)
    assert len(flood(rate, 30.0, 40.0)) == pytest.approx(100, abs=1)


def test_a_share_of_the_limits_stays_free() -> None:
    rate = ready(limit_share=0.8)
    assert len(flood(rate, 100.0, 110.0)) == pytest.approx(800, abs=1)


def test_other_workers_have_the_other_parts_of_the_limits() -> None:
    rate = ready()
    rate.give((0.25, 0.5, 1.0), 100.0)
    assert len(flood(rate, 100.0, 110.0)) == pytest.approx(250, abs=2)
    assert rate.pace == 1.0


def test_a_part_that_grows_is_approached_from_what_was_used_before() -> None:
    rate = ready()
    rate.give((0.25,) * 3, 100.0)
    flood(rate, 100.0, 110.0)
    rate.give((1.0,) * 3, 110.0)
    by_second = [len(flood(rate, 110.0 + n, 111.0 + n)) for n in range(6)]
    assert by_second[0] < 50
    assert by_second[2] == pytest.approx(2 * by_second[0], rel=0.2)
    assert by_second[-1] == pytest.approx(100, abs=1)


def test_what_calls_used_and_waited_for_is_told() -> None:
    rate = ready()
    before = rate.use(100.0)
    grants = flood(rate, 100.0, 101.0)
    for grant in grants:
        rate.correct(grant, Demand(1, 50, 20), 102.0)
    used = [late.amount - early.amount for late, early in zip(rate.use(102.0), before, strict=True)]
    assert used == pytest.approx([len(grants), 50 * len(grants), 20 * len(grants)])
    assert [each.waits for each in before] == [True, False, False]
    assert [each.waits for each in rate.use(103.0)] == [False] * 3
    assert rate.use(103.0)[0].limit_per_s == pytest.approx(100)


def test_a_few_calls_go_ahead_where_nothing_is_known_of_the_limits() -> None:
    rate = Rate(PerMinute(), 0.0)
    first = rate.reserve(CALL, 0.0)
    assert isinstance(first, Grant)
    for _ in range(FIRST_CALLS - 1):
        assert isinstance(rate.reserve(CALL, 0.0), Grant)
    assert rate.reserve(CALL, 0.0) == inf
    rate.correct(first, CALL, 1.0)
    rate.learn(None, first, 1.0)
    assert isinstance(rate.reserve(CALL, 1.0), Grant)


def test_without_limits_nothing_waits() -> None:
    rate = Rate(PerMinute(), 0.0, says_limits=False)
    assert all(isinstance(rate.reserve(CALL, 0.0), Grant) for _ in range(1_000))
    assert rate.binding is None


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_out_of_range_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match="limit_share"):
        Rate(PerMinute(), 0.0, limit_share=share)


def test_a_limit_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="input_tokens"):
        Rate(PerMinute(1, 0, 1), 0.0)


@settings(max_examples=60)
@given(
    st.integers(0, 10**6).map(float),
    st.lists(
        st.tuples(
            st.floats(0, 3),
            st.integers(1, 20_000),
            st.integers(0, 2_000),
            st.integers(0, 1_000),
            st.sampled_from(["reply", "refusal", "nothing"]),
        ),
        max_size=40,
    ),
)
def test_who_asks_at_the_named_time_is_granted_and_no_bucket_gives_more_than_its_limit(
    start: float, steps: list[tuple[float, int, int, int, str]]
) -> None:
    limits = PerMinute(600, 300_000, 60_000)
    rate, now = Rate(limits, start), start
    started: list[Demand] = []
    for wait_s, tokens, output, remaining, end in steps:
        now += wait_s
        demand = Demand(1, tokens, output)
        got = rate.reserve(demand, now)
        while not isinstance(got, Grant):
            assert now < got < inf
            now, again = got, rate.reserve(demand, got)
            assert isinstance(again, Grant)
            got = again
        if end == "refusal":
            rate.refused(got, wait_s, now)
        else:
            rate.correct(got, demand, now)
            started.append(demand)
        if end != "nothing":
            rate.learn(quota(1_000, remaining), got, now)
        if started:
            for limit, taken in zip(limits, zip(*started, strict=True), strict=True):
                most = (limit or 0) / 60 * (now - start + BURST_S)
                assert sum(taken) <= most + max(taken) + 1e-3


@pytest.mark.parametrize(
    ("model", "group"),
    [
        ("claude-opus-4-1", "claude-opus-4.x"),
        ("claude-opus-4-5-20251101", "claude-opus-4.x"),
        ("claude-sonnet-4-6", "claude-sonnet-4.5-4.6"),
        ("claude-haiku-5-5", "claude-haiku-5-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("voyage-4", "voyage-4"),
    ],
)
def test_models_that_share_limits_are_one_group(model: str, group: str) -> None:
    assert model_group(model) == group


def test_users_override_groups_and_the_longest_beginning_counts() -> None:
    table = {"claude-": "all", "claude-opus": "opus"}
    assert model_group("claude-opus-4-1", table) == "opus"
    assert model_group("claude-haiku-5-5", table) == "all"


def test_what_was_found_counts_no_more_once_the_api_says_its_limits() -> None:
    rate = Rate(PerMinute(), 0.0, says_limits=False)
    for n in range(20):
        grant = rate.reserve(Demand(1, 100, 10), n / 10)
        assert isinstance(grant, Grant)
        rate.correct(grant, grant.demand, n / 10)
    assert rate.refused(grant, None, 2.0, says_limits=False)
    assert rate.per_minute.requests == pytest.approx(550, rel=0.1)
    last = rate.reserve(Demand(1, 100, 10), 4.0)
    assert isinstance(last, Grant)
    rate.learn(RateLimits(requests=Quota(1_000, 900, 0.1)), last, 4.0)
    assert rate.per_minute == PerMinute(pytest.approx(1_000))  # type: ignore[arg-type]


def test_after_a_refusal_the_buckets_are_not_asked_for_each_call_where_a_kind_has_no_limit() -> (
    None
):
    rate = ready(PerMinute(6_000))
    (last,) = flood(rate, 100.0, 100.01)
    rate.refused(last, 1.0, 100.0)
    flood(rate, 100.0, 120.0)
    first, second = (rate.reserve(CALL, at) for at in (121.0, 121.001))
    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert first.paths is not None
    assert second.paths is None
