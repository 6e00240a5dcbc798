"""From pydantic's errors to one line a problem: the key's path, what is wrong, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from streams.settings.keys import Table
from streams.settings.limit_tables import LimitSettings, PriceSettings
from streams.settings.tables import (
    BatchSettings,
    CallSettings,
    KafkaSettings,
    OutputSettings,
    ProviderSettings,
    Settings,
    TaskSettings,
    WorkerSettings,
)
from streams.settings.values import shown

Location = tuple[str | int, ...]
"""Where a value stands: keys and, in arrays, indices, as in `("task", 0, "batch", "max_items")`."""

TABLES: dict[tuple[str, ...], type[Table]] = {
    (): Settings,
    ("kafka",): KafkaSettings,
    ("worker",): WorkerSettings,
    ("task",): TaskSettings,
    ("task", "batch"): BatchSettings,
    ("task", "calls"): CallSettings,
    ("task", "limits"): LimitSettings,
    ("task", "output"): OutputSettings,
    ("provider",): ProviderSettings,
    ("prices",): PriceSettings,
}
NAMED = {"provider": "[provider.<name>]", "prices": '[prices."<model>"]'}
"""Tables of tables, whose names are free; how a person writes one."""
SECRETS = frozenset({"sasl_password", "ssl_password"})
_SECRET_LIKE = re.compile(r"(^|_)(api_?key|password|secret|token)$")
_BARE = re.compile(r"[A-Za-z0-9_.-]+")


def lines_of(
    error: ValidationError, raw: Mapping[str, Any], origins: Mapping[Location, str]
) -> list[str]:
    """One line for each of the errors about `raw`. `origins`: the variable that set a key."""
    lines = []
    for detail in error.errors(include_url=False):
        location: Location = detail["loc"]
        subject = path_of(location, raw, origins)
        lines.append(f"{subject}: {_fault(location, detail, raw)}")
    return lines


def path_of(
    location: Location, raw: Mapping[str, Any], origins: Mapping[Location, str] | None = None
) -> str:
    """The key as a person would look for it: `task.sentiment.batch.max_items`, or its variable."""
    for length in range(len(location), 0, -1):
        if origins and location[:length] in origins:
            return origins[location[:length]]
    path = ""
    for place, part in enumerate(location):
        if isinstance(part, str):
            path += f".{_key(part)}" if path else _key(part)
        elif place == 1 and location[0] == "task":
            name = _unique_name(raw, part)
            path += f"[{part}]" if name is None else f".{name}"
        else:
            path += f"[{part}]"
    return path


def unknown_key(key: str, table: tuple[str, ...]) -> str:
    """What to say about a key that the table does not have; `table`: its path without indices."""
    if _SECRET_LIKE.search(key.lower()) and not key.endswith("_file"):
        return SECRET_IN_FILE
    allowed = keys_of(table)
    home = _home_of(key, table)
    if home is not None:
        return f"unknown key here; it belongs in {home}"
    near = nearest(key, allowed)
    guess = f'did you mean "{near}"? ' if near else ""
    return f"unknown key; {guess}allowed: {', '.join(allowed)}"


SECRET_IN_FILE = (
    "secrets come only from the environment or from files named there"
    " (api_key_file, sasl_password_file, ssl_password_file)"
)


def keys_of(table: tuple[str, ...]) -> list[str]:
    """The keys that a table may hold in the file."""
    fields = TABLES[table].model_fields
    return [f.alias or name for name, f in fields.items() if name not in SECRETS]


def nearest(word: str, words: list[str]) -> str | None:
    """The word that was probably meant, None if nothing is near."""
    plain = {w.lower().replace("-", "_"): w for w in words}
    match = get_close_matches(word.lower().replace("-", "_"), plain, n=1, cutoff=0.6)
    return plain[match[0]] if match else None


def field_of(location: Location) -> FieldInfo | None:
    """How the key is declared; None for a key that is not known."""
    parts = [part for part in location if isinstance(part, str)]
    if parts[:1] and parts[0] in NAMED:
        parts = parts[:1] + parts[2:]
    table = TABLES.get(tuple(parts[:-1]))
    if table is None:
        return None
    for name, field in table.model_fields.items():
        if (field.alias or name) == parts[-1]:
            return field
    return None


def value_at(location: Location, raw: Any) -> Any:
    """The value that stands there, None if nothing does."""
    for part in location:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _fault(location: Location, detail: Any, raw: Mapping[str, Any]) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        table = tuple(part for part in location[:-1] if isinstance(part, str))
        return unknown_key(str(location[-1]), table[:1] if table and table[0] in NAMED else table)
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    field = field_of(location)
    allowed = field.description if field is not None and field.description else "a table"
    if isinstance(location[-1], int) and location[0] != location[-2]:
        allowed = "a text in quotes"  # the one array besides [[task]] holds labels
    if kind == "missing":
        return f"is missing; it must be {allowed}"
    return f"must be {allowed}, not {shown(value_at(location, raw))}"


def _home_of(key: str, table: tuple[str, ...]) -> str | None:
    """The table that does have the key, as a header of the file, when it is not this one."""
    headers = {"task": "[[task]]", **NAMED}
    for path in TABLES:
        if path and path != table and key in keys_of(path):
            header = ".".join(path)
            return headers.get(header, f"[{header}]")
    return None


def _unique_name(raw: Mapping[str, Any], index: int) -> str | None:
    tasks = raw.get("task")
    if not isinstance(tasks, list):
        return None
    names = [task.get("name") if isinstance(task, dict) else None for task in tasks]
    name = names[index] if index < len(names) else None
    if isinstance(name, str) and _BARE.fullmatch(name) and names.count(name) == 1:
        return name
    return None


def _key(part: str) -> str:
    return part if _BARE.fullmatch(part) else shown(part)
