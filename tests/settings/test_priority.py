"""`[task] priority` and `[task.batch] key` and `flush_by` on their way from the settings."""

from __future__ import annotations

from typing import Any

import pytest

import streams
from streams.errors import UsageError
from streams.jobs.map_file.map_task import task_of
from streams.plans import Plan, parts_of
from streams.providers import function_caller
from streams.running.task_stages import pipeline_of, stages_of_task
from streams.settings import TaskSettings, task_from_keywords
from streams.settings.load import settings_of

SETTINGS = settings_of({"worker": {"id": "w"}}, {}, need_tasks=False, allow_custom=True)


def custom(**keywords: Any) -> TaskSettings:
    return task_from_keywords("f", source="a", sink="b", **keywords)


async def nothing(items: Any) -> Any:
    return items


async def test_a_tasks_priority_is_that_of_its_engine() -> None:
    task = custom(priority=-3, key="/tenant")
    caller = function_caller(nothing, version="", max_in_flight=1)
    parts = parts_of(Plan(task, nothing), caller, SETTINGS)
    assert parts.limits.priority == -3


def test_the_stages_of_a_pipeline_have_their_tasks_priority() -> None:
    pipeline = pipeline_of([streams.stage(nothing), streams.stage(nothing)])
    stages = stages_of_task(pipeline, "partition", 7)
    assert [stage.options.priority for stage, _ in stages] == [7, 7]


def test_map_refuses_a_task_whose_key_it_cannot_keep_to() -> None:
    raw = {
        "worker": {"id": "w"},
        "task": [
            {"name": "mood", "source": "a", "sink": "b", "operation": "classify",
             "labels": ["x", "y"], "batch": {"key": "/tenant"}}
        ],
    }  # fmt: skip
    settings = settings_of(raw, {}, need_tasks=True, allow_custom=False)
    with pytest.raises(UsageError, match=r"batch\.key"):
        task_of(settings, "mood", {})
