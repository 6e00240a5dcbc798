"""`streams map`: the real command and the real SDKs over HTTP, against a simulator."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import streams
from tests.cli.map_runs import LABELS, Api, labelled, mapped, simulated_api

WORDS = set(LABELS.split(","))
SCHEMA = {
    "type": "object",
    "properties": {
        "product": {"type": "string"},
        "stars": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["product", "stars", "tags"],
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with simulated_api(tmp_path) as found:
        yield found


def rejects_of(path: Path) -> list[tuple[int, str]]:
    """Line and reason of each."""
    return [
        (entry["line"], entry["reason"]) for entry in map(json.loads, path.read_text().splitlines())
    ]


def test_every_row_of_a_csv_gets_a_label_and_keeps_its_own_bytes(api: Api, tmp_path: Path) -> None:
    """A byte order mark, CRLF, quotes that need not be, a line end in quotes, blank lines at the
    end, a column without a name, two of one name."""
    rows = [b'"7",plain,,1.10,x', b'8,"two\r\nlines, ""quoted""",,1e400,"y"']
    head = b"\xef\xbb\xbf,review,n,price,n\r\n"
    (tmp_path / "in.csv").write_bytes(head + b"\r\n".join(rows) + b"\r\n" * 3)
    done = labelled(api, "in.csv", "--text", "review", "--out", "out.csv")
    assert (done.code, done.out) == (0, "")
    written = (tmp_path / "out.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbf,review,n,price,n,label\r\n")
    table = list(csv.reader(io.StringIO(written.decode("utf-8-sig"), newline="")))
    labels = [row[-1].encode() for row in table[1:]]
    assert {label.decode() for label in labels} <= WORDS
    expected = [b"%b,%b\r\n" % pair for pair in zip(rows, labels, strict=True)]
    assert written.partition(b"label\r\n")[2] == b"".join(expected)


def test_rows_that_are_not_rows_of_the_table_stay_in_their_place_without_an_answer(
    api: Api, tmp_path: Path
) -> None:
    """What is too much comes after the new columns; a quote that is never closed is no row."""
    (tmp_path / "in.csv").write_bytes(
        b'id,text\n1,good\n2\n3,\n4,good,more\n5,\xff\n6,"a "b" c"\n7,good\n8,"open\n9,x\n'
    )
    done = labelled(api, "in.csv", "--rejects", "bad.jsonl", "--out", "out.csv")
    assert done.code == 0
    table = [line.split(b",") for line in (tmp_path / "out.csv").read_bytes().splitlines()]
    answered = [row for row in table if row[2].decode() in WORDS]
    assert [row[0] for row in answered] == [b"1", b"7"]
    assert [row for row in table if row not in answered] == [
        [b"id", b"text", b"label"],
        [b"2", b"", b""],
        [b"3", b"", b""],
        [b"4", b"good", b"", b"more"],
        [b"5", b"\xff", b""],
    ]
    assert rejects_of(tmp_path / "bad.jsonl") == [
        (3, "invalid_row: 1 values for 2 columns"),
        (4, "no_text: its text is empty"),
        (5, "invalid_row: 3 values for 2 columns"),
        (6, "invalid_row: not UTF-8"),
        (
            7,
            "invalid_row: text follows a closing quote; a quote inside a value is written twice",
        ),
        (9, "invalid_row: a quote is opened and never closed"),
    ]
    assert api.asked == 2


