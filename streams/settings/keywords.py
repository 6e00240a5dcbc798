"""The keywords of `@app.microbatch`: the keys of [[task]] and its tables by their last name."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from streams.errors import ConfigError
from streams.settings.problems import TABLES, keys_of, lines_of, nearest
from streams.settings.rules import broken
from streams.settings.tables import TaskSettings
from streams.settings.task_rules import (
    BUDGETS,
    NO_PRICE,
    OPERATIONS_OF_KEY,
    broken_tasks,
)

_TABLES = [path for path in TABLES if path[:1] == ("task",)]
_NOT_FOR_FUNCTIONS = {"name", "operation", "batch", "calls", "limits", "output", "adaptive"} | {
    key for key, operations in OPERATIONS_OF_KEY.items() if "custom" not in operations
}
TABLE_OF_KEYWORD = {
    key: path[1:] for path in _TABLES for key in keys_of(path) if key not in _NOT_FOR_FUNCTIONS
}
"""Where each keyword stands below [[task]]: `("batch",)` for max_items, `()` for source."""


PER_MINUTE = [key for key in keys_of(("task", "limits")) if key.endswith("_per_minute")]

_OWN = "a pipeline's stages have their own: give it to streams.stage(...)"
_OWN_LIMITS = "a pipeline's stages have their own: streams.stage(..., limits=streams.Limits(...))"
_OF_STAGES = {
    "too_large": "a pipeline takes texts of any size; streams.chunk(...) cuts them",
    "max_tokens": _OWN,
    "max_bytes": "a pipeline takes items of any size; streams.stage(...) has max_tokens",
    "key": "the calls of a pipeline's stages are for any items",
    "flush_by": "a pipeline's stages wait as streams.stage(...) says",
    **dict.fromkeys(("max_items", "max_wait_ms"), _OWN),
    **dict.fromkeys(("max_in_flight", "timeout_s", "max_attempts"), _OWN),
    **dict.fromkeys(PER_MINUTE, _OWN_LIMITS),
    **dict.fromkeys((*BUDGETS, "on_budget"), NO_PRICE),
}
"""Keywords that a pipeline's task does not have, and what stands in for each."""


def task_from_keywords(name: str, *, pipeline: bool = False, **keywords: Any) -> TaskSettings:
    """The settings of a custom function's task, or of a pipeline's. `name`: the function's.

    Raises `ConfigError` with one line for every problem, each starting with the keyword.
    """
    task: dict[str, Any] = {"name": name, "operation": "custom"}
    allowed = [key for key in TABLE_OF_KEYWORD if not (pipeline and key in _OF_STAGES)]
    problems = []
    for keyword, value in keywords.items():
        if pipeline and keyword in _OF_STAGES:
            problems.append(f"{keyword}: {_OF_STAGES[keyword]}")
            continue
        if keyword not in TABLE_OF_KEYWORD:
            near = nearest(keyword, allowed)
            guess = f"did you mean {near}? " if near else ""
            problems.append(f"{keyword}: unknown keyword; {guess}allowed: {', '.join(allowed)}")
            continue
        table = task
        for part in TABLE_OF_KEYWORD[keyword]:
            table = table.setdefault(part, {})
        table[keyword] = value
    raw = {"worker": {"id": "any"}, "task": [task]}
    found = [*broken(raw, need_tasks=False)]
    found += broken_tasks(raw, allow_custom=True, providers=())
    problems += [f"{place[-1]}: {what}" for place, what in found]
    settings = None
    try:
        settings = TaskSettings.model_validate(task)
    except ValidationError as error:
        problems += [_by_last_name(line, name) for line in _lines(error, raw)]
    if problems or settings is None:
        raise ConfigError(list(dict.fromkeys(problems)))
    return settings


def refuse_keys_of_stages(task: TaskSettings) -> None:
    """Raises ConfigError for a task of a file that has keys which no pipeline's task has."""
    tables = {"batch.": task.batch, "calls.": task.calls, "limits.": task.limits, "": task}
    problems = [
        f"task.{task.name}.{path}{key}: {_OF_STAGES[key]}"
        for path, table in tables.items()
        for key in sorted(table.model_fields_set & set(_OF_STAGES))
    ]
    if problems:
        raise ConfigError(problems)


def _lines(error: ValidationError, raw: dict[str, Any]) -> list[str]:
    """The lines as if the task stood in a file, so that its keys are found."""
    from streams.settings.tables import Settings

    try:
        Settings.model_validate(raw)
    except ValidationError as whole:
        return lines_of(whole, raw, {})
    return [str(error)]


def _by_last_name(line: str, name: str) -> str:
    subject, _, what = line.partition(": ")
    keyword = subject.removeprefix(f"task.{name}.").rpartition(".")[2]
    return f"{keyword}: {what}"
