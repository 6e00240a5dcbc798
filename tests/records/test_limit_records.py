"""What workers tell each other of a limit survives its way through the topic."""

from __future__ import annotations

import pytest

from streams.codec.limit_records import LimitRecord, decode_limit, encode_limit
from streams.policies.limit_parts import Word

RECORD = LimitRecord(
    "anthropic/claude-haiku/8c1f", "5e0a", Word(0.25, (4.1, 900.0, 80.0), (True, False, False), 8.5)
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert decode_limit(*encode_limit(RECORD)) == RECORD


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[]",
        b'{"part": 0.5}',
        b'{"part": 0, "per_s": [1, 1, 1], "waits": [true, true, true], "at": 1}',
        b'{"part": 1.1, "per_s": [1, 1, 1], "waits": [true, true, true], "at": 1}',
        b'{"part": 0.5, "per_s": [1, 1, -1], "waits": [true, true, true], "at": 1}',
        b'{"part": 0.5, "per_s": [1, 1], "waits": [true, true, true], "at": 1}',
        b'{"part": 0.5, "per_s": 1, "waits": [true, true, true], "at": 1}',
    ],
)
def test_what_is_none_of_ours_is_passed_by(value: bytes | None) -> None:
    assert decode_limit(b"limit/worker", value) is None
    assert decode_limit(b"worker", encode_limit(RECORD)[1]) is None
    assert decode_limit(None, encode_limit(RECORD)[1]) is None