def test_json_lines_keep_every_digit_and_get_the_answer_as_their_last_field(
    api: Api, tmp_path: Path
) -> None:
    lines = [
        b'\xef\xbb\xbf{"text":"one", "n": 12345678901234567890123, "p": 1.10, "p": 1.20 }',
        b"",
        b'{"text":"two","e":1e400}\r',
        b"not json",
        b'["an array"]',
        b'{"other":1}',
        b'{"text":"three","label":"mine"}',
        b"{ }",
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    done = labelled(api, "in.jsonl", "--rejects", "bad.jsonl")
    out = done.out.splitlines()
    label = json.loads(out[0])["label"]
    own = '{"text":"one", "n": 12345678901234567890123, "p": 1.10, "p": 1.20 '
    assert out[0] == f'{own},"label":"{label}"}}'
    assert out[1].startswith('{"text":"two","e":1e400,"label":"')
    assert out[2:] == [
        '{"other":1,"label":null}',
        '{"text":"three","label":"mine"}',
        '{ "label":null}',
    ]
    reasons = rejects_of(tmp_path / "bad.jsonl")
    assert [line for line, _ in reasons] == [4, 5, 6, 7, 8]
    assert reasons[2][1] == "no_text: the row has nothing at /text"
    assert 'has a "label" of its own' in reasons[3][1]
    assert "--prefix" in reasons[3][1]


def test_lines_of_text_become_json_lines(api: Api) -> None:
    done = labelled(api, "-", "--format", "text", stdin="Grüße\n\nzwei\n".encode())
    rows = done.lines
    assert [row["text"] for row in rows] == ["Grüße", "zwei"]
    assert {row["label"] for row in rows} <= WORDS


def test_a_tsv_keeps_its_tabs_and_a_file_without_a_header_gets_none(api: Api) -> None:
    arguments = ("-", "--format", "tsv", "--columns", "id,text")
    done = labelled(api, *arguments, stdin=b"1\tgood\n2\tbad\n")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[:2] for row in rows] == [["1", "good"], ["2", "bad"]]
    assert {row[2] for row in rows} <= WORDS


def test_extraction_gives_a_column_for_each_property(api: Api, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "in.csv").write_text("text\none\ntwo\n")
    done = mapped(api, "in.csv", "--schema", "schema.json", "--prefix", "ai_")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == ["text", "ai_product", "ai_stars", "ai_tags"]
    for row in rows:
        assert isinstance(int(row["ai_stars"]), int)
        assert isinstance(json.loads(row["ai_tags"]), list)


def test_embedding_and_generation_have_columns_of_their_own(api: Api, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text":"one"}\n{"text":"two"}\n')
    done = mapped(api, "in.jsonl", "--operation", "embed", "--dimension", "256")
    assert [len(row["embedding"]) for row in done.lines] == [256, 256]
    done = mapped(api, "in.jsonl", "--operation", "generate", "--instructions", "Sum it up.")
    assert all(isinstance(row["generated_text"], str) for row in done.lines)


def test_a_task_of_the_configuration_is_asked_as_a_worker_asks_it(api: Api, tmp_path: Path) -> None:
    (tmp_path / "streams.toml").write_text(
        '[worker]\nid = "reviews"\n[[task]]\nname = "mood"\nsource = "a"\nsink = "b"\n'
        'operation = "classify"\nlabels = ["good", "bad"]\ntext = "{/title}: {/body}"\n'
        "[task.batch]\nmax_items = 2\n"
    )
    (tmp_path / "in.csv").write_text("title,body\na,b\nc,d\ne,f\n")
    done = mapped(api, "in.csv", "--task", "mood", "--json", "--out", "out.csv")
    assert done.code == 0
    assert done.lines[0]["calls"] == 2
    assert mapped(api, "in.csv").out == (tmp_path / "out.csv").read_text()
    wrong = mapped(api, "in.csv", "--task", "moods")
    assert (wrong.code, "there are mood" in wrong.err) == (2, True)
    both = mapped(api, "in.csv", "--task", "mood", "--labels", "x,y")
    assert (both.code, "--labels belongs to --operation" in both.err) == (2, True)


def test_the_summary_counts_rows_calls_and_money(api: Api, tmp_path: Path) -> None:
    text = "".join(f"{n},text {n}\n" for n in range(100)) + "100,\n"
    (tmp_path / "in.csv").write_text("id,text\n" + text)
    done = labelled(api, "in.csv", "--out", "out.csv", "--json")
    (summary,) = done.lines
    assert [summary[key] for key in ("rows", "answered", "failed", "calls")] == [101, 100, 1, 5]
    assert summary["cost_usd"] > 0
    assert summary["simulated"] is False
    assert not (tmp_path / "out.csv.journal").exists()


def test_a_limit_takes_the_first_rows(api: Api, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\n" + "a\n" * 5000)
    done = labelled(api, "in.csv", "--limit", "3")
    assert len(done.out.splitlines()) == 4
    assert api.asked == 3


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("in.csv", b"id,text\n", b"id,text,label\n"),
        ("in.csv", b"", b""),
        ("in.jsonl", b"", b""),
        ("in.txt", b"\n\n", b""),
    ],
)
def test_a_file_without_rows_gives_one_without_rows(
    name: str, content: bytes, expected: bytes, api: Api, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    done = labelled(api, name)
    assert (done.code, done.out.encode()) == (0, expected)


def test_a_dry_run_estimates_what_the_run_then_takes_and_calls_nothing(
    api: Api, tmp_path: Path
) -> None:
    """The key is not needed."""
    text = "".join(f"{n},a review of some length number {n}\n" for n in range(250))
    (tmp_path / "in.csv").write_text("id,text\n" + text)
    arguments = ("map", "in.csv", "--labels", LABELS, "--json")
    dry = streams(*arguments, "--dry-run", cwd=tmp_path)
    (estimate,) = dry.lines
    assert api.requests == []
    (summary,) = labelled(api, "in.csv", "--out", "out.csv", "--json").lines
    assert (estimate["rows"], estimate["items"]) == (250, 250)
    assert estimate["calls"] == summary["calls"]
    for key in ("input_tokens", "output_tokens"):
        assert 0.9 <= estimate[key] / summary[key] <= 1.1, key
    assert 0.9 <= estimate["live"]["cost_usd"] / summary["cost_usd"] <= 1.1
    assert estimate["live"]["time_s"] > 0


def test_without_a_key_the_simulator_answers_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\ngood\nbad\n")
    arguments = ("map", "in.csv", "--labels", LABELS)
    done = streams(*arguments, cwd=tmp_path, variables={"ANTHROPIC_API_KEY": ""})
    assert done.code == 2
    assert "set ANTHROPIC_API_KEY" in done.err
    assert "--simulate" in done.err
    done = streams(*arguments, "--simulate", cwd=tmp_path, variables={"ANTHROPIC_API_KEY": ""})
    assert done.code == 0
    assert {line.split(",")[1] for line in done.out.splitlines()[1:]} <= WORDS
    assert "nothing was paid" in done.err


def test_a_key_that_the_api_refuses_ends_the_run(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"fault": "unauthorized"}]))
    with simulated_api(tmp_path, "--script", str(script)) as api:
        (tmp_path / "in.csv").write_text("text\ngood\n")
        done = labelled(api, "in.csv", "--out", "out.csv")
    assert done.code == 1
    assert "the API refuses every call" in done.err


