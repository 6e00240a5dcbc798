"""`docs/streams.toml` shows every key with its default; it loads, and it cannot go stale."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from streams.settings import Settings, load_settings
from streams.settings.problems import SECRETS, TABLES, keys_of

REFERENCE = Path(__file__).parents[2] / "docs" / "streams.toml"
TEXT = REFERENCE.read_text()
EXAMPLES = {"name", "source", "sink", "labels", "operation", "instructions", "schema",
            "dimension"}  # fmt: skip


def test_the_reference_loads() -> None:
    settings = load_settings(REFERENCE, {}, need_tasks=True)
    assert [task.operation for task in settings.tasks] == [
        "classify",
        "extract",
        "embed",
        "generate",
    ]


def test_every_value_of_the_reference_is_the_default() -> None:
    """Tables left out altogether give the same settings, but for what is marked as an example."""
    raw = tomllib.loads(TEXT)
    bare = {
        "worker": {"id": raw["worker"]["id"]},
        "task": [{k: v for k, v in task.items() if k in EXAMPLES} for task in raw["task"]],
    }
    assert load_settings(REFERENCE, {}, need_tasks=True) == Settings.model_validate(bare)


def test_the_reference_names_every_key() -> None:
    """Also those that stand in a comment, because they cannot be together with others."""
    named = set(re.findall(r"^(?:# )?([a-z_0-9]+) = ", TEXT, re.MULTILINE))
    keys = {key for path in TABLES if path for key in keys_of(path) if (*path, key) not in TABLES}
    assert keys - {"version"} == named  # `version` belongs to custom functions


def test_the_reference_names_every_range() -> None:
    """The numbers in its comments are those of the settings."""
    for path, table in TABLES.items():
        for name, field in table.model_fields.items():
            bounds = re.search(r"number from (\S+) to (\S+)$", field.description or "")
            if bounds is None or path in (("task", "limits"), ("prices",)):
                continue
            line = next(
                line
                for line in TEXT.splitlines()
                if line.removeprefix("# ").startswith(f"{name} = ")
            )
            assert f"{bounds[1]} to {bounds[2]}" in line, line


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings(REFERENCE, {}, need_tasks=True)
    worker, task, vectors = settings.worker, settings.tasks[0], settings.tasks[2]
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.kafka.session_timeout_s == 10
    assert (worker.guarantee, worker.start, worker.ledger) == ("at_least_once", "earliest", False)
    assert (worker.commit_interval_ms, worker.drain_s, worker.shutdown_timeout_s) == (100, 1, 25)
    assert (worker.max_buffered_mb, worker.web) == (64, "127.0.0.1:6066")
    assert (task.text, task.id, task.order, task.tombstones, task.too_large) == (
        "/text",
        "/id",
        "partition",
        "forward",
        "dead_letter",
    )
    assert task.batch.model_dump() == {
        "max_items": 20,
        "max_wait_ms": 50,
        "max_tokens": 8000,
        "max_bytes": 1_000_000,
        "adaptive": True,
        "key": None,
        "flush_by": None,
    }
    assert task.calls.model_dump() == {"max_in_flight": 5, "timeout_s": 60, "max_attempts": 6}
    assert task.output.model_dump() == {"mode": "envelope", "embedding": "floats"}
    assert (vectors.dimension, vectors.input_type) == (1024, "document")


def test_secrets_have_no_place_in_the_reference() -> None:
    assert not [key for key in SECRETS if re.search(rf"^#? ?{key} =", TEXT, re.MULTILINE)]
