"""Checks that the APIs of a configuration answer: by the worker's own calls, with one small item.

Nothing else says whether the key, the model, the parameters, the proxy and the address are right
together. Tasks that ask the same are asked for once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streams.errors import CallError, ConfigError, Fault

if TYPE_CHECKING:
    from streams.model import Usage
    from streams.providers import TaskCaller
    from streams.settings import Settings, TaskSettings

ANSWER_WITHIN_S = 30.0
TEXT = "The parcel came on Monday, and everything in it works."

ANSWERED = (Fault.REFUSED, Fault.TRUNCATED)
"""The API works; the answer to our text is of no interest."""

Check = tuple[str, bool, str]
"""The name of a check, whether it passed, and one line about it."""


async def api_checks(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """One check for every question that the tasks put to an API; side by side."""
    checks: list[Any] = []
    questions = set()
    for task in settings.tasks:
        if task.operation == "custom":
            continue
        caller = _caller(settings, task, environ)
        question = str(caller if isinstance(caller, ConfigError) else caller.describe())
        if question not in questions:
            questions.add(question)
            checks.append(_check(task, caller))
    return list(await asyncio.gather(*checks))


def _caller(
    settings: Settings, task: TaskSettings, environ: Mapping[str, str]
) -> TaskCaller | ConfigError:
    from streams.providers import make_caller

    try:
        return make_caller(task, settings.provider.get(task.provider), environ=environ)
    except ConfigError as error:
        return error


async def _check(task: TaskSettings, caller: TaskCaller | ConfigError) -> Check:
    what = f"{task.provider} {task.model}"
    if isinstance(caller, ConfigError):
        return what, False, "; ".join(caller.problems)
    try:
        return what, *await _ask(task, caller)
    finally:
        await caller.aclose()


async def _ask(task: TaskSettings, caller: TaskCaller) -> tuple[bool, str]:
    from streams.model import Item

    within_s = min(task.calls.timeout_s, ANSWER_WITHIN_S)
    item = Item({}, TEXT, "1", None, (), task.source, 0, 0, 0, b"{}")
    try:
        async with asyncio.timeout(within_s):
            reply = await caller([item])
    except TimeoutError:
        return False, f"no answer within {within_s:g} s"
    except CallError as error:
        works = error.fault in ANSWERED
        return works, f"{'answers, but ' if works else ''}{error}{_cost(error.usage)}"
    answer = reply.answers[0]
    if isinstance(answer, dict) and "embedding_f32" in answer:
        return True, f"answers with {answer['dim']} dimensions{_cost(reply.usage)}"
    return True, f"answers to {task.operation}{_cost(reply.usage)}"


def _cost(usage: Usage | None) -> str:
    if usage is None:
        return ""
    tokens = f"; {usage.input_tokens} tokens in, {usage.output_tokens} out"
    if usage.cost_nano_usd is None:
        return f"{tokens}, cost not known"
    return f"{tokens}, ${usage.cost_nano_usd / 1e9:.9f}".rstrip("0").rstrip(".")
