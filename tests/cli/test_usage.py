"""The command line itself: exit codes, one-line errors, quick help."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli.main import main
from tests.cli.command import environ, streams


@pytest.fixture(autouse=True)
def _loggers_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands silence the Kafka client's loggers; other tests listen to them."""
    for name in ("aiokafka", "asyncio"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "propagate", logger.propagate)
        monkeypatch.setattr(logger, "handlers", list(logger.handlers))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "no command given; see streams --help"),
        (["foo"], "No such command 'foo'"),
        (["tail"], "Missing argument 'TOPIC'"),
        (["tail", "t", "--count", "0"], "Invalid value for '--count'"),
        (["tail", "t", "--count", "x"], "Invalid value for '--count'"),
        (["tail", "t", "--frm", "x"], "No such option: --frm"),
        (["tail", "t", "--from", "soon"], "--from must be earliest, latest, an offset, a time as"),
        (["tail", "a b"], "TOPIC must be a name of letters"),
        (["publish", "t"], "Missing argument 'FILE|-'"),
        (["publish", "..", "-"], "TOPIC must be a name of letters"),
        (["publish", "t", "none.jsonl"], "none.jsonl: no such file or directory"),
        (["publish", "t", "."], ".: is a directory, not a file"),
        (["publish", "t", "-", "--rate", "0"], "--rate must be a number above 0, not 0.0"),
        (["publish", "t", "-", "--rate", "nan"], "--rate must be a number above 0, not nan"),
        (["publish", "t", "-", "--format", "xml"], "--format must be jsonl, csv, tsv"),
        (["publish", "t", "-", "--format", "parquet"], "Parquet is read from its end: name a file"),
        (["publish", "t", "-", "--columns", "a"], "--columns belongs to csv and tsv, not to jsonl"),
        (["publish", "t", "-", "--key", "/a~b"], "--key: "),
        (["publish", "t", "-", "--schema", "none"], "--schema none: no such file or directory"),
        (["publish", "t", "-", "--rejects", "/none/x"], "--rejects /none/x: cannot be written"),
        (["publish", "t", "-", "--broker", "embedded"], 'kafka.bootstrap_servers: "embedded"'),
        (["tail", "t", "--broker", "embedded"], 'kafka.bootstrap_servers: "embedded"'),
        (["demo", "--items", "0"], "Invalid value for '--items'"),
        (["demo", "--input", "none"], "--input none: no such file"),
        (["demo", "--input", "."], ".: is a directory, not a file"),
        (["demo", "--input", "/dev/null"], "the format of /dev/null cannot be told from its name"),
        (["demo", "--input", "-", "--format", "xml"], "--format must be jsonl, csv, tsv"),
        (["demo", "--input", "-", "--format", "parquet"], "Parquet is read from its end: name"),
        (["demo", "--input", "/dev/null", "--format", "csv"], "--input /dev/null: holds no"),
        (["demo", "--input", "-", "--text", "review"], "--text must be a JSON Pointer as"),
        (["demo", "--input", "-", "--text", "{a}"], "--text must be a JSON Pointer as"),
        (["demo", "--input", "-", "--labels", "a"], "--labels must be two or more distinct labels"),
        (["demo", "--input", "-", "--labels", "a,A"], "--labels must be two or more distinct"),
        (["demo", "--labels", "a,b"], "--labels belongs to --input FILE"),
        (["demo", "--instructions", "x"], "--instructions belongs to --input FILE"),
        (["demo", "--text", "/x"], "--text belongs to --input FILE"),
        (["demo", "--format", "csv"], "--format belongs to --input FILE"),
        (["demo", "--broker", "x"], "--broker: must be"),
        (["broker", "--port", "70000"], "Invalid value for '--port'"),
        (["simulate", "--port", "70000"], "port must be between 0 and 65535"),
        (["replay", "--until", "latest"], "--from says where to begin"),
        (["dead"], "no command given; see streams dead --help"),
        (["dead", "list"], "Missing argument 'TOPIC'; see streams dead list --help"),
        (["dead", "list", "a b"], "TOPIC must be a name of letters"),
        (["dead", "list", "t", "--since", "soon"], "--since must be a time as 2026"),
        (["dead", "show", "t", "17"], "a letter is named PARTITION/OFFSET, as 0/17, not '17'"),
        (["dead", "redrive", "t", "0/x"], "a letter is named PARTITION/OFFSET, as 0/17, not '0/x'"),
        (["dead", "redrive", "t", "--rate", "0"], "--rate must be a number above 0, not 0.0"),
        (["dead", "redrive", "t", "--into", "t"], "--into names the dead-letter topic itself"),
        (["dead", "redrive", "t", "--into", "a b"], "--into must be a name of letters"),
        (["dead", "list", "t", "--broker", "embedded"], 'kafka.bootstrap_servers: "embedded"'),
        (["diff", "a"], "Missing argument 'TOPIC_B'; see streams diff --help"),
        (["diff", "a", "b c"], "TOPIC_B must be a name of letters"),
        (["diff", "a", "b", "--by", "text"], "--by must be position, id or key, not 'text'"),
        (["diff", "a", "b", "--html", "no/x.html"], "--html no/x.html: there is no directory no"),
        (["diff", "a", "b", "--broker", "embedded"], 'kafka.bootstrap_servers: "embedded"'),
        (["top"], "top is not available in this version"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {line}")
    assert said.err.count("\n") == 1


def test_a_traceback_comes_only_with_debug() -> None:
    for arguments, has_traceback in ((["tail", "a b"], False), (["tail", "a b", "--debug"], True)):
        result = streams(*arguments)
        assert result.code == 2
        assert ("Traceback" in result.err) == has_traceback


def test_help_needs_none_of_the_heavy_packages() -> None:
    """Which is what keeps `streams --help` quick."""
    code = (
        "import sys; from streams.cli.main import main; assert main(['--help']) == 0;"
        "heavy = {'faust', 'aiokafka', 'pydantic', 'anthropic', 'voyageai', 'pyarrow',"
        " 'jsonschema', 'aiohttp', 'rich', 'numpy'};"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environ(), check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"publish" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "worker", "publish", "tail", "check", "diff", "broker", "simulate"),
        *("dead list", "dead show", "dead redrive"),
    ],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr()
    assert f"Usage: streams {command}" in said.out
    assert "--debug" in said.out
    assert said.err == ""


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("streams ")


def test_a_reader_that_has_enough_ends_the_command_quietly(tmp_path: Path) -> None:
    """`streams check --json | true`."""
    config = Path(__file__).parents[2] / "docs" / "streams.toml"
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "streams", "check", "--json", "--config", config],
            stdout=closed,
            stderr=subprocess.PIPE,
            env=environ(),
            check=False,
        )
    assert done.returncode == 0
    assert b"Error" not in done.stderr
    assert b"Exception" not in done.stderr


def test_check_says_what_the_tasks_do() -> None:
    config = Path(__file__).parents[2] / "docs" / "streams.toml"
    result = streams("check", "--config", config, "--json")
    assert result.code == 0
    (facts,) = result.lines
    assert (facts["ok"], facts["config"]) == (True, str(config))
    assert facts["tasks"][0] == {
        "name": "sentiment",
        "source": "reviews",
        "sink": "reviews.sentiment",
        "dead_letter": "reviews.dead",
        "operation": "classify",
        "provider": "anthropic",
        "model": "claude-haiku-5-5",
    }
    assert "sentiment: reviews -> reviews.sentiment" in result.err
