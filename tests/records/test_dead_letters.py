"""A dead letter is the source record and what happened to it."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.record_size import record_bytes
from streams.errors import ItemError, StageError

from .samples import NOW_MS, emitted, encoder, item_of, released

HEADERS = (("x", b"\xff"), ("x", None), ("streams-error-code", b"an earlier one"))


def test_a_dead_letter_keeps_key_value_and_headers_byte_for_byte_and_adds_the_facts() -> None:
    item = item_of(b"{\xff", key=b"\xfe", headers=HEADERS)
    slot = released(item, ItemError("invalid_answer", "the label is not one of ours"), calls=3)
    record, error = emitted(encoder(), slot)
    assert error is slot.outcome
    assert record == (
        b"\xfe",
        b"{\xff",
        [
            *HEADERS,
            ("streams-error-code", b"invalid_answer"),
            ("streams-error-message", b"the label is not one of ours"),
            ("streams-source-topic", b"reviews"),
            ("streams-source-partition", b"3"),
            ("streams-source-offset", b"1041"),
            ("streams-source-timestamp-ms", b"1790000000000"),
            ("streams-task", b"sentiment"),
            ("streams-attempts", b"3"),
            ("streams-batch-id", b"sentiment-9c1f-52"),
            ("streams-failed-at-ms", b"1790000000450"),
        ],
        1_790_000_000_000,
    )


def test_a_dead_letter_of_a_pipeline_names_the_stage() -> None:
    slot = released(item_of(b"{}"), StageError("embed", ItemError("timeout", "no reply")), calls=6)
    record, _ = emitted(encoder(), slot)
    headers = dict(record[2])
    assert headers["streams-stage"] == b"embed"
    assert headers["streams-error-message"] == b"stage embed: no reply"
    assert [name for name, _ in record[2]][-1] == "streams-stage"


def test_an_item_that_was_in_no_call_has_an_empty_batch_id_and_no_attempts() -> None:
    item = item_of(b"not JSON")
    slot = released(item, ItemError("invalid_json", "no"), calls=0)
    headers = dict(encoder().dead_letter(slot, slot.outcome, NOW_MS)[2])
    assert headers["streams-batch-id"] == b""
    assert headers["streams-attempts"] == b"0"


def test_a_dead_tombstone_stays_a_tombstone() -> None:
    slot = released(item_of(None), ItemError("tombstone", ""), calls=0)
    letter = encoder().dead_letter(slot, slot.outcome, NOW_MS, limit_bytes=10)
    assert letter[1] is None
    assert "streams-value-omitted" not in dict(letter[2])


@given(st.text(st.characters(), min_size=300, max_size=1_200))
def test_the_message_is_bounded_and_valid_utf8(message: str) -> None:
    slot = released(item_of(b"{}"), None)
    headers = dict(encoder().dead_letter(slot, ItemError("odd", message), NOW_MS)[2])
    assert headers["streams-error-code"] == b"odd"
    said = headers["streams-error-message"]
    assert said is not None
    assert len(said) <= 1_000
    whole = message.encode("utf-8", "replace")
    assert whole.startswith(said)
    assert len(whole) - len(said) < 4 or len(said) > 996
    said.decode()


def letter_within(limit_bytes: int, **facts: Any) -> tuple[Any, Any, dict[str, Any], int]:
    item = item_of(b'{"text":"%b"}' % (b"x" * 5_000), **facts)
    error = ItemError("result_too_large", "m" * 900)
    slot = released(item, error)
    key, value, headers, _ = encoder().dead_letter(slot, error, NOW_MS, limit_bytes=limit_bytes)
    return key, value, dict(headers), record_bytes(key, value, headers)


def test_a_dead_letter_that_does_not_fit_loses_its_value_first() -> None:
    key, value, headers, size = letter_within(5_000, headers=(("h", b"1"),))
    assert (key, value, headers["h"]) == (b"k", None, b"1")
    assert headers["streams-value-omitted"] == b"5011"
    assert size <= 5_000
    assert letter_within(9_000)[1] is not None


def test_then_the_sources_headers_then_its_key_then_our_message() -> None:
    big = {"headers": (("h", b"h" * 3_000), ("i", None)), "key": b"k" * 3_000}
    key, _, headers, size = letter_within(6_000, **big)
    assert (len(key), headers.get("h"), headers["streams-headers-omitted"]) == (3_000, None, b"2")
    assert size <= 6_000
    key, _, headers, size = letter_within(2_500, **big)
    assert (key, headers["streams-key-omitted"]) == (None, b"3000")
    assert size <= 2_500
    key, _, headers, size = letter_within(1_000, **big)
    assert headers["streams-error-message"] == b""
    assert headers["streams-error-code"] == b"result_too_large"
    assert size <= 1_000


BYTES = st.none() | st.binary(max_size=300)


@given(BYTES, BYTES, st.lists(st.tuples(st.text(max_size=80), BYTES), max_size=70))
def test_record_bytes_is_never_less_than_what_kafka_counts_and_close_to_it(
    key: Any, value: Any, headers: Any
) -> None:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=1 << 20,
    )  # fmt: skip
    builder.append(0, timestamp=1_790_000_000_000, key=key, value=value, headers=headers)
    batch = bytes(builder.build())
    assert len(list(DefaultRecordBatch(batch))) == 1
    assert len(batch) <= record_bytes(key, value, headers) <= len(batch) + 21


@pytest.mark.parametrize("length", [0, 1, 63, 64, 8_191, 8_192, 1_048_575, 1_048_576])
def test_record_bytes_counts_long_values_exactly_as_the_client_estimates_them(length: int) -> None:
    value = b"x" * length
    expected = DefaultRecordBatchBuilder.estimate_size_in_bytes(b"k", value, [("h", None)])
    assert record_bytes(b"k", value, [("h", None)]) == expected
