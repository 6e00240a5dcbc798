"""The examples do what their docstrings say, through the real SDKs over HTTP."""

from __future__ import annotations

import ast
import csv
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import streams
from tests.examples.programs import EXAMPLES, ran
from tests.integration.simulated import LABELS, Simulated, simulated

ROWS = list(csv.DictReader((EXAMPLES / "reviews.csv").read_text().splitlines()))
SCREEN_LINES = 80


@pytest.fixture
def api() -> Iterator[Simulated]:
    with simulated(latency_ms=0) as running:
        yield running


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_an_example_fits_on_a_screen_and_says_how_to_run_it(file: Path) -> None:
    source = file.read_text()
    text = ast.get_docstring(ast.parse(source)) or ""
    assert source.count("\n") <= SCREEN_LINES
    assert f"python examples/{file.name}" in text or f"--app examples.{file.stem}:app" in text
    assert f"`{file.name}`" in (EXAMPLES / "README.md").read_text()


def test_every_row_of_a_csv_gets_its_label_in_two_calls(api: Simulated, tmp_path: Path) -> None:
    lines, told = ran("classify_csv", api=api, cwd=tmp_path)
    found = list(csv.DictReader(lines))
    assert [{**row, "label": ""} for row in found] == [{**row, "label": ""} for row in ROWS]
    assert {row["label"] for row in found} <= set(LABELS)
    assert api.state()["calls"] == 2, "24 rows, 20 to a call"
    assert told.startswith("ProcessUsage(calls=2, ")


def test_without_a_key_the_same_file_runs_beside_the_simulator() -> None:
    program = (sys.executable, EXAMPLES / "classify_csv.py")
    done = streams("simulate", "--latency-ms", "0", "--answers", "hash", *program)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1 + len(ROWS)
    assert done.err.endswith("simulator: 2 calls, 24 items; nothing was paid\n")


def test_a_row_that_has_no_answer_gets_the_reason_in_its_place(
    api: Simulated, tmp_path: Path
) -> None:
    api.script({"fault": "refusal", "text": "flickers"})
    lines, _ = ran("classify_csv", api=api, cwd=tmp_path)
    labels = {row["id"]: row["label"] for row in csv.DictReader(lines)}
    assert labels.pop("16").startswith("refused")
    assert set(labels.values()) <= set(LABELS)


def test_every_text_becomes_an_instance_of_the_model(api: Simulated, tmp_path: Path) -> None:
    lines, _ = ran("extract_models", api=api, cwd=tmp_path)
    assert [line.split()[0] for line in lines[:-1]] == [row["id"] for row in ROWS]
    assert {line.split()[1] for line in lines[:-1]} <= {"happy", "unhappy", "neither"}
    assert api.state()["calls"] >= 3, "24 texts, 10 to a call"


def test_chunks_and_vectors_of_documents_are_stored_and_a_file_that_fails_stops_no_other(
    api: Simulated, tmp_path: Path
) -> None:
    texts = {f"{n}.txt": f"This is sentence {n} of a document. " * 10 * n for n in (1, 2, 3)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    lines, told = ran("documents", "1.txt", "no.txt", "2.txt", "3.txt", api=api, cwd=tmp_path)
    with sqlite3.connect(tmp_path / "vectors.db") as database:
        rows = database.execute("select * from chunks").fetchall()
    database.close()
    assert told.startswith("no.txt: function_error: FileNotFoundError")
    counts = {name: sum(row[0] == name for row in rows) for name in texts}
    assert lines[:3] == [f"{name}: {count} chunks" for name, count in counts.items()]
    assert counts["3.txt"] > counts["1.txt"] >= 1
    assert {len(json.loads(vector)) for *_, vector in rows} == {256}
    assert all(text in texts[path] for path, _, text, _ in rows)
    assert lines[3].startswith("ProcessUsage(calls=")
