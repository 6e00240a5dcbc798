"""From a task's settings to its operation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import ConfigError
from streams.operations import Classify, Embed, Extract, Generate, make_operation


def task(operation: str, **more: Any) -> Any:
    fields: dict[str, Any] = {
        "name": "t", "labels": (), "instructions": "", "schema": None, "dimension": None,
        "input_type": None,
    }  # fmt: skip
    return SimpleNamespace(operation=operation, **{**fields, **more})


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (task("classify", labels=("a", "b")), Classify),
        (task("extract", schema=SCHEMA), Extract),
        (task("embed", dimension=256), Embed),
        (task("generate", instructions="Write."), Generate),
    ],
)
def test_each_operation_is_made_from_its_settings(settings, kind):
    assert isinstance(make_operation(settings), kind)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (task("classify", labels=("a",)), "task.t.labels"),
        (task("classify", labels=("a", "a")), "task.t.labels"),
        (task("extract"), "task.t.schema"),
        (task("extract", schema={"type": "string"}), "task.t.schema"),
        (task("generate"), "task.t.instructions"),
        (task("custom"), "task.t.operation"),
        (task("summon"), "task.t.operation"),
    ],
)
def test_settings_that_cannot_work_are_a_problem_of_their_key(settings, key):
    with pytest.raises(ConfigError) as caught:
        make_operation(settings)
    assert caught.value.problems[0].startswith(f"{key}: ")
