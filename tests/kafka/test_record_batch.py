"""A batch that aiokafka refuses: what of it can be told apart, and from where on nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.records import BrokenValue
from streams.kafka.record_batch import CorruptBatchError, read_batch
from tests.kafka.raw_batches import batch, body, content, framed, varint

GOOD = framed(body(0, b"good"))
contents = st.none() | st.binary(max_size=200)


@given(
    st.lists(
        st.tuples(contents, contents, st.lists(st.tuples(st.text(), contents), max_size=3)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([0, 1, 2, 3, 4]),
    st.sampled_from([0, 8]),
    st.sampled_from([-1, 1_700_000_000_000]),
)
def test_a_whole_batch_is_read_as_aiokafka_reads_it(records, compression, attributes, timestamp):
    raw = batch(
        [
            framed(body(n, value, [(name.encode(), each) for name, each in headers], key))
            for n, (key, value, headers) in enumerate(records)
        ],
        base=77,
        compression=compression,
        attributes=attributes,
        timestamp=timestamp,
    )
    ours, theirs = list(read_batch(raw)), list(DefaultRecordBatch(raw))
    for name in ("offset", "timestamp", "timestamp_type", "key", "value", "headers", "checksum"):
        assert [getattr(each, name) for each in ours] == [getattr(each, name) for each in theirs]


@given(st.binary(max_size=30), contents)
def test_a_headers_name_keeps_its_bytes_whatever_they_are(name, value):
    (record,) = read_batch(batch([framed(body(0, b"x", [(name, value)]))]))
    ((found, each),) = record.headers
    assert (found.encode("utf-8", "surrogateescape"), each) == (name, value)
    assert not isinstance(record.value, BrokenValue)


NAMELESS = varint(1) + varint(-1) + content(b"x")
BROKEN = {
    "bytes behind the headers": (body(1, b"v", key=b"k", tail=b"??"), b"k", b"v"),
    "a header without a name": (b"\0\0" + varint(1) + content(b"k") + content(b"v") + NAMELESS,
                                b"k", b"v"),
    "more headers than there are": (
        b"\0\0" + varint(1) + content(b"k") + content(b"v") + varint(9), b"k", b"v"),
    "fewer headers than none": (
        b"\0\0" + varint(1) + content(b"k") + content(b"v") + varint(-3), b"k", b"v"),
    "a value longer than its record": (
        b"\0\0" + varint(1) + content(b"k") + varint(99), b"k", None),
    "a value shorter than nothing": (b"\0\0" + varint(1) + content(b"k") + varint(-2), b"k", None),
    "a key longer than memory": (b"\0\0" + varint(1) + varint(2**62), None, None),
    "another record's offset": (body(0, b"v"), None, None),
    "an offset beyond the batch": (body(7, b"v"), None, None),
    "a number without an end": (b"\0" + b"\xff" * 12, None, None),
    "nothing": (b"", None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("compression", [0, 4])
def test_a_broken_record_is_told_apart_from_those_before_and_behind_it(case, compression):
    raw, key, value = BROKEN[case]
    good = framed(body(0, b"good")), framed(body(2, b"good"))
    first, broken, last = read_batch(
        batch([good[0], framed(raw), good[1]], compression=compression)
    )
    assert (first.offset, first.value) == (0, b"good")
    assert (last.offset, last.value) == (2, b"good")
    assert isinstance(broken.value, BrokenValue)
    assert broken.value.problem
    assert (broken.offset, broken.key, broken.value.content) == (1, key, value)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (batch([GOOD], count=2, last_delta=1), "it is cut before record 2 of 2"),
        (batch([GOOD, varint(500) + b"x"]), "the length of record 2 of 2 is 500"),
        (batch([GOOD, varint(-5)]), "the length of record 2 of 2 is -5"),
        (batch([GOOD], last_delta=4, behind=b"???"), "3 bytes stand behind its 1 records"),
        (batch([GOOD, framed(b"")], last_delta=4), "a record without a readable offset"),
    ],
)
def test_what_stands_before_the_place_where_a_batch_is_lost_is_read(raw, problem):
    records = read_batch(raw)
    assert next(records).value == b"good"
    with pytest.raises(CorruptBatchError, match=problem):
        next(records)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (batch([GOOD], compression=1, data=b"no gzip"), "its gzip data cannot be decompressed"),
        (batch([GOOD], compression=4, data=b"no zstd"), "its zstd data cannot be decompressed"),
        (batch([GOOD], attributes=6, data=b"?"), "codec 6"),
        (batch([], count=1, last_delta=0), "it is cut before record 1 of 1"),
    ],
)
def test_a_batch_of_which_nothing_can_be_told_apart_says_why(raw, problem):
    with pytest.raises(CorruptBatchError, match=problem):
        next(read_batch(raw))


def test_bytes_behind_the_last_record_cost_nothing_where_no_offset_is_missing():
    assert [each.value for each in read_batch(batch([GOOD], behind=b"???"))] == [b"good"]


@given(st.binary(max_size=120), st.integers(-5, 5), st.integers(-1, 9))
def test_garbage_gives_records_or_the_one_error(data, count, last_delta):
    raw = batch([GOOD], data=data, count=count, last_delta=last_delta)
    offsets = []
    with suppress(CorruptBatchError):
        for record in read_batch(raw):
            offsets.append(record.offset)  # noqa: PERF401  as far as they come
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset <= last_delta for offset in offsets)
