"""What `publish` makes of Parquet files: every row is published or rejected, whatever its cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streams.errors import UsageError
from streams.jobs.files.formats import Source
from tests.cli.test_publish_formats import LONGEST, together

pyarrow: Any = pytest.importorskip("pyarrow")
parquet: Any = pytest.importorskip("pyarrow.parquet")

NO_UTF8 = 'its column "x" has a text that is not UTF-8!'
BYTES = "cannot be written as JSON: a column holds bytes!"
OUTSIDE = 'its column "x" has a time outside the years 1 to 9999'


def read(path: Path) -> tuple[list[tuple[int, Any]], list[tuple[int, str]]]:
    source = Source(path, None)
    good, bad = together(source.records(LONGEST))
    source.close()
    return [(line, json.loads(value)) for line, value in good], bad


def texts(*values: bytes) -> Any:
    """A column of strings with these bytes, UTF-8 or not."""
    offsets = [sum(map(len, values[:n])) for n in range(len(values) + 1)]
    buffers = [None, pyarrow.array(offsets, pyarrow.int32()).buffers()[1]]
    buffers.append(pyarrow.py_buffer(b"".join(values)))
    return pyarrow.Array.from_buffers(pyarrow.string(), len(values), buffers)


def column(kind: Any, *values: Any) -> Any:
    return pyarrow.array(values, kind)


def twice(*values: int) -> Any:
    cells = pyarrow.array(values)
    return pyarrow.StructArray.from_arrays([cells, cells], names=["a", "a"])


def _offsets(cells: Any) -> Any:
    return pyarrow.array(range(len(cells) + 1), pyarrow.int32())


def listed(cells: Any) -> Any:
    """Each in a list of its own."""
    return pyarrow.ListArray.from_arrays(_offsets(cells), cells)


def mapped(keys: Any, cells: Any) -> Any:
    return pyarrow.MapArray.from_arrays(_offsets(cells), keys, cells)


NS = pyarrow.timestamp("ns")
CELLS = [
    # a column; its values as they are published, or why not
    (column(NS, 1, 1000, 0, None), ["1970-01-01T00:00:00.000000001", "1970-01-01T00:00:00.000001",
                                    "1970-01-01T00:00:00", None]),
    (column(NS, -1), ["1969-12-31T23:59:59.999999999"]),
    (column(pyarrow.timestamp("ns", "Asia/Kolkata"), 1), ["1970-01-01T05:30:00.000000001+05:30"]),
    (column(pyarrow.timestamp("us", "Mars/Phobos"), 1), ["1970-01-01T00:00:00.000001+00:00"]),
    (column(pyarrow.timestamp("us"), 0, 10**18, -(10**18)), ["1970-01-01T00:00:00", ..., ...]),
    (column(pyarrow.timestamp("ms", "UTC"), 0, 10**15), ["1970-01-01T00:00:00+00:00", ...]),
    (column(pyarrow.date32(), 0, 2**30), ["1970-01-01", ...]),
    (column(pyarrow.time64("ns"), 1, 1000), ["00:00:00.000000001", "00:00:00.000001"]),
    (column(pyarrow.time64("us"), 1), ["00:00:00.000001"]),
    (column(pyarrow.duration("ns"), 1, -1_500_000_000), ["PT0.000000001S", "-PT1.5S"]),
    (column(pyarrow.duration("s"), 90), ["PT90S"]),
    (column(pyarrow.list_(NS), [1, None], None), [["1970-01-01T00:00:00.000000001", None], None]),
    (column(pyarrow.map_(pyarrow.string(), NS), [("k", 0)]), [[["k", "1970-01-01T00:00:00"]]]),
    (column(pyarrow.struct([("t", NS)]), {"t": 0}, None), [{"t": "1970-01-01T00:00:00"}, None]),
    (column(pyarrow.float16(), 1.5, float("nan")), [1.5, None]),
    (texts(b"a", b"\xff", b"b"), ["a", NO_UTF8, "b"]),
    (texts(b"a", b"\xff").dictionary_encode(), ["a", NO_UTF8]),
    (listed(texts(b"a", b"\xff")), [["a"], NO_UTF8]),
    (mapped(texts(b"\xff", b"k"), texts(b"a", b"b")), [NO_UTF8, [["k", "b"]]]),
    (mapped(texts(b"k", b"k"), texts(b"a", b"\xff")), [[["k", "a"]], NO_UTF8]),
    (twice(1), ['its column "x" has two fields of one name!']),
    (listed(twice(1)), ['its column "x" has two fields of one name!']),
    (column(pyarrow.binary(), b"a", None), [BYTES, None]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "values"), CELLS, ids=lambda each: str(getattr(each, "type", ""))
)
def test_a_cell_is_published_without_a_loss_or_rejects_its_row_alone(
    cells: Any, values: list[Any], tmp_path: Path
) -> None:
    """`...`: outside the years of ISO 8601. A reason ends with "!"."""
    parquet.write_table(pyarrow.table({"x": cells}), tmp_path / "x.parquet")
    good, bad = read(tmp_path / "x.parquet")
    reasons = {
        number: OUTSIDE if value is ... else value[:-1]
        for number, value in enumerate(values, 1)
        if value is ... or (isinstance(value, str) and value.endswith("!"))
    }
    assert dict(bad) == reasons
    assert good == [(n, {"x": value}) for n, value in enumerate(values, 1) if n not in reasons]


def test_a_column_that_is_there_twice_rejects_the_rows(tmp_path: Path) -> None:
    """The second would replace the first."""
    cells = pyarrow.array([1, 2])
    table = pyarrow.Table.from_arrays([cells, cells, cells], names=["b", "a", "a"])
    parquet.write_table(table, tmp_path / "x.parquet")
    reason = 'two columns are named "a"'
    assert read(tmp_path / "x.parquet") == ([], [(1, reason), (2, reason)])


@pytest.mark.parametrize("damage", ["checksum", "snappy"])
def test_damage_costs_the_rows_behind_it_in_its_row_group(damage: str, tmp_path: Path) -> None:
    """Every other row is sent, and each of these has its reject."""
    path = tmp_path / "x.parquet"
    checksum = damage == "checksum"
    table = pyarrow.table({"id": range(5000), "s": [f"text {n} " * 5 for n in range(5000)]})
    parquet.write_table(
        table, path, row_group_size=2500, data_page_size=4096, use_dictionary=False,
        write_page_checksum=checksum, compression="none" if checksum else "snappy",
    )  # fmt: skip
    chunk = parquet.ParquetFile(path).metadata.row_group(0).column(1)
    middle = chunk.data_page_offset + chunk.total_compressed_size // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 40] = bytes(0x5A ^ byte for byte in data[middle : middle + 40])
    path.write_bytes(data)
    good, bad = read(path)
    first = bad[0][0]
    assert [number for number, _ in bad] == list(range(first, 2501))
    assert 1000 < first < 2000
    assert first % 1000 != 1  # not only whole batches
    assert {reason.partition(":")[0] for _, reason in bad} == {
        "row group 1 is damaged from here on"
    }
    expected = [*range(1, first), *range(2501, 5001)]
    assert [(number, row["id"]) for number, row in good] == [(n, n - 1) for n in expected]


def test_parquet_rows_become_objects(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    table = pyarrow.table(
        {"id": [1, 2, 3], "score": [0.5, None, float("nan")], "raw": [None, b"\xff", None]}
    )
    parquet.write_table(table, path)
    source = Source(path, None)
    good, bad = together(source.records(LONGEST))
    source.close()
    assert [(line, json.loads(value)) for line, value in good] == [
        (1, {"id": 1, "score": 0.5, "raw": None}),
        (3, {"id": 3, "score": None, "raw": None}),
    ]
    assert bad == [(2, "cannot be written as JSON: a column holds bytes")]


def test_another_file_is_no_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    path.write_text("not parquet")
    source = Source(path, None)
    with pytest.raises(UsageError, match="not a Parquet file"):
        list(source.records(LONGEST))
    source.close()
