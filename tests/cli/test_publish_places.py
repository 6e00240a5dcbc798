"""Where keys go, and how much of them is remembered."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.jobs.publish.places import MAX_KEYS_BYTES, Places, place_of


@given(st.lists(st.sampled_from([b"", b"a", b"bb", b"c" * 60, b"d" * 500]), max_size=60))
def test_a_key_goes_where_kafkas_partitioner_puts_it_whatever_is_remembered(
    keys: list[bytes],
) -> None:
    places = Places(7, limit_bytes=500)
    for key in keys:
        assert places.of(key) == place_of(key, 7)
        assert places.keys_bytes <= 500


def test_kafkas_partitioner_is_the_java_clients() -> None:
    """Values of `Utils.toPositive(Utils.murmur2(key)) % 10`."""
    assert [place_of(key, 10) for key in (b"21", b"foobar", b"a-little-bit-long-string")] == [
        (number & 0x7FFFFFFF) % 10 for number in (-973932308, -790332482, -985981536)
    ]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Murmur2 takes seconds for what these tests remember."""
    monkeypatch.setattr("streams.jobs.publish.places.place_of", lambda key, partitions: 0)


@pytest.mark.usefixtures("at_once")
def test_what_is_remembered_of_long_keys_is_bounded_by_bytes() -> None:
    """65,536 keys of any length were remembered: of 1,000 bytes each, 70 MB."""
    places = Places(4)
    tracemalloc.start()
    try:
        for number in range(50):
            places.of(b"%d" % (number + 10) * 500_000)
        taken, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= MAX_KEYS_BYTES
    assert most <= MAX_KEYS_BYTES + 2_000_000


@pytest.mark.usefixtures("at_once")
def test_a_short_key_takes_no_more_than_is_counted_for_it() -> None:
    places = Places(4)
    tracemalloc.start()
    try:
        for number in range(50_000):
            places.of(b"key %d" % number)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert places.keys_bytes / 2 < taken < places.keys_bytes
