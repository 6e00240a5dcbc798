"""What `publish` makes of files: which records, which rejects, with which line numbers."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import UsageError
from streams.jobs.files.columns import Table
from streams.jobs.files.formats import Source, columns_of
from streams.jobs.files.lines import json_lines, text_lines
from streams.jobs.files.rows import Records, lines_of

LONGEST = 1_048_588


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def together(stretches: Iterator[Records]) -> tuple[list[tuple[int, bytes]], list[tuple[int, str]]]:
    """`(line, value)` of what is valid and `(line, reason)` of what is not, in the file's order."""
    good: list[tuple[int, bytes]] = []
    bad: list[tuple[int, str]] = []
    for stretch in stretches:
        good += zip(stretch.lines, stretch.values, strict=True)
        bad += [(reject.line, reject.reason) for reject in stretch.rejects]
    return good, bad


def rows(data: bytes, *, columns: list[str] | None = None, delimiter: str = ",") -> Any:
    good, bad = together(Table(iter([data]), LONGEST, delimiter, columns).records())
    return [(line, json.loads(value)) for line, value in good], bad


HOSTILE = [
    (b'\xef\xbb\xbf{"a":1}', "the value starts with a byte order mark, which JSON does not allow"),
    (b'{"a":1}', None),
    (b"", None),
    (b'{"a": NaN}', "the value is not JSON: it holds NaN"),
    (b'{"a": -Infinity}', "the value is not JSON: it holds -Infinity"),
    (b"[1,2]", "the value is JSON, but an array instead of an object"),
    (b'"text"', "the value is JSON, but a string instead of an object"),
    (b"null", "the value is JSON, but null instead of an object"),
    (b"17", "the value is JSON, but a number instead of an object"),
    (b'{"a":"cut', "the value is not JSON: Unterminated string starting at at character 5"),
    (b'{"a":1', "the value is not JSON: Expecting ',' delimiter at character 6"),
    (b'{"a":1}{"b":2}', "the value is not JSON: Extra data at character 7"),
    (b'\xff\xfe{"a":1}', "the value is not UTF-8 at byte 0"),
    (b'{"a":"\xed\xa0\x80"}', "the value is not UTF-8 at byte 6"),
    (b'{"a":"\x00"}', "the value is not JSON: Invalid control character at at character 6"),
    (b"\x00" * 50, "the value is not JSON: Expecting value at character 0"),
    (b"[" * 5000, "the value is nested too deep"),
    (b'{"big":123456789012345678901234,"x":1.10,"x":2}', None),
    (b'{"half":"\\ud800"}', None),
    (b" \t ", None),
    (b'{"crlf":1}\r', None),
    (b'{"no end":1}', None),
]


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_hostile_lines_are_rejected_by_number_and_stop_nothing(size: int) -> None:
    """Whatever the blocks are cut into."""
    data = b"\n".join(line for line, _ in HOSTILE)
    good, bad = together(json_lines(cut(data, size), LONGEST))
    expected = [(n, reason) for n, (_, reason) in enumerate(HOSTILE, 1) if reason is not None]
    assert bad == expected
    assert good == [
        (n, line.rstrip(b"\r"))
        for n, (line, reason) in enumerate(HOSTILE, 1)
        if reason is None and line.strip()
    ]


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b)), st.integers(1, 50))
def test_lines_come_out_as_they_went_in(lines: list[bytes], size: int) -> None:
    """Numbers from 1 without a gap, bytes untouched."""
    data = b"".join(line + b"\n" for line in lines)
    out = [
        (number, line)
        for stretch in lines_of(cut(data, size), LONGEST)
        for number, line in enumerate(stretch.lines, stretch.first)
    ]
    assert out == list(enumerate(lines, 1))


@given(st.binary(max_size=300), st.integers(1, 40), st.integers(5, 60))
def test_no_bytes_break_a_reader(data: bytes, size: int, longest: int) -> None:
    """Every line is a record, a reject or blank, for every format of lines."""
    for reader in (json_lines, text_lines):
        good, bad = together(reader(cut(data, size), longest))
        numbers = [n for n, _ in good] + [n for n, _ in bad]
        assert len(set(numbers)) == len(numbers)
        assert all(1 <= n <= data.count(b"\n") + 1 for n in numbers)
    for delimiter in ",\t":
        records = Table(cut(data, size), longest, delimiter, ["a", "b"]).records()
        good, _ = together(records)
        assert all(set(json.loads(value)) == {"a", "b"} for _, value in good)


