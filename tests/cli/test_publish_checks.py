"""What a record must pass to be published, and what becomes of those that do not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from streams.errors import UsageError
from streams.jobs.files.columns import Table
from streams.jobs.files.lines import json_lines
from streams.jobs.files.parquet import parquet_rows
from streams.jobs.files.rejects import Rejects
from streams.jobs.files.rows import Records
from streams.jobs.publish.checks import (
    RECORD_OVERHEAD_BYTES,
    Chunk,
    checked,
    key_of,
    schema_faults,
)
from tests.cli.test_publish_formats import LONGEST, cut


def passed(document: dict[str, Any], **how: Any) -> Chunk:
    value = json.dumps(document).encode()
    records = Records([1], [value], [document], [], 0)
    (chunk,) = checked([records], **{"largest": LONGEST, "key": None, "faults": None, **how})
    return chunk


@pytest.mark.parametrize(
    ("field", "document", "key"),
    [
        ("id", {"id": "a"}, b"a"),
        ("id", {"id": 7}, b"7"),
        ("id", {"id": {"x": [1]}}, b'{"x":[1]}'),
        ("id", {"id": ""}, b""),
        ("/a/b", {"a": {"b": "c"}}, b"c"),
        ("a/b", {"a/b": "c"}, b"c"),
    ],
)
def test_the_key_is_a_field(field: str, document: dict[str, Any], key: bytes) -> None:
    assert passed(document, key=key_of(field)).keys == [key]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, 'has no field "id" for its key'),
        ({"id": None}, 'its field "id", the key, is null'),
        ({"id": "\ud800"}, 'its field "id", the key, has no bytes in UTF-8'),
    ],
)
def test_a_record_without_its_key_is_rejected(document: dict[str, Any], reason: str) -> None:
    chunk = passed(document, key=key_of("id"))
    assert (chunk.values, [reject.reason for reject in chunk.rejects]) == ([], [reason])


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("1.10", b"1.10"),
        ("0.1000000000000000000001", b"0.1000000000000000000001"),
        ("1e400", b"1e400"),
        ("1E2", b"1E2"),
        ("0", b"0"),
        ("-0", b"-0"),
        ("-0.0", b"-0.0"),
        ("12345678901234567890123", b"12345678901234567890123"),
        ("-18446744073709551617", b"-18446744073709551617"),
        ("true", b"true"),
        ("[ 1.10 ]", b"[1.10]"),
        ('{"x": 1e400, "\\u0079": "\\u00e9"}', '{"x":1e400,"y":"é"}'.encode()),
    ],
)
def test_the_key_of_a_number_is_its_own_digits(value: str, key: bytes) -> None:
    """Whatever Python would make of it; also inside of what is not a number."""
    line = b'{"a": {"id": [%s]}, "id": 1, "id": %s}' % (value.encode(), value.encode())
    (records,) = json_lines(iter([line]), LONGEST)
    for field in ("id", "/id", "/a/id/0"):
        (chunk,) = checked([records], largest=LONGEST, key=key_of(field), faults=None)
        assert (chunk.keys, chunk.rejects) == ([key], [])


def test_the_key_of_a_parquet_row_is_what_is_published(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    decimals = pyarrow.array(["1.10"]).cast(pyarrow.decimal128(10, 2))
    numbers = pyarrow.array([2**64 - 1], pyarrow.uint64())
    table = pyarrow.table({"d": decimals, "n": numbers, "f": [0.1], "none": [float("nan")]})
    parquet.write_table(table, tmp_path / "x.parquet")
    (records,) = parquet_rows(tmp_path / "x.parquet")
    for field, key in (("d", b"1.10"), ("n", b"18446744073709551615"), ("f", b"0.1")):
        (chunk,) = checked([records], largest=LONGEST, key=key_of(field), faults=None)
        assert chunk.keys == [key]
    (chunk,) = checked([records], largest=LONGEST, key=key_of("none"), faults=None)
    assert chunk.rejects[0].reason == 'its field "none", the key, is null'


def test_a_record_fits_to_the_byte_or_is_rejected() -> None:
    value = b'{"a":"' + b"x" * 100 + b'"}'
    records = Records([9], [value], [{}], [], 0)
    room = len(value) + RECORD_OVERHEAD_BYTES
    for largest, count in ((room, 1), (room - 1, 0)):
        (chunk,) = checked([records], largest=largest, key=None, faults=None)
        assert len(chunk.values) == count
    assert (
        chunk.rejects[0].reason
        == f"too large: {len(value)} bytes, and the limit is {len(value) - 1}"
    )


def test_a_schema_rejects_what_breaks_it_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"required": ["a"], "properties": {"a": {"type": "string"}}}')
    faults = schema_faults(path)
    assert passed({"a": "x"}, faults=faults).rejects == []
    for document, reason in (
        ({"a": 12345}, 'breaks the schema: /a against "type":"string"'),
        ({}, 'breaks the schema: the record against "required":["a"]'),
    ):
        (reject,) = passed(document, faults=faults).rejects
        assert reject.reason == reason


@pytest.mark.parametrize("text", ["{", '{"type": 3}', '"x"'])
def test_a_schema_that_is_none_is_a_usage_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"^--schema "):
        schema_faults(path)


def test_a_schema_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"$ref": "http://127.0.0.1:1/x.json"}')
    with pytest.raises(UsageError, match=r"^--schema "):
        schema_faults(path)({})


def test_rejects_are_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rejects = Rejects(path, tell=pytest.fail)
    for stretch in json_lines(iter([b'x\n\xff\n{"a":1}\n' + b"y" * 2000]), 1500):
        rejects.add(stretch.rejects)
    rejects.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["line"], line.get("text"), line.get("base64")) for line in lines[:2]] == [
        (1, "x", None),
        (2, None, "/w=="),
    ]
    assert (lines[2]["bytes"], len(lines[2]["text"])) == (2000, 1000)


def test_a_reject_of_several_lines_names_the_last_one_too(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "rejects.jsonl"
    for rejects in (Rejects(path, told.append), Rejects(None, told.append)):
        for stretch in Table(iter([b'a,b\n1,2\n"x\ny"\n']), LONGEST, ",", None).records():
            rejects.add(stretch.rejects)
        rejects.close()
    reason = "1 values for 2 columns"
    entry = {"line": 3, "reason": reason, "last_line": 4, "text": '"x\ny"'}
    assert json.loads(path.read_text()) == entry
    assert told == [f"lines 3 to 4: {reason}"]


def test_without_a_file_the_first_few_rejects_are_told_without_their_text(seed: int) -> None:
    told: list[str] = []
    rejects = Rejects(None, told.append)
    data = b"".join(b"secret %d\n" % random.Random(seed).randrange(9) for _ in range(20))
    for stretch in json_lines(cut(data, 40), LONGEST):
        rejects.add(stretch.rejects)
    assert rejects.count == 20
    assert [line.partition(":")[0] for line in told[:5]] == [f"line {n}" for n in range(1, 6)]
    assert told[5:] == ["more lines are rejected; --rejects FILE keeps them all"]
    assert "secret" not in "".join(told)
