"""Dead letters on a screen and as JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.jobs.dead.letter_views import facts_line, heading, row, whole_line, whole_text
from streams.jobs.dead.letters import DeadLetter, letter_of

from .letters import Item, item, record


def letter(of: Item, **fields: Any) -> DeadLetter:
    made = letter_of(record(of, partition=3, offset=17, **fields))
    assert made is not None
    return made


def test_a_row_stands_under_its_heading_and_holds_no_key_or_value() -> None:
    line = row(letter(item(7, key=b"secret-key", value=b'{"text": "secret"}')))
    for name, text in (
        ("letter", "3/17"),
        ("failed at", "2026-09-21T14:13:21.000Z"),
        ("code", "refused"),
        ("task", "mood"),
        ("tries", "3"),
        ("source", "reviews/0/7"),
        ("message", "the model declined to answer\n"),
    ):
        assert line[heading().index(name) :].startswith(text)
    assert "secret" not in line


def test_a_line_of_json_has_every_fact_and_no_key_or_value() -> None:
    line = facts_line(letter(item(7, key=b"secret-key", value=b'{"text": "secret"}')))
    assert orjson.loads(line) == {
        "partition": 3,
        "offset": 17,
        "code": "refused",
        "message": "the model declined to answer",
        "task": "mood",
        "source": {
            "topic": "reviews",
            "partition": 0,
            "offset": 7,
            "timestamp_ms": 1_790_000_000_000,
        },
        "attempts": 3,
        "batch_id": "mood-1",
        "failed_at_ms": 1_790_000_001_000,
        "redriven": 0,
        "omitted": {},
    }


def test_no_letter_plays_with_the_terminal() -> None:
    made = letter(
        item(7, key=b"\x1b[2J", value=b"\x1b]0;x\x07"), code="\x1b[31m", message="a\nb\x9b"
    )
    for text in (row(made), whole_text(made)):
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert row(made).count("\n") == 1


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (b'{"a":[1,"x"]}', ["{", '  "a": [', "    1,", '    "x"', "  ]", "}"]),
        (b"two\nlines", ["two", "lines"]),
        (b"\xff\x00", ["/wA= (base64)"]),
        (b"", [""]),
    ],
)
def test_a_value_is_shown_as_json_else_text_else_base64(value: bytes, lines: list[str]) -> None:
    assert whole_text(letter(item(7, value=value))).split("value\n", 1)[1].split("\n") == [
        *lines,
        "",
    ]


def test_a_tombstone_is_shown_as_one() -> None:
    made = letter(item(7))._replace(value=None, key=None)
    assert whole_text(made).endswith("key        (none)\nvalue\n(null)\n")


def test_a_value_that_was_left_out_is_explained() -> None:
    text = whole_text(letter(item(7, value=b"x" * 5000), limit_bytes=2000))
    assert "left out   the value (5000 bytes): the dead letter was too large for its topic" in text
    assert "it may still stand at reviews/0/7" in text
    assert "\nvalue\n" not in text


def test_a_letter_that_failed_again_says_how_often_it_was_sent() -> None:
    text = whole_text(letter(item(7, headers=[("streams-redriven", b"2")])))
    assert "redriven   2 times before it failed again\n" in text
    assert "header     streams-redriven: 2\n" in text


def test_the_whole_as_json_has_what_tail_shows_too() -> None:
    line = whole_line(letter(item(7, key=b"\xfe", value=b'{"n": 1.10}')))
    found = orjson.loads(line)
    assert found["key"] == {"base64": "/g=="}
    assert found["headers"] == {"h": ["1", None]}
    assert b'"value":{"n": 1.10}' in line