def test_a_line_too_long_for_any_record_is_counted_and_not_kept() -> None:
    """100 MB without a line end take neither memory nor the lines around them."""

    def blocks() -> Iterator[bytes]:
        yield b'{"a":1}\n'
        for _ in range(100):
            yield b"x" * 1_000_000
        yield b'\n{"a":2}\n'

    tracemalloc.start()
    good, bad = together(json_lines(blocks(), LONGEST))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert good == [(1, b'{"a":1}'), (3, b'{"a":2}')]
    assert bad == [(2, "too large: 100000000 bytes, and the limit is 1048588")]
    assert peak < 10_000_000


def test_text_becomes_objects_line_by_line() -> None:
    data = '\ufeffGrüße\r\n\n "quoted" \\ \t\x07\n'.encode() + b"\xff\n last"
    good, bad = together(text_lines(iter([data]), LONGEST))
    assert [(line, json.loads(value)) for line, value in good] == [
        (1, {"text": "Grüße"}),
        (3, {"text": ' "quoted" \\ \t\x07'}),
        (5, {"text": " last"}),
    ]
    assert bad == [(4, "not UTF-8 at byte 0")]


def test_csv_values_are_strings_and_lines_are_those_of_the_file() -> None:
    good, bad = rows(b'\xef\xbb\xbfid,text\r\n1,"two\r\nlines, ""quoted"""\r\n\r\n2,\r\n')
    assert good == [
        (2, {"id": "1", "text": 'two\r\nlines, "quoted"'}),
        (5, {"id": "2", "text": ""}),
    ]
    assert bad == []


def test_csv_rejects_wrong_counts_and_wrong_bytes() -> None:
    good, bad = rows(b"a,b\n1\n1,2,3\n\xff,2\n1,2\n")
    assert good == [(5, {"a": "1", "b": "2"})]
    assert bad == [(2, "1 values for 2 columns"), (3, "3 values for 2 columns"), (4, "not UTF-8")]


def spans(data: bytes, longest: int = LONGEST) -> tuple[list[Any], list[tuple[int, int, str]]]:
    """What is published, and the rejects with their first and last line."""
    good: list[Any] = []
    bad: list[tuple[int, int, str]] = []
    for stretch in Table(iter([data]), longest, ",", None).records():
        good += [json.loads(value) for value in stretch.values]
        bad += [(each.line, each.last_line, each.reason) for each in stretch.rejects]
    return good, bad


@pytest.mark.parametrize(("before", "after"), [(600, 600), (2600, 2), (2, 2600)])
def test_what_stands_inside_quotes_never_becomes_a_row_however_large(
    before: int, after: int
) -> None:
    """One reject with the lines that it has; wherever the limit is passed."""
    row = b'bob,"%b\nmallory,admin\n%b"' % (b"x" * before, b"y" * after)
    good, bad = spans(b"user,role\n" + row + b"\nann,dev\n", 1000)
    assert good == [{"user": "ann", "role": "dev"}]
    assert bad == [(2, 4, f"too large: {len(row)} bytes, and the limit is 1000")]


def test_a_quote_never_closed_is_one_reject_to_the_end_of_the_file() -> None:
    """Nobody can tell which of the lines behind it are rows."""
    good, bad = spans(b'a,b\n1,2\n3,"open\n5,6\n7,8\n')
    assert (good, bad) == ([{"a": "1", "b": "2"}], [(3, 5, "a quote is opened and never closed")])
    good, bad = spans(b'a,b\n1,2\n3,"open\n' + b"5,6\n" * 500, 1000)
    assert good == [{"a": "1", "b": "2"}]
    assert bad == [(3, 503, "a quote is opened and never closed")]


def test_a_quote_opened_in_the_last_row_costs_that_row() -> None:
    assert spans(b'a,b\n1,2\n3,"')[1] == [(3, 3, "a quote is opened and never closed")]


def test_a_row_that_breaks_inside_quotes_takes_its_lines_with_it() -> None:
    good, bad = spans(b'a,b\n"x\nmallory,admin\n"y,1\n3,4\n')
    assert good == [{"a": "3", "b": "4"}]
    reason = "text follows a closing quote; a quote inside a value is written twice"
    assert bad == [(2, 4, reason)]


