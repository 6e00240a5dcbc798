"""`streams check` tries the schema of an extraction before a call is paid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.cli.main import main

CONFIG = """[kafka]
bootstrap_servers = "localhost:9092"
[worker]
id = "reviews"
[[task]]
name = "facts"
source = "reviews"
sink = "reviews.facts"
operation = "extract"
schema = "facts.json"
"""


@pytest.mark.parametrize(
    ("schema", "code", "line"),
    [
        ('\ufeff{"type":"object","properties":{"price":{"const":1.10}},"required":["price"]}', 0,
         '    its schema takes {"price":1.10}'),
        ('{"type":"object","properties":{"a":{"type":"string","pattern":"^(?=z..$)"}},'
         '"required":["a"]}', 0, "    its schema was not tried: no text was found"),
        ('{"type":"object","properties":{"a":{"type":"string"}},"required":["a","sku"]}', 2,
         'error: task.facts.schema: /required: names "sku", which "properties" lacks'),
        ('{"type":"object","properties":{"a":{"type":"integer","minimum":5,"maximum":3}}}', 2,
         "error: task.facts.schema: /properties/a: no number is from 5 to 3"),
        ("{", 2, "error: task.facts.schema: facts.json: is not JSON"),
    ],
)  # fmt: skip
def test_check_shows_an_answer_that_the_schema_takes_or_why_there_is_none(
    schema: str,
    code: int,
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-test")
    (tmp_path / "facts.json").write_text(schema, encoding="utf-8")
    (tmp_path / "streams.toml").write_text(CONFIG)
    assert main(["check", "--json", "--config", str(tmp_path / "streams.toml")]) == code
    said = capsys.readouterr()
    assert any(told.startswith(line) for told in said.err.splitlines()), said.err
    facts = json.loads(said.out)
    assert facts["ok"] is (code == 0)
    if code == 0:
        assert facts["tasks"][0]["example"] in (None, {"price": 1.1})
