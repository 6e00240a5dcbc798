"""What `map` decides without a file or a call: the order, the journal, the columns, the layouts."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import UsageError
from streams.jobs.map_file.answer_fields import Fields
from streams.jobs.map_file.journal_file import JournalFile
from streams.jobs.map_file.map_job import MapJob
from streams.jobs.map_file.map_journal import (
    Earlier,
    Paid,
    hash_of,
    head_line,
    paid_line,
    parsed,
    survey,
)
from streams.jobs.map_file.mapping import options_of
from streams.jobs.map_file.row_layouts import CsvLayout, JsonLayout, cells_of
from streams.jobs.map_file.row_queue import WINDOW_ROWS, Entry, Row, RowQueue
from streams.operations.classify import Classify
from streams.operations.embed import Embed
from streams.operations.extract import Extract
from streams.operations.generate import Generate
from streams.policies.demand import PerMinute
from streams.settings import ProviderSettings, TaskSettings

JOURNAL = Path("out.csv.journal")


# -- the order -------------------------------------------------------------------------------------


def row(line: int = 1, *, problem: str | None = None, size: int = 1) -> Row:
    return Row(line, line, b"", "text", problem, b"", 0, size)


def test_rows_leave_in_their_order_however_answers_come() -> None:
    queue = RowQueue()
    entries = [queue.add(row(n, problem="no" if n == 3 else None)) for n in range(5)]
    left: list[int] = []

    def leave(entry: Entry) -> None:
        left.append(entry.index)

    queue.settle(entries[1], b"{}", None)
    queue.settle(entries[2], b"{}", None)
    assert (queue.take(leave), left) == (0, [])
    queue.settle(entries[0], None, "refused")
    assert (queue.take(leave), left) == (4, [0, 1, 2, 3])
    queue.settle(entries[4], b"{}", None)
    assert (queue.take(leave), left) == (1, [0, 1, 2, 3, 4])


def test_rows_that_wait_have_a_limit_in_number_and_in_bytes() -> None:
    """Also by the answers that wait behind a slow one."""
    queue = RowQueue()
    entries = [queue.add(row()) for _ in range(WINDOW_ROWS)]
    assert queue.is_full
    for entry in entries:
        queue.settle(entry, b"{}", None)
    queue.take(lambda entry: None)
    assert not queue.is_full
    queue.add(row(size=70_000_000))
    assert queue.is_full
    queue = RowQueue()
    queue.add(row())
    queue.settle(queue.add(row()), b"x" * 70_000_000, None)
    assert queue.is_full


# -- the journal -----------------------------------------------------------------------------------


def paid(number: int) -> Paid:
    if number % 7 == 3:
        return Paid(number, hash_of(f"{number}"), None, 'refused: "x"\n')
    return Paid(number, hash_of(f"{number}"), b'{"label":"\xc3\xa9}\\n","n":1.10}', None)


def test_a_line_of_the_journal_comes_back_as_it_was() -> None:
    for number in range(10):
        line = paid_line(paid(number))
        assert line.count(b"\n") == 1
        assert json.loads(line)["row"] == number
        assert parsed(line) == paid(number)


@given(st.integers(0, 200), st.binary(max_size=8))
def test_whatever_tears_a_journal_leaves_its_whole_lines(cut: int, noise: bytes) -> None:
    head = head_line({"a": 1}, 8)
    whole = head + b"".join(paid_line(paid(number)) for number in range(4))
    torn = whole[: len(head) + cut] + noise
    found = survey(io.BytesIO(torn), JOURNAL)
    assert found is not None
    assert found.facts == {"a": 1}
    kept = torn[found.start : found.end].splitlines(keepends=True)
    assert len(kept) == found.answers
    assert [parsed(line) for line in kept] == [paid(number) for number in range(len(kept))]
    assert found.answers >= whole[: len(head) + cut].count(b"\n") - 1


@pytest.mark.parametrize("head", [b"", b'{"streams_map":1,"win'])
def test_a_journal_that_did_not_get_its_first_line_is_none(head: bytes) -> None:
    assert survey(io.BytesIO(head), JOURNAL) is None


def test_another_file_and_another_version_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no journal of streams map"):
        survey(io.BytesIO(b"id,text\n1,good\n"), JOURNAL)
    path = tmp_path / "out.csv.journal"
    path.write_bytes(head_line({}, 8).replace(b'"streams_map":1', b'"streams_map":2'))
    journal = JournalFile(path)
    with pytest.raises(UsageError, match="another version"):
        journal.go_on()
    journal.close()


@given(st.data())
def test_reading_along_finds_every_answer_with_a_windows_worth_in_memory(data: Any) -> None:
    """Runs that were killed: each asks about what has no answer, in any order within the window."""
    rows, window = 40, 6
    done: set[int] = set()
    file = io.BytesIO()
    file.write(head_line({}, window))
    for _ in range(data.draw(st.integers(1, 4))):
        frontier, steps = 0, data.draw(st.integers(0, 30))
        for _ in range(steps):
            while frontier in done:
                frontier += 1
            free = [n for n in range(frontier, min(frontier + window, rows)) if n not in done]
            if not free:
                break
            number = data.draw(st.sampled_from(free))
            done.add(number)
            file.write(paid_line(paid(number)))
    file.seek(0)
    found = survey(file, JOURNAL)
    assert found is not None
    earlier = Earlier(file, found)
    for number in range(rows):
        assert earlier.find(number) == (paid(number) if number in done else None)
        assert earlier.waiting <= 2 * window


# -- the new columns -------------------------------------------------------------------------------


def fields(operation: Any, kind: str, prefix: str = "") -> Fields:
    return Fields(operation, kind, "floats", prefix)


def test_each_operation_has_its_columns() -> None:
    assert fields(Classify(["a", "b"]), "classify").names == ["label"]
    assert fields(Embed(), "embed").names == ["embedding"]
    assert Fields(Embed(), "embed", "base64", "").names == ["embedding_b64"]
    assert fields(Generate("x"), "generate", "my_").names == ["my_generated_text"]


def test_an_extraction_has_those_of_all_alternatives_of_its_schema() -> None:
    schema = {
        "type": "object",
        "anyOf": [
            {"properties": {"x": {"type": ["integer", "null"]}}, "required": ["x"]},
            {"properties": {"y": {"enum": ["a", "b", None]}}, "required": ["y"]},
        ],
    }
    found = fields(Extract(schema), "extract")
    assert [(field.name, field.kind) for field in found.each] == [("x", "integer"), ("y", "string")]
    assert found.values(b'{"y":"a"}') == [b"null", b'"a"']


def test_values_keep_their_digits_on_their_way_through_the_journal() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number"}, "s": {"type": "string"}}}
    found = fields(Extract(schema), "extract")
    from streams.codec.strict_json import read

    raw = b'{"n":1.10000000000000000000001,"s":"1"}'
    assert found.answer(read(raw)) == raw
    assert found.values(raw) == [b"1.10000000000000000000001", b'"1"']


def test_a_vector_is_the_same_after_the_journal() -> None:
    from array import array

    vector = array("f", [0.1, -1e-9, 3.0]).tobytes()
    found = fields(Embed(), "embed")
    (numbers,) = found.values(found.answer({"embedding_f32": vector, "dim": 3}))
    assert array("f", json.loads(numbers)).tobytes() == vector


# -- the layouts -----------------------------------------------------------------------------------

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(
    st.lists(CELLS, min_size=1, max_size=4),
    st.lists(CELLS | st.none(), min_size=1, max_size=3),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(",\t"),
    st.sampled_from(["\n", "\r\n", ""]),
)
def test_a_row_of_cells_gets_more_cells_and_keeps_its_bytes(
    cells: list[str], new: list[str | None], quoting: int, delimiter: str, end: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerow(cells)
    source = text.getvalue().removesuffix("\r\n").encode()
    layout = CsvLayout(["a"] * len(new), delimiter, b"x\n", len(cells), bom=False)
    values = [b"null" if cell is None else json.dumps(cell).encode() for cell in new]
    written = layout.row(source + end.encode(), values)
    assert written.startswith(source)
    assert written.endswith(end.encode() or b"\n")
    assert cells_of(written, delimiter) == [*cells, *(cell or "" for cell in new)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [(b"1", b"1,,new\n"), (b"1,2,3,4", b"1,2,new,3,4\n"), (b'"a,b"\r\n', b'"a,b",,new\r\n')],
)
def test_what_a_row_has_too_much_comes_after_the_new_cells(source: bytes, expected: bytes) -> None:
    layout = CsvLayout(["label"], ",", b"x,y\n", 2, bom=False)
    assert layout.uneven_row(source, [b'"new"']) == expected


def test_a_cell_is_a_text_a_number_or_json() -> None:
    layout = CsvLayout(["a", "b", "c", "d"], ",", b"x\n", 1, bom=True)
    assert layout.head == b"\xef\xbb\xbfx,a,b,c,d\n"
    values = [b'"t"', b"1.10", b"true", b'["a","b"]']
    assert layout.row(b"1\n", values) == b'1,t,1.10,true,"[""a"",""b""]"\n'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"{}", b'{"a":1,"\xc3\xa9":null}\n'),
        (b'{"x":"}" }', b'{"x":"}" ,"a":1,"\xc3\xa9":null}\n'),
    ],
)
def test_an_object_gets_more_members(source: bytes, expected: bytes) -> None:
    assert JsonLayout(["a", "é"]).row(source, [b"1", b"null"]) == expected


def test_a_parquet_column_refuses_a_number_that_it_cannot_hold() -> None:
    pytest.importorskip("pyarrow")
    from streams.jobs.map_file.answer_fields import Field
    from streams.jobs.map_file.arrow_layout import arrow_value

    whole = Field("n", "integer", "n")
    assert arrow_value(whole, b"3.0") == 3
    assert arrow_value(whole, b"null") is None
    with pytest.raises(ValueError, match="integers of 64 bits"):
        arrow_value(whole, b"9400111899223100012345")


# -- the limits ------------------------------------------------------------------------------------


def test_a_tasks_limits_hold_for_a_file_too() -> None:
    task = TaskSettings.model_validate(
        {
            "name": "label",
            "source": "in",
            "sink": "out",
            "operation": "classify",
            "labels": ["a", "b"],
            "batch": {"adaptive": False},
            "limits": {"requests_per_minute": 50, "output_tokens_per_minute": 8000},
        }
    )
    provider = ProviderSettings(limit_share=0.5)
    options = options_of(MapJob(task=task, provider=provider, environ={}, path=None))
    assert options.limits is not None
    assert options.limits.per_minute == PerMinute(50, None, 8000)
    assert (options.limits.share, options.adaptive) == (0.5, False)