def test_an_outage_is_waited_for_with_a_line_that_says_so(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"fault": "server_error", "times": 2}]))
    with simulated_api(tmp_path, "--script", str(script)) as api:
        (tmp_path / "in.csv").write_text("text\ngood\n")
        done = labelled(api, "in.csv")
    assert done.code == 0
    assert "waits (outage): " in done.err
    assert "goes on" in done.err


def test_a_refused_row_stays_without_an_answer(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"fault": "refusal", "text": "bad"}]))
    with simulated_api(tmp_path, "--script", str(script)) as api:
        (tmp_path / "in.csv").write_text("text\n" + "good\n" * 9 + "bad\n" + "good\n" * 9)
        done = labelled(api, "in.csv", "--rejects", "failed.jsonl")
    rows = [line.split(",") for line in done.out.splitlines()[1:]]
    assert [row[1] in WORDS for row in rows] == [True] * 9 + [False] + [True] * 9
    ((line, reason),) = rejects_of(tmp_path / "failed.jsonl")
    assert (line, reason.partition(":")[0]) == (11, "refused")


WRONG: list[tuple[list[str], str]] = [
    (["--mode", "slow"], "--mode must be live or batch, not 'slow'"),
    (["--json"], "name a file for the rows with --out"),
    (["--resume"], "need --out FILE"),
    (["--out", "out.jsonl"], "the rows come out as they went in, here as csv"),
    (["--out", "in.csv"], "other files than the input"),
    (["--text", "missing"], "there is no column for the text, /missing"),
    (["--operation", "generate"], "--labels: generate takes none"),
    (["--operation", "custom"], "custom"),
    (["--schema", "missing.json"], "--schema"),
    (["--labels", "one"], "--labels: must be two or more distinct labels"),
    (["--model", ""], "--model"),
    (["--max-items", "0"], "--max-items"),
    (["--out", "nowhere/out.csv"], "nowhere/out.csv.journal: cannot be written: no such file"),
    (["--rejects", "nowhere/bad.jsonl"], "--rejects nowhere/bad.jsonl: cannot be written"),
    (["--out", ".", "--force"], "is no file; without --out rows go to stdout"),
    (["--out", "out.csv", "--rejects", "out.csv.journal"], "--rejects is another file"),
    (["--out", "out.csv", "--resume", "--force"], "say one of them"),
    (["--dimension", "256"], "--dimension: classify takes none"),
    (["--format", "xml"], "--format must be"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_work_is_said_before_anything_is_asked_or_written(
    arguments: list[str], message: str, api: Api, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,good\n")
    labels = [] if "--labels" in arguments else ["--labels", LABELS]
    done = mapped(api, "in.csv", *labels, *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "requests.jsonl"}
    assert api.requests == []


def test_a_column_with_the_name_of_a_new_one_is_wrong_usage(api: Api, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("label,text\n1,good\n")
    done = labelled(api, "in.csv")
    assert (done.code, "--prefix P" in done.err) == (2, True)
    done = labelled(api, "in.csv", "--prefix", "ai_")
    assert done.out.splitlines()[0] == "label,text,ai_label"


def test_two_columns_with_the_name_of_the_text_are_wrong_usage(api: Api, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text,text\n1,good\n")
    done = labelled(api, "in.csv")
    assert (done.code, "two columns have the name of the text" in done.err) == (2, True)


def test_if_no_row_has_an_answer_the_exit_code_is_1(api: Api, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,\n2,\n")
    done = labelled(api, "in.csv")
    assert done.code == 1
    assert done.out == "id,text,label\n1,,\n2,,\n"
    assert "line 2: no_text: its text is empty" in done.err


def parquet_of(path: Path, columns: dict[str, Any]) -> Any:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(columns)
    parquet.write_table(table, path, row_group_size=700)
    return table


def test_a_parquet_file_keeps_its_columns_in_their_own_types(api: Api, tmp_path: Path) -> None:
    """Dates, decimals, and bytes, which JSON has no place for."""
    pyarrow = pytest.importorskip("pyarrow")
    from datetime import date
    from decimal import Decimal

    from pyarrow import parquet

    count = 1500
    table = parquet_of(
        tmp_path / "in.parquet",
        {
            "text": [f"text {n}" if n % 5 else None for n in range(count)],
            "day": [date(2026, 1, 1 + n % 28) for n in range(count)],
            "price": pyarrow.array([Decimal(n) / 100 for n in range(count)]),
            "image": [b"\xff\x00%d" % n for n in range(count)],
        },
    )
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    arguments = ("in.parquet", "--schema", "schema.json", "--out", "out.parquet", "--max-items")
    done = mapped(api, *arguments, "100")
    assert done.code == 0
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.select(table.column_names).equals(table)
    assert found.schema.field("product").type == pyarrow.string()
    assert found.schema.field("stars").type == pyarrow.int64()
    stars = found.column("stars").to_pylist()
    assert [n for n in range(count) if stars[n] is None] == list(range(0, count, 5))
    assert all(json.loads(tags) is not None for tags in found.column("tags").to_pylist() if tags)


def test_vectors_and_an_empty_parquet_file(api: Api, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    question = ("--operation", "embed", "--dimension", "256", "--out", "out.parquet")
    parquet_of(tmp_path / "in.parquet", {"text": ["one", "two"]})
    assert mapped(api, "in.parquet", *question).code == 0
    found = parquet.read_table(tmp_path / "out.parquet").column("embedding")
    assert [len(vector) for vector in found.to_pylist()] == [256, 256]
    parquet_of(tmp_path / "in.parquet", {"text": pyarrow.array([], pyarrow.string())})
    assert mapped(api, "in.parquet", *question, "--force").code == 0
    empty = parquet.read_table(tmp_path / "out.parquet")
    assert (empty.num_rows, empty.column_names) == (0, ["text", "embedding"])
    done = mapped(api, "in.parquet", *question[:4])
    assert (done.code, "name a file with --out" in done.err) == (2, True)
