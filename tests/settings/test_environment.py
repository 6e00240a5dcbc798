"""Variables set any key, on top of a file or without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import ConfigError
from streams.settings import Settings, load_settings

FILE = """
[kafka]
bootstrap_servers = "a:1"
[worker]
id = "w"
[[task]]
name = "my-task.v2"
source = "s"
sink = "t"
operation = "classify"
labels = ["a", "b"]
[[task]]
name = "other"
source = "s2"
sink = "t2"
operation = "embed"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "streams.toml"
    path.write_text(FILE)
    return path


def load(file: Path | None, **variables: str) -> Settings:
    return load_settings(file, variables, need_tasks=False)


def problems(file: Path | None, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, **variables)
    return list(caught.value.problems)


def test_a_variable_wins_over_the_file(file: Path) -> None:
    assert load(file).kafka.bootstrap_servers == "a:1"
    settings = load(file, STREAMS_KAFKA__BOOTSTRAP_SERVERS="b:2")
    assert settings.kafka.bootstrap_servers == "b:2"


def test_the_broker_option_wins_over_the_variable(file: Path) -> None:
    variables = {"STREAMS_KAFKA__BOOTSTRAP_SERVERS": "b:2"}
    settings = load_settings(file, variables, broker="c:3", need_tasks=False)
    assert settings.kafka.bootstrap_servers == "c:3"


@pytest.mark.parametrize("name", ["MY_TASK_V2", "my_task_v2", "My_Task_V2"])
def test_a_task_is_found_by_its_name_in_any_case(file: Path, name: str) -> None:
    settings = load(file, **{f"STREAMS_TASK__{name}__BATCH__MAX_ITEMS": "7"})
    assert [task.batch.max_items for task in settings.tasks] == [7, 20]


def test_every_type_of_value_is_read(file: Path) -> None:
    settings = load(
        file,
        STREAMS_WORKER__DRAIN_S="0.5",
        STREAMS_WORKER__WEB="",
        STREAMS_WORKER__LEDGER="False",
        STREAMS_WORKER__COMMIT_INTERVAL_MS="200",
        STREAMS_TASK__MY_TASK_V2__LABELS="x, y,z",
        STREAMS_TASK__OTHER__DIMENSION="512",
        STREAMS_TASK__OTHER__OUTPUT__EMBEDDING="base64",
    )
    worker, (one, other) = settings.worker, settings.tasks
    assert (worker.drain_s, worker.web, worker.ledger) == (0.5, "", False)
    assert worker.commit_interval_ms == 200
    assert one.labels == ("x", "y", "z")
    assert (other.dimension, other.output.embedding) == (512, "base64")


def test_labels_with_commas_are_written_as_json(file: Path) -> None:
    settings = load(file, STREAMS_TASK__MY_TASK_V2__LABELS='["a, b", "c"]')
    assert settings.tasks[0].labels == ("a, b", "c")


def test_everything_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(
        None,
        STREAMS_KAFKA__BOOTSTRAP_SERVERS="k:9092",
        STREAMS_WORKER__ID="w",
        STREAMS_TASK__MOOD__SOURCE="s",
        STREAMS_TASK__MOOD__SINK="t",
        STREAMS_TASK__MOOD__OPERATION="extract",
        STREAMS_TASK__MOOD__SCHEMA='{"type": "object"}',
        STREAMS_TASK__FACT_BASE__NAME="Fact-Base",
        STREAMS_TASK__FACT_BASE__SOURCE="s2",
        STREAMS_TASK__FACT_BASE__SINK="t2",
        STREAMS_TASK__FACT_BASE__OPERATION="embed",
        STREAMS_PROVIDER__VOYAGE__BASE_URL="http://127.0.0.1:1/v1",
    )
    assert sorted(task.name for task in settings.tasks) == ["Fact-Base", "mood"]
    assert {task.schema == {"type": "object"} for task in settings.tasks} == {True, False}
    assert settings.provider["voyage"].base_url == "http://127.0.0.1:1/v1"


def test_kafka_alone_is_enough_for_commands_on_topics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(None, STREAMS_KAFKA__BOOTSTRAP_SERVERS="k:9092")
    assert settings.kafka.bootstrap_servers == "k:9092"
    assert settings.tasks == ()