def test_a_row_as_large_as_the_limit_is_read() -> None:
    for end in (b"", b"\n", b"\r\n", b"\r"):
        data = b'a,b\n1,"' + b"x" * 90 + b'\n2,3"' + end
        limit = len(data) - 4 - len(end)
        assert [len(spans(data, size)[0]) for size in (limit, limit - 1)] == [1, 0]


@pytest.mark.parametrize(
    "header", [b'a,"b\n1,2\n', b'a,"b"c\n1,2\n', b"a," + b"b" * 2000 + b"\n1,2\n"]
)
def test_a_first_row_that_cannot_be_read_names_no_columns(header: bytes) -> None:
    """The row behind it would name them."""
    with pytest.raises(UsageError, match=r"^line 1: .*; name the columns with --columns"):
        spans(header, 1000)


def as_the_csv_module(text: str, longest: int, delimiter: str) -> tuple[list[Any], list[Any]]:
    """Rows with their first line, and first and last lines of rejects, of a whole text."""
    text = text.removeprefix("\ufeff")
    csv.field_size_limit(LONGEST)
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    good: list[Any] = []
    bad: list[Any] = []
    while True:
        first, cells = reader.line_num + 1, None
        with contextlib.suppress(csv.Error):
            cells = next(reader, [])
        if reader.line_num < first:
            return good, bad
        raw = "".join(lines[first - 1 : reader.line_num]).encode()
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if cells is None or len(raw) > longest or len(cells) not in {0, 2}:
            bad.append((first, reader.line_num))
        elif cells:
            good.append((first, dict(zip("ab", cells, strict=True))))


PIECES = ["a", "b", '"', '"', '""', "|", "|", "\n", "\n", "\r\n", "\r", "\0", "\ufeff", "é", " "]


@given(
    st.lists(st.sampled_from([*PIECES, "x" * 15, 'a|"1\n2"\n', '"a"|"b']), max_size=40),
    st.sampled_from([5, 12, 40, LONGEST]),
    st.sampled_from([1, 2, 7, 1000]),
    st.sampled_from(",\t"),
)
def test_published_and_rejected_rows_are_those_of_the_csv_module(
    pieces: list[str], longest: int, size: int, delimiter: str
) -> None:
    """Whatever the blocks are cut into, and whatever is too large to be read at once."""
    text = "".join(pieces).replace("|", delimiter)
    good: list[Any] = []
    bad: list[Any] = []
    for stretch in Table(cut(text.encode(), size), longest, delimiter, ["a", "b"]).records():
        good += zip(stretch.lines, map(json.loads, stretch.values), strict=True)
        bad += [(each.line, each.last_line) for each in stretch.rejects]
    assert (good, bad) == as_the_csv_module(text, longest, delimiter)


def test_text_after_a_quote_is_rejected() -> None:
    good, bad = rows(b'a,b\n"x"y,1\n3,4\n')
    assert good == [(3, {"a": "3", "b": "4"})]
    assert bad == [(2, "text follows a closing quote; a quote inside a value is written twice")]


def test_columns_name_a_file_without_a_header() -> None:
    good, _ = rows(b"1\t2\n", columns=columns_of("a, b"), delimiter="\t")
    assert good == [(1, {"a": "1", "b": "2"})]


@pytest.mark.parametrize(
    ("header", "what"), [(b"a,,c\n", "a column has no name"), (b"a,a\n", '"a" names two columns')]
)
def test_a_header_without_distinct_names_is_a_usage_error(header: bytes, what: str) -> None:
    with pytest.raises(UsageError, match=f"line 1: {what}; name the columns with --columns"):
        rows(header + b"1,2,3\n")


@pytest.mark.parametrize("names", ["", "a,", "a,b,a"])
def test_columns_are_distinct_names(names: str) -> None:
    with pytest.raises(UsageError, match=r"^--columns must be distinct names"):
        columns_of(names)


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.jsonl", "jsonl"), ("a.NDJSON", "jsonl"), ("a.csv", "csv"), ("a.tsv", "tsv")],
)
def test_the_name_tells_the_format(name: str, format: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    source = Source(tmp_path / name, None)
    assert source.format == format
    source.close()


def test_another_name_asks_for_the_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say --format"):
        Source(tmp_path / "a.dat", None)
