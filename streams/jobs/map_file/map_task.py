"""What is asked about each row: a task of the configuration, or one made of options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.errors import ConfigError, UsageError
from streams.jobs.files.text_field import text_option
from streams.providers import TaskCaller
from streams.providers.registry import can_price
from streams.running.api_process import ApiProcess, Suits
from streams.running.processes import SUITS
from streams.settings import Settings, TaskSettings
from streams.settings.load import settings_of

NAME = "map"

Question = Mapping[str, Any]
"""The keys of a task that say what to ask, as `labels`; those that are None are not given."""


def task_of(settings: Settings, name: str | None, question: Question) -> TaskSettings:
    """The task of this name; None: the one that `question` makes, or else the only one there is.

    Raises UsageError, and ConfigError with a line for each wrong option.
    """
    given = {key: value for key, value in question.items() if value is not None}
    if name is None and given:
        return settings.priced(_made_of(given))
    if given:
        option = _option(next(iter(given)))
        raise UsageError(f"{option} belongs to --operation; --task {name} has its own")
    return _configured(settings, name)


def _configured(settings: Settings, name: str | None) -> TaskSettings:
    tasks = {task.name: task for task in settings.tasks}
    if name is None and len(tasks) != 1:
        known = f", one of {', '.join(tasks)}" if tasks else " of a streams.toml"
        raise UsageError(
            "what is to be asked? Say --operation classify --labels A,B,... (or extract, embed,"
            f" generate), or --task NAME{known}"
        )
    task = tasks.get(next(iter(tasks)) if name is None else name)
    if task is None:
        known = f"there are {', '.join(tasks)}" if tasks else "there is none; see --config"
        raise UsageError(f"--task {name}: there is no task of this name; {known}")
    if task.operation == "custom":
        raise UsageError(
            f"--task {task.name}: its function is in an application of yours;"
            " for a file there is streams.map_batches"
        )
    if task.batch.key is not None:
        raise UsageError(
            f"--task {task.name}: its batch.key keeps items apart, which map cannot; for a file"
            " whose rows may share calls leave it out"
        )
    return task


def _made_of(given: dict[str, Any]) -> TaskSettings:
    task = {**given, "operation": given.get("operation") or _implied_operation(given)}
    suits = SUITS.get(task["operation"])
    if suits is not None:
        batch = {"max_items": suits.max_items, "max_tokens": suits.max_tokens}
        task["batch"] = {**batch, **task.get("batch", {})}
    names = {"name": NAME, "source": NAME, "sink": f"{NAME}.out"}
    raw = {"worker": {"id": NAME}, "task": [{**names, **task}]}
    try:
        return settings_of(raw, {}, need_tasks=True, allow_custom=False).tasks[0]
    except ConfigError as error:
        raise ConfigError([_as_option(problem) for problem in error.problems]) from None


def _implied_operation(given: Mapping[str, Any]) -> str:
    """What the options imply where none is named."""
    for key, operation in (("labels", "classify"), ("schema", "extract"), ("dimension", "embed")):
        if key in given:
            return operation
    raise UsageError("--operation is missing: classify, extract, embed or generate")


def _as_option(problem: str) -> str:
    """The line with the option in place of the key's path."""
    subject, _, what = problem.partition(": ")
    key = subject.removeprefix(f"task.{NAME}.").rpartition(".")[2]
    return f"{_option(key)}: {what}"


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def process_of(task: TaskSettings, caller: TaskCaller) -> ApiProcess[Any]:
    """The task as a process over texts, with its own limits; results are the operation's."""
    batch = task.batch
    suits = Suits(batch.max_items, batch.max_tokens, batch.max_bytes, task.calls.timeout_s)
    return ApiProcess(
        lambda: caller,
        lambda result: result,
        suits,
        name=task.operation,
        text=None,
        priced=can_price(task),
    )


def text_of(task: TaskSettings, text: str | None) -> str:
    """Where a row's text is: what `--text` says, else the task. Raises UsageError."""
    return task.text if text is None else text_option(text)