def test_the_file_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, else STREAMS_CONFIG, else ./streams.toml."""
    monkeypatch.chdir(tmp_path)
    for name in ("option", "variable", "streams"):
        (tmp_path / f"{name}.toml").write_text(f'[worker]\nid = "{name}"\n')
    variable = str(tmp_path / "variable.toml")
    assert load(tmp_path / "option.toml", STREAMS_CONFIG=variable).worker.id == "option"
    assert load(None, STREAMS_CONFIG=variable).worker.id == "variable"
    assert load(None).worker.id == "streams"


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    assert problems(None, STREAMS_CONFIG=missing) == [f"{missing}: no such file"]


@pytest.mark.parametrize(
    "variable",
    [
        "STREAMS_CONFIG_X",
        "STREAMS_TESTING",
        "STREAMS_KAFKA_BOOTSTRAP_SERVERS",
        "STREAMS_KAFKA__BOOTSTRAP_SERVER",
        "STREAMS_KAFKA",
        "STREAMS_WORKER__ID__X",
        "STREAMS_TASK__OTHER",
        "STREAMS_TASK__OTHER__MAX_ITEMS",
        "STREAMS_TASK__OTHER__BATCH__MAX_ITEM",
        "STREAMS_TASK__OTHER__BATCHES__MAX_ITEMS",
        "STREAMS_PROVIDER__ANTHROPIC__API_KEY",
        "STREAMS_TASKS__OTHER__SOURCE",
    ],
)
def test_a_variable_that_sets_nothing_is_an_error(file: Path, variable: str) -> None:
    (line,) = problems(file, **{variable: "1"})
    assert line.startswith(f"{variable}: sets no key; ")


def test_a_near_miss_is_guessed(file: Path) -> None:
    (line,) = problems(file, STREAMS_TASK__OTHER__BATCH__MAX_ITEM="1")
    assert "did you mean STREAMS_TASK__OTHER__BATCH__MAX_ITEMS?" in line


def test_reserved_and_foreign_variables_are_left_alone(file: Path) -> None:
    """Ours for tests, and those that Kubernetes sets for services called `streams...`."""
    load(
        file,
        STREAMS_TEST_BROKER="java",
        STREAMS_SERVICE_HOST="10.0.0.1",
        STREAMS_SERVICE_PORT_HTTP="80",
        STREAMS_PORT="tcp://10.0.0.1:80",
        STREAMS_WORKER_PORT_6066_TCP_ADDR="10.0.0.1",
        BROKER_URL="kafka://x",
        STREAMSX="1",
    )


def test_a_wrong_value_names_its_variable(file: Path) -> None:
    assert problems(file, STREAMS_WORKER__COMMIT_INTERVAL_MS="soon") == [
        'STREAMS_WORKER__COMMIT_INTERVAL_MS: must be a whole number from 1 to 60000, not "soon"'
    ]
    assert problems(file, STREAMS_TASK__OTHER__DIMENSION="3") == [
        "STREAMS_TASK__OTHER__DIMENSION: must be 256, 512, 1024 or 2048, not 3"
    ]
    assert problems(file, STREAMS_TASK__OTHER__SINK="s2") == [
        'STREAMS_TASK__OTHER__SINK: must be another topic than source, not "s2"'
    ]


def test_a_task_that_the_file_lacks_needs_a_source(file: Path) -> None:
    assert problems(file, STREAMS_TASK__OTHR__BATCH__MAX_ITEMS="5") == [
        'STREAMS_TASK__OTHR__BATCH__MAX_ITEMS: no task is named "othr"; did you mean "other"?'
        " (a new task needs STREAMS_TASK__OTHR__SOURCE)"
    ]


def test_two_tasks_of_one_spelling_are_told_apart_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "streams.toml"
    path.write_text(FILE.replace('"other"', '"my.task-v2"'))
    assert load(path).tasks[1].name == "my.task-v2"
    assert problems(path, STREAMS_TASK__MY_TASK_V2__TEXT="/a") == [
        "STREAMS_TASK__MY_TASK_V2__TEXT: names more than one task: my-task.v2, my.task-v2"
    ]
