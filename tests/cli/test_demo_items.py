"""`demo --input`: what is read of a file is what `publish` sends; nothing is lost silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.demo.items import LARGEST_BYTES, DemoItem, Input, docstring_items, items_of
from streams.errors import StreamsError, UsageError

ROWS = [{"id": "7", "review": "I love it"}, {"id": "8", "review": "Bröken, sadly"}]


def written(path: Path) -> Path:
    """The rows in the format that the name says."""
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in ROWS))
    else:
        between = "\t" if path.suffix == ".tsv" else ","
        lines = [ROWS[0].keys(), *(row.values() for row in ROWS)]
        quote = '"' if between == "," else ""
        path.write_text(
            "".join(between.join(f"{quote}{cell}{quote}" for cell in line) + "\n" for line in lines)
        )
    return path


def read(source: Input, limit: int = 500) -> tuple[list[DemoItem], list[str]]:
    """The items, and what was told."""
    told: list[str] = []
    return items_of(source, limit, told.append), told


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_records_that_publish_sends(suffix: str, tmp_path: Path) -> None:
    """The header of a CSV became an item, and its rows were texts with commas."""
    items, told = read(Input(written(tmp_path / f"reviews{suffix}"), text="/review"))
    assert [orjson.loads(item.value) for item in items] == ROWS
    assert [item.text for item in items] == ["I love it", "Bröken, sadly"]
    assert [item.name for item in items] == ["7", "8"]
    assert told == []


def test_a_line_of_text_is_an_item_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one\n\nthree\n")
    items, _ = read(Input(path))
    assert items == [
        DemoItem(b'{"text":"one"}', "one", "line 1"),
        DemoItem(b'{"text":"three"}', "three", "line 3"),
    ]


def test_a_template_makes_one_text_of_several_fields(tmp_path: Path) -> None:
    source = Input(written(tmp_path / "reviews.csv"), text="{/id}: {/review}")
    assert read(source)[0][0].text == "7: I love it"


def lines(tmp_path: Path, *documents: Any) -> Path:
    path = tmp_path / "items.jsonl"
    path.write_bytes(
        b"".join((d if isinstance(d, bytes) else orjson.dumps(d)) + b"\n" for d in documents)
    )
    return path


def test_bad_lines_are_told_with_number_and_reason_and_counted(tmp_path: Path) -> None:
    path = lines(tmp_path, {"text": "a"}, b"no JSON", {"text": "x" * LARGEST_BYTES}, {"text": "b"})
    items, told = read(Input(path))
    assert [item.text for item in items] == ["a", "b"]
    assert told[0].startswith("line 2: ")
    assert told[1].startswith("line 3: too large")
    assert told[2] == "lines rejected: 2"


def test_of_many_bad_lines_the_first_five_are_told(tmp_path: Path) -> None:
    _, told = read(Input(lines(tmp_path, {"text": "a"}, *[b"{"] * 8)))
    assert len(told) == 7
    assert told[5] == "more lines are rejected; streams publish --rejects FILE keeps them all"
    assert told[6] == "lines rejected: 8"


def test_what_is_beyond_the_number_of_items_is_told(tmp_path: Path) -> None:
    path = lines(tmp_path, *[{"text": "a"}] * 3, b"behind")
    items, told = read(Input(path), limit=2)
    assert len(items) == 2
    assert told == [f"the first 2 records of {path}; --items N for more"]
    assert read(Input(path), limit=3)[1][-1] == "lines rejected: 1"


def test_a_record_without_a_text_is_published_and_told(tmp_path: Path) -> None:
    items, told = read(Input(lines(tmp_path, {"text": "a"}, {"no": "text"})))
    assert [item.text for item in items] == ["a", None]
    assert told == ["records without a text at /text, which become dead letters: 1"]


def test_where_no_record_has_a_text_the_field_that_may_be_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the fields are id, review, perhaps --text '/review'"):
        read(Input(written(tmp_path / "reviews.csv")))


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        ("", UsageError, "holds no records"),
        ("\n\n", UsageError, "holds no records"),
        ("[1]\n", StreamsError, "not one line is a valid record"),
    ],
)
def test_a_file_without_a_record_is_an_error(
    content: str, error: type[Exception], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(content)
    with pytest.raises(error, match=reason):
        read(Input(path))


def test_without_a_file_the_items_are_docstrings() -> None:
    items = docstring_items(3)
    assert [item.text for item in items] == [orjson.loads(item.value)["text"] for item in items]
