"""`streams check`: is the configuration right, and with --connect: is everything there?"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import Broker, Config, Debug, Json
from streams.cli.printing import put_json, quiet_clients, tell
from streams.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings import Settings, TaskSettings


def check(
    config: Config = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask the broker, the topics and the APIs too.")
    ] = False,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Validate the configuration; every problem at once."""
    from streams.providers import can_price
    from streams.settings import find_file, load_settings

    file = find_file(config, os.environ)
    facts: dict[str, Any] = {"ok": True, "config": None if file is None else str(file)}
    try:
        settings = load_settings(config, os.environ, broker=broker, need_tasks=True)
        examples = _try_operations(settings)
    except ConfigError as error:
        if as_json:
            with suppress(OutputError):  # the problems go to stderr too
                put_json({**facts, "ok": False, "problems": list(error.problems)})
        raise
    facts["tasks"] = [_facts(task, examples) for task in settings.tasks]
    tell(f"{file or 'the environment'}: the configuration is valid")
    for task in settings.tasks:
        what = f"{task.operation}, {task.provider} {task.model}" if task.provider else "custom"
        tell(f"  {task.name}: {task.source} -> {task.sink} ({what}); dead: {task.dead_letter}")
        if task.name in examples:
            tell(f"    {_shown(examples[task.name])}")
    facts["warnings"] = [
        f"task.{task.name}.model: the price of {task.model} is not known: its cost_usd is null"
        f' until [prices."{task.model}"] says it'
        for task in settings.tasks
        if not can_price(task)
    ]
    for line in facts["warnings"]:
        tell(f"warning: {line}")
    if connect:
        quiet_clients(debug=debug)
        facts["checks"] = _connect(settings)
        facts["ok"] = all(entry["ok"] for entry in facts["checks"])
        _table(facts["checks"])
    if as_json:
        put_json(facts)
    return 0 if facts["ok"] else 1


def _try_operations(settings: Settings) -> dict[str, Any]:
    """Create what the worker would create: only this finds a schema that the API does not take.
    Returns an example of each extraction's answers by its task, None where none was found. Raises
    ConfigError with every problem."""
    from streams.operations import Extract, make_operation
    from streams.providers import price_problem

    problems = _egress_problems(settings)
    examples: dict[str, Any] = {}
    for task in settings.tasks:
        if task.operation != "custom":
            try:
                operation = make_operation(task)
                if isinstance(operation, Extract):
                    examples[task.name] = operation.example
            except ConfigError as error:
                problems.extend(error.problems)
        if task.limits.has_budget and (problem := price_problem(task)):
            problems.append(problem)
    if problems:
        raise ConfigError(problems)
    return examples


def _facts(task: TaskSettings, examples: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("name", "source", "operation", "provider", "model", "sink", "dead_letter")
    facts = {key: getattr(task, key) for key in keys}
    return {**facts, "example": examples[task.name]} if task.name in examples else facts


def _shown(example: Any) -> str:
    from streams.codec.strict_json import compact

    if example is None:
        return "its schema was not tried: no text was found that has the form of its pattern"
    text = compact(example)
    return f"its schema takes {text if len(text) <= 100 else text[:97] + '...'}"


def _egress_problems(settings: Settings) -> list[str]:
    """Addresses, proxies, certificates and keys that cannot be right."""
    from streams.providers.egress import egress_problems

    problems: list[str] = []
    for provider in dict.fromkeys(task.provider for task in settings.tasks):
        problems += egress_problems(provider, settings.provider.get(provider), os.environ)
    return problems


def _connect(settings: Settings) -> list[dict[str, Any]]:
    import asyncio

    from streams.cli.access import checks

    async def all_of_them() -> list[dict[str, Any]]:
        return [
            {"what": what, "ok": ok, "detail": detail}
            async for what, ok, detail in checks(settings, os.environ)
        ]

    return asyncio.run(all_of_them())


def _table(entries: list[dict[str, Any]]) -> None:
    width = max(len(entry["what"]) for entry in entries)
    for entry in entries:
        tell(f"{'ok' if entry['ok'] else 'FAILED':<6}  {entry['what']:<{width}}  {entry['detail']}")
