"""Every way to get the configuration wrong gives exit code 2 and one clear line naming the key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.cli.main import main
from tests.cli.command import streams
from tests.cli.wrong_configurations import CASES, SERVERS, TASK, WORKER, task_with


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMS_CONFIG", raising=False)


@pytest.mark.parametrize(("text", "line"), CASES, ids=[line[:60] for _, line in CASES])
def test_one_line_names_the_key(
    text: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One wrong key: exit code 2, exactly one line, nothing on stdout."""
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    assert main(["check", "--config", str(file)]) == 2
    said = capsys.readouterr()
    assert said.err == f"error: {line.format(file=file, dir=tmp_path)}\n"
    assert said.out == ""


def test_there_are_forty_ways_at_least() -> None:
    assert len(CASES) >= 80


def test_every_problem_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(
        '[kafka]\nbootstrap_servers = "x"\n[worker]\nid = "w"\ndrain_s = -1\n'
        + task_with("max_items = 1")
        + "[task.batch]\nmax_items = 0\n"
    )
    assert main(["check", "--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "kafka.bootstrap_servers",
        "worker.drain_s",
        "task.sentiment.batch.max_items",
        "task.sentiment.max_items",
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none.toml", "no such file"), (".", "is a directory, not a file")],
)
def test_a_file_that_cannot_be_read_is_one_line(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {file}: {reason}\n"


def test_invalid_utf8_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "streams.toml"
    file.write_bytes(b'[worker]\nid = "\xff"\n')
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {file}: is not UTF-8 (byte 15)\n"


def test_deep_nesting_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "streams.toml"
    file.write_text("a = " + "[" * 100_000)
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {file}: is nested too deeply\n"


def test_sasl_names_all_that_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "streams.toml"
    file.write_text(f'[kafka]\nsecurity_protocol = "SASL_SSL"\n{WORKER}{TASK}')
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: kafka.sasl_mechanism: is missing; with SASL_SSL it must be"
        ' "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"',
        "error: kafka.sasl_username: is missing; SASL_SSL needs a user",
        "error: kafka.sasl_password_file: is missing; SASL_SSL needs a password:"
        " name its file here, or set STREAMS_KAFKA__SASL_PASSWORD",
    ]


def test_the_embedded_broker_refuses_exactly_once_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "streams.toml"
    file.write_text(
        '[kafka]\nbootstrap_servers = "embedded"\n'
        f'[worker]\nid = "w"\nguarantee = "exactly_once"\n{TASK}'
    )
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err.splitlines()[0] == (
        'error: worker.guarantee: must be "at_least_once" on the embedded broker, which has no'
        " transactions; for exactly_once name an Apache Kafka in kafka.bootstrap_servers"
    )


def test_the_embedded_broker_refuses_a_ledger_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "streams.toml"
    file.write_text(
        f'[kafka]\nbootstrap_servers = "embedded"\n[worker]\nid = "w"\nledger = true\n{TASK}'
    )
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: worker.ledger: must be false on the embedded broker, which ends with the worker and"
        " forgets everything; for a ledger name an Apache Kafka in kafka.bootstrap_servers"
    ]


def test_a_ledger_needs_a_name_that_no_other_topic_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "streams.toml"
    file.write_text(
        '[worker]\nid = "w"\nledger = true\n'
        + TASK.replace('"reviews.sentiment"', '"w.reviews.ledger"')
    )
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        'error: task.sentiment.sink: "w.reviews.ledger" is the ledger of task[0]; take another'
        " topic"
    ]


def test_no_configuration_at_all_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: task: at least one [[task]] is needed, and there is no ./streams.toml;"
        " name a file with --config or STREAMS_CONFIG"
    )


def test_a_worker_without_app_has_no_custom_functions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "streams.toml"
    file.write_text(
        f'{WORKER}[[task]]\nname = "n"\nsource = "a"\nsink = "b"\noperation = "custom"\n'
    )
    assert main(["worker", "--config", str(file)]) == 2
    assert capsys.readouterr().err == (
        'error: task.n.operation: "custom" needs the application that holds the function:'
        " start the worker with --app\n"
    )


def test_a_wrong_broker_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tail", "topic", "--broker", "localhost"]) == 2
    assert (
        capsys.readouterr().err
        == f'error: --broker: must be {SERVERS}; "localhost" lacks the port\n'
    )


def test_check_prints_the_problems_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    file = tmp_path / "streams.toml"
    file.write_text(f"{WORKER}{task_with('id = 3')}")
    assert main(["check", "--config", str(file), "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "config": str(file),
        "problems": ['task.sentiment.id: must be a JSON Pointer as "/id", not 3'],
    }


def test_check_refuses_a_schema_that_the_worker_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "streams.toml"
    file.write_text(
        WORKER
        + """[[task]]
name = "n"
source = "a"
sink = "b"
operation = "extract"
schema = {type = "object", properties = {a = {"$ref" = "#"}}}
"""
    )
    assert main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: task.n.schema: /properties/a: # refers to itself: the API takes no recursion"
    ]


WORLD = [
    ("ANTHROPIC_BASE_URL", "gateway.test"),
    ("ANTHROPIC_BASE_URL", '"https://gateway.test"'),
    ("ANTHROPIC_BASE_URL", "https://gateway.test\n"),
    ("STREAMS_PROVIDER__ANTHROPIC__BASE_URL", "https://me:hush@gateway.test"),
    ("HTTPS_PROXY", "http://proxy:hush"),
    ("SSL_CERT_FILE", "/there/is/none.pem"),
    ("ANTHROPIC_API_KEY", '"sk-hush"'),
]


@pytest.mark.parametrize(("variable", "value"), WORLD)
def test_a_variable_that_leads_nowhere_is_one_line_that_names_it(
    variable: str,
    value: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was an outage without end, which the worker waited for."""
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    file = tmp_path / "streams.toml"
    file.write_text(f"{WORKER}{TASK}")
    assert main(["check", "--config", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {variable}: ")
    assert "hush" not in line


def test_a_worker_with_such_a_variable_does_not_begin(tmp_path: Path) -> None:
    text = f'[kafka]\nbootstrap_servers = "127.0.0.1:1"\n{WORKER}{TASK}'
    (tmp_path / "streams.toml").write_text(text)
    variables = {"ANTHROPIC_API_KEY": "sk-1", "ANTHROPIC_BASE_URL": "gateway.test"}
    ended = streams("worker", cwd=tmp_path, variables=variables)
    assert ended.code == 2
    assert "error: ANTHROPIC_BASE_URL: must be an address" in ended.err


def test_a_model_without_a_known_price_is_told_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "streams.toml"
    file.write_text(f'{WORKER}{TASK}model = "claude-next"\n')
    assert main(["check", "--json", "--config", str(file)]) == 0
    output = capsys.readouterr()
    assert "the price of claude-next is not known: its cost_usd is null" in output.err
    (warning,) = json.loads(output.out)["warnings"]
    assert warning in output.err
