"""What a dead letter's record says, and what of it is the source's own."""

from __future__ import annotations

import pytest

from streams.jobs.dead.letters import Choice, letter_of, redrive_headers
from streams.model import Position

from .letters import Record, item, record


def test_a_letter_of_the_worker_is_read_whole() -> None:
    letter = letter_of(record(item(7, partition=3), partition=3, offset=11))
    assert letter is not None
    assert (letter.partition, letter.offset, letter.place) == (3, 11, "3/11")
    assert (letter.code, letter.message) == ("refused", "the model declined to answer")
    assert (letter.task, letter.attempts, letter.batch_id) == ("mood", 3, "mood-1")
    assert letter.source == Position("reviews", 3, 7)
    assert (letter.source_timestamp_ms, letter.failed_at_ms) == (
        1_790_000_000_000,
        1_790_000_001_000,
    )
    assert (letter.key, letter.value) == (b"k", b'{"id": 7,  "text": "t"}')
    assert letter.headers == [("h", b"1"), ("h", None)]
    assert letter.omitted == {}


def test_a_source_without_a_time_has_none() -> None:
    letter = letter_of(record(item(7, timestamp_ms=-1)))
    assert letter is not None
    assert letter.source_timestamp_ms is None


def test_headers_of_our_names_that_the_source_has_itself_are_its_own() -> None:
    """A dead letter that another tool sent again as it was."""
    first = record(item(7, headers=[("x", b"\xff")]), code="no_text")
    letter = letter_of(record(item(9, headers=first.headers), code="refused"))
    assert letter is not None
    assert letter.code == "refused"
    assert letter.source.offset == 9
    assert letter.headers == first.headers


def test_a_header_that_somebody_put_behind_ours_is_kept() -> None:
    made = record(item(7))
    letter = letter_of(made._replace(headers=[*made.headers, ("traceparent", b"00")]))
    assert letter is not None
    assert letter.headers == [("h", b"1"), ("h", None), ("traceparent", b"00")]


def test_what_a_letter_was_too_large_for_is_told() -> None:
    big = item(7, value=b"x" * 5000)
    letter = letter_of(record(big, limit_bytes=2000))
    assert letter is not None
    assert (letter.value, letter.omitted) == (None, {"value": 5000})
    letter = letter_of(
        record(item(7, key=b"k" * 5000, headers=[("h", b"1" * 5000)]), limit_bytes=700)
    )
    assert letter is not None
    assert letter.omitted == {"value": 23, "headers": 1, "key": 5000}
    assert letter.headers == []


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("streams-error-code", b"x")],
        [(n, b"x" if n == "streams-source-offset" else v) for n, v in record(item(1)).headers],
        [(n, None) for n, _ in record(item(1)).headers],
    ],
)
def test_a_record_that_is_no_dead_letter_of_ours_is_none(headers: list[tuple[str, bytes]]) -> None:
    assert letter_of(Record(0, 0, None, b"{}", headers)) is None


def test_a_letter_sent_again_has_the_sources_headers_and_how_often_it_was() -> None:
    letter = letter_of(record(item(7)))
    assert letter is not None
    assert letter.redrives == 0
    again = redrive_headers(letter)
    assert again == [("h", b"1"), ("h", None), ("streams-redriven", b"1")]
    letter = letter_of(record(item(8, headers=again)))
    assert letter is not None
    assert letter.redrives == 1
    assert redrive_headers(letter) == [("h", b"1"), ("h", None), ("streams-redriven", b"2")]


def test_a_count_that_is_none_counts_as_none() -> None:
    letter = letter_of(record(item(8, headers=[("streams-redriven", b"often")])))
    assert letter is not None
    assert redrive_headers(letter) == [("streams-redriven", b"1")]


def test_a_choice_holds_what_fits_everything_that_is_said() -> None:
    letter = letter_of(record(item(7), partition=1, offset=5))
    assert letter is not None
    fits = {
        "codes": frozenset({"refused", "x"}),
        "tasks": frozenset({"mood"}),
        "places": frozenset({(1, 5)}),
        "since_ms": letter.failed_at_ms,
    }
    assert Choice().holds(letter)
    assert Choice(**fits).holds(letter)
    for wrong in (
        {"codes": frozenset({"x"})},
        {"tasks": frozenset({"x"})},
        {"places": frozenset({(5, 1)})},
        {"since_ms": letter.failed_at_ms + 1},
    ):
        assert not Choice(**{**fits, **wrong}).holds(letter)
