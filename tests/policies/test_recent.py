"""The durations of the latest calls: against a sorted list."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from streams.policies.recent import SHARE, SIZE, Recent


@given(st.lists(st.sampled_from([0.0, 0.1, 0.1, 2.5, 60.0]) | st.floats(0, 1e3), max_size=350))
def test_the_p95_is_that_of_the_latest(seconds: list[float]) -> None:
    recent = Recent()
    assert recent.p95 is None
    for n, each in enumerate(seconds, 1):
        recent.add(each)
        latest = sorted(seconds[max(0, n - SIZE) : n])
        assert recent.p95 == latest[ceil(SHARE * len(latest)) - 1]


def test_of_few_it_is_the_longest() -> None:
    recent = Recent()
    for seconds in (1.0, 9.0, 2.0):
        recent.add(seconds)
    assert recent.p95 == 9.0
