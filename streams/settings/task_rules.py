"""Rules inside one task: which keys an operation takes, and what its provider can do.

As in `rules.py`: raw values in, `(location, what is wrong and what is allowed)` out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from streams.settings.problems import Location
from streams.settings.rules import Found, tasks_of
from streams.settings.values import shown

OPERATIONS_OF_KEY = {
    "labels": ("classify",),
    "schema": ("extract",),
    "dimension": ("embed",),
    "input_type": ("embed",),
    "instructions": ("classify", "extract", "generate"),
    "provider": ("classify", "extract", "embed", "generate"),
    "model": ("classify", "extract", "embed", "generate"),
    "version": ("custom",),
}
NEEDED = {
    "classify": ("labels", "two or more distinct labels"),
    "extract": ("schema", "a JSON Schema: a table or the name of a file"),
    "generate": ("instructions", "a text that says what to write"),
}
OPERATIONS_OF_PROVIDER = {"anthropic": ("classify", "extract", "generate"), "voyage": ("embed",)}
MAX_ITEMS_OF_PROVIDER = {"voyage": 1000}
BUDGETS = ("budget_usd_per_hour", "budget_usd_per_day", "budget_usd")
NO_PRICE = "a budget needs the price of a model, which a function of your own has none of"


def broken_tasks(
    raw: Mapping[str, Any], *, allow_custom: bool, providers: Collection[str]
) -> Found:
    """Everything wrong inside the tasks. `providers`: the names that exist."""
    for index, task in tasks_of(raw):
        table = raw["task"][index]
        place: Location = ("task", index)
        yield from _operation(place, table, allow_custom=allow_custom)
        yield from _provider(place, task, providers)
        yield from _limits(place, task)


def _operation(place: Location, task: Mapping[str, Any], *, allow_custom: bool) -> Found:
    operation = task.get("operation")
    if not isinstance(operation, str) or operation not in {"custom", "embed", *NEEDED}:
        return
    if operation == "custom" and not allow_custom:
        yield (
            (*place, "operation"),
            '"custom" needs the application that holds the function: start the worker with --app',
        )
    if operation in NEEDED:
        key, allowed = NEEDED[operation]
        if key not in task:
            yield (*place, key), f"is missing; {operation} needs {allowed}"
        elif key == "instructions" and task[key] == "":
            yield (*place, key), f"must be {allowed}; {operation} has nothing else to go by"
    for key, operations in OPERATIONS_OF_KEY.items():
        if key in task and operation not in operations:
            yield (*place, key), f"{operation} takes none; it belongs to {' and '.join(operations)}"
    output = task.get("output")
    if isinstance(output, dict) and "embedding" in output and operation not in {"embed", "custom"}:
        yield (*place, "output", "embedding"), f"{operation} takes none; it belongs to embed"


def _provider(place: Location, task: Mapping[str, Any], providers: Collection[str]) -> Found:
    provider, operation = task.get("provider"), task.get("operation")
    if not isinstance(provider, str) or operation not in OPERATIONS_OF_KEY["model"]:
        return
    if provider not in providers:
        names = ", ".join(f'"{name}"' for name in sorted(providers))
        yield (*place, "provider"), f"must be {names} or a registered one, not {shown(provider)}"
        return
    can = OPERATIONS_OF_PROVIDER.get(provider)
    if can is not None and operation not in can:
        others = [name for name, able in OPERATIONS_OF_PROVIDER.items() if operation in able]
        for other in others:
            yield (
                (*place, "provider"),
                f'must be "{other}" for {operation}: {shown(provider)} cannot {operation}',
            )
    if not task.get("model"):
        yield (*place, "model"), f"must be the name of a model of {provider}"
    yield from _max_items(place, task, provider)


def _max_items(place: Location, task: Mapping[str, Any], provider: str) -> Found:
    limit = MAX_ITEMS_OF_PROVIDER.get(provider)
    batch = task.get("batch")
    items = batch.get("max_items") if isinstance(batch, dict) else None
    if limit is not None and isinstance(items, int) and items > limit:
        yield (
            (*place, "batch", "max_items"),
            f'must be a whole number from 1 to {limit} with provider "{provider}", not {items}',
        )


def _limits(place: Location, task: Mapping[str, Any]) -> Found:
    limits = task.get("limits")
    if not isinstance(limits, dict):
        return
    budgets = [key for key in BUDGETS if key in limits]
    if task.get("operation") == "custom":
        for key in budgets:
            yield (*place, "limits", key), NO_PRICE
    if "on_budget" in limits and not budgets:
        yield (*place, "limits", "on_budget"), f"needs a budget: one of {', '.join(BUDGETS)}"
