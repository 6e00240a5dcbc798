"""What issue 12 asks of one process, in simulated time against an API with buckets."""

from __future__ import annotations

from random import Random

import pytest

from streams.policies.demand import Demand, PerMinute

from .limited_api import MINUTE_LIMITS, SHORT_TEXT, Api, Client

START, END = 30.0, 210.0
"""Three minutes after the slow start."""

LONG_TEXT, LONG_ANSWER = Demand(1, 6_000, 200), Demand(1, 1_000, 1_000)
UNLIMITED = (1e9, 1e12, 1e12)

SEED = 12


def api_of(burst_s: float, headers_of: str) -> Api:
    return Api(burst_s=burst_s, headers_of=headers_of)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typical", "field", "burst_s", "headers_of", "latency_s"),
    [
        (SHORT_TEXT, 0, 60.0, "answer", 1.0),
        (LONG_TEXT, 1, 60.0, "answer", 1.0),
        (LONG_ANSWER, 2, 60.0, "answer", 1.0),
        (SHORT_TEXT, 0, 2.0, "call", 3.0),
        (LONG_TEXT, 1, 2.0, "call", 3.0),
        (LONG_ANSWER, 2, 2.0, "call", 3.0),
    ],
)
def test_97_percent_of_the_binding_limit_and_hardly_a_429(
    typical: Demand, field: int, burst_s: float, headers_of: str, latency_s: float
) -> None:
    api = api_of(burst_s, headers_of)
    course = Client(api, Random(SEED), typical=typical, latency_s=latency_s).run(END + 10)
    assert course.used(field, START, END) >= 0.97 * MINUTE_LIMITS[field]
    assert course.refused_share(0, END) <= 0.005


@pytest.mark.parametrize("guess", [0.8, 1.25])
def test_the_same_with_estimates_that_are_off(guess: float) -> None:
    api = Api(burst_s=5.0)
    course = Client(api, Random(SEED), typical=LONG_TEXT, guess=guess).run(END + 10)
    assert course.used(1, START, END) >= 0.97 * MINUTE_LIMITS[1]
    assert course.refused_share(0, END) <= 0.005


@pytest.mark.parametrize(("headers_of", "latency_s"), [("answer", 1.0), ("call", 3.0)])
def test_limits_that_are_halved_and_restored_are_used_again_within_20_s(
    headers_of: str, latency_s: float
) -> None:
    api = api_of(60.0, headers_of)
    changes = {60.0: lambda now: api.change(0.5, now), 120.0: lambda now: api.change(1.0, now)}
    course = Client(api, Random(SEED), latency_s=latency_s, at=changes).run(END)
    assert course.used(0, 80, 115) == pytest.approx(500, rel=0.03)
    assert course.used(0, 140, 200) >= 970
    assert course.refused_share(0, END) <= 0.005


@pytest.mark.parametrize(
    ("headers_of", "latency_s", "burst_s"),
    [("answer", 1.0, 5.0), ("answer", 3.0, 2.0), ("call", 1.0, 5.0)],
)
def test_another_program_that_takes_30_percent_leaves_70_to_us(
    headers_of: str, latency_s: float, burst_s: float
) -> None:
    api = api_of(burst_s, headers_of)
    course = Client(api, Random(SEED), other=0.3, latency_s=latency_s).run(END + 10)
    assert course.used(0, START, END) >= 0.97 * 700
    assert course.refused_share(0, END) <= 0.005


def test_a_cold_start_meets_no_acceleration_limit_and_is_over_within_a_minute() -> None:
    api = Api(burst_s=1.0, sharp=4.0)
    course = Client(api, Random(SEED)).run(70.0)
    assert course.refused == []
    assert course.used(0, 20, 60) >= 900


def test_the_same_where_the_limits_are_configured() -> None:
    api = Api(burst_s=1.0, sharp=4.0)
    course = Client(api, Random(SEED), configured=PerMinute(*MINUTE_LIMITS)).run(190.0)
    assert course.refused == []
    assert course.used(0, 0, 180) >= 970


def test_a_share_is_kept_free() -> None:
    course = Client(Api(), Random(SEED), limit_share=0.8).run(END + 10)
    assert 0.97 * 800 <= course.used(0, START, END) <= 805


def test_the_cap_rests_where_the_api_has_a_fixed_number_of_places() -> None:
    api = Api(UNLIMITED, at_once=30, says_limits=False)
    course = Client(api, Random(SEED)).run(420.0)
    caps = [cap for at, cap in course.caps if at >= 120]
    assert max(caps) <= 1.1 * min(caps)
    assert course.used(0, 120, 400) >= 0.9 * 30 * 60
    assert course.refused_share(120, 400) <= 0.02


@pytest.mark.parametrize(
    ("burst_s", "latency_s"), [(1.0, 0.1), (5.0, 0.1), (60.0, 0.3), (5.0, 1.0), (1.0, 4.0)]
)
def test_a_limit_that_nobody_tells_is_found_within_a_minute(
    burst_s: float, latency_s: float
) -> None:
    api = Api(burst_s=burst_s, says_limits=False)
    course = Client(api, Random(SEED), latency_s=latency_s).run(250.0)
    assert course.used(0, 60, 240) >= 900
    assert course.refused_share(0, 240) <= 0.02


def test_the_same_where_tokens_bind() -> None:
    api = Api(burst_s=5.0, says_limits=False)
    course = Client(api, Random(SEED), typical=LONG_TEXT, latency_s=0.3).run(250.0)
    assert course.used(1, 60, 240) >= 0.9 * MINUTE_LIMITS[1]
    assert course.refused_share(0, 240) <= 0.02


def test_one_that_changes_untold_is_found_again() -> None:
    api = Api(burst_s=5.0, says_limits=False)
    changes = {100.0: lambda now: api.change(0.5, now), 300.0: lambda now: api.change(1.0, now)}
    course = Client(api, Random(SEED), latency_s=0.3, at=changes).run(600.0)
    assert course.used(0, 130, 300) == pytest.approx(500, rel=0.1)
    assert course.used(0, 420, 600) >= 900
    assert course.refused_share(0, 600) <= 0.02
