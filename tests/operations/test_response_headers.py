"""What headers say about the account's limits; what they say about waiting is in `test_faults`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import Fault
from streams.model import Quota, RateLimits
from streams.providers.response_headers import rate_limits
from streams.providers.sdk_faults import call_error
from tests.operations.conftest import at_leisure

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
NAMES = [
    f"anthropic-ratelimit-{kind}-{member}"
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    for member in ("limit", "remaining", "reset")
]
HEADERS = {
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "998",
    "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:02Z",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1999000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-22T12:00:00.5+00:00",
    "anthropic-ratelimit-output-tokens-limit": "400000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2026-11-22T14:01:00+02:00",
    "anthropic-ratelimit-tokens-limit": "2000000",
}


def test_the_headers_of_a_response_are_its_limits():
    assert rate_limits(HEADERS, now=NOW) == RateLimits(
        Quota(1_000, 998, 2.0), Quota(2_000_000, 1_999_000, 0.5), Quota(400_000, 0, 60.0)
    )


def test_a_reset_counts_from_the_responses_own_date():
    """The server's clock is an hour ahead."""
    headers = {
        "date": "Sun, 22 Nov 2026 13:00:00 GMT",
        "anthropic-ratelimit-requests-reset": "2026-11-22T13:00:30Z",
    }
    assert rate_limits(headers, now=NOW) == RateLimits(requests=Quota(reset_s=30.0))


def test_a_reset_that_is_over_is_now():
    headers = {"anthropic-ratelimit-requests-reset": "2026-11-22T11:00:00Z"}
    assert rate_limits(headers, now=NOW) == RateLimits(requests=Quota(reset_s=0.0))


@pytest.mark.parametrize("headers", [{}, {"retry-after": "7"}, {"x-ratelimit-limit-requests": "9"}])
def test_a_response_without_such_headers_says_nothing(headers):
    assert rate_limits(headers, now=NOW) is None


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("limit", "many"), ("limit", "-1"), ("limit", "1e3"), ("limit", ""), ("limit", "٣"),
        ("limit", "9" * 5_000), ("remaining", "1.5"), ("remaining", "nan"), ("reset", "soon"),
        ("reset", "30"), ("reset", "2026-13-01T00:00:00Z"), ("reset", ""),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_read_says_nothing_and_the_others_count(member, value):
    headers = {**HEADERS, f"anthropic-ratelimit-requests-{member}": value}
    limits = rate_limits(headers, now=NOW)
    assert limits is not None
    assert limits.requests is not None
    assert getattr(limits.requests, "reset_s" if member == "reset" else member) is None
    assert [value is None for value in limits.requests].count(True) == 1
    assert limits.input_tokens == Quota(2_000_000, 1_999_000, 0.5)
    alone = {f"anthropic-ratelimit-requests-{member}": value}
    assert rate_limits(alone, now=NOW) is None


def test_a_refusal_carries_the_limits_too():
    error = call_error(429, HEADERS, None, now=NOW)
    assert error.fault is Fault.THROTTLED
    assert error.rate_limits == rate_limits(HEADERS, now=NOW)
    assert call_error(500, {}, None, now=NOW).rate_limits is None


@at_leisure
@given(
    st.dictionaries(
        st.sampled_from([*NAMES, "date"]),
        st.text()
        | st.integers().map(str)
        | st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    )
)
def test_no_headers_make_the_reading_fail(headers):
    for quota in rate_limits(headers, now=NOW) or ():
        assert quota is None or all(value is None or value >= 0 for value in quota)
