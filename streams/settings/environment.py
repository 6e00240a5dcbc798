"""`STREAMS_...` variables: each sets one key, whatever the file says.

    STREAMS_KAFKA__BOOTSTRAP_SERVERS=localhost:9092        [kafka] bootstrap_servers
    STREAMS_PROVIDER__VOYAGE__BASE_URL=http://localhost/v1 [provider.voyage] base_url
    STREAMS_PRICES__MY_MODEL__INPUT=0.5                    [prices."my-model"] input
    STREAMS_TASK__SENTIMENT__BATCH__MAX_ITEMS=50           [task.batch] max_items of "sentiment"

A task is found by its name, in any case, with `_` for `-` and `.`; a name that no task of the file
has starts a new task, if its SOURCE is given too. Lists are separated by commas or written as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from streams.settings.problems import (
    NAMED,
    SECRETS,
    TABLES,
    Location,
    field_of,
    keys_of,
    nearest,
)

PREFIX = "STREAMS_"
_RESERVED = re.compile(r"STREAMS_(CONFIG|TEST_.*)")
# What Kubernetes sets for a service called "streams" or "streams-...": nobody's settings.
_SERVICE = re.compile(
    r"STREAMS_(.*_)?(SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
_TABLES_OF_TASK = ("batch", "calls", "limits", "output")


class Overrides:
    """Applies the variables to what the file says.

    `raw`: the tables to change, in place. Afterwards `origins` holds the variable of every key set,
    and `problems` a line for every variable that sets none.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.origins: dict[Location, str] = {}
        self.problems: list[str] = []
        self._task_names = [name for task in _tasks(raw) if (name := _name(task)) is not None]
        self._file_has_tasks = bool(self._task_names)

    def apply(self, environ: Mapping[str, str]) -> None:
        for variable in sorted(environ):
            if not variable.startswith(PREFIX) or _RESERVED.fullmatch(variable):
                continue
            if _SERVICE.fullmatch(variable) and "__" not in variable:
                continue
            section, *parts = variable[len(PREFIX) :].split("__")
            section = section.upper()
            if section == "TASK" and len(parts) >= 2:
                self._task(variable, parts, environ)
            elif section.lower() in NAMED and len(parts) == 2:
                self._named(variable, section.lower(), parts, environ[variable])
            elif section in {"KAFKA", "WORKER"} and len(parts) == 1:
                place = (section.lower(), parts[0].lower())
                self._set(variable, place, place, environ[variable])
            else:
                self._unknown(variable)

    def _task(self, variable: str, parts: list[str], environ: Mapping[str, str]) -> None:
        rest = "__".join(parts).upper()
        named = [name for name in self._task_names if rest.startswith(f"{in_variable(name)}__")]
        longest = max((len(name) for name in named), default=0)
        named = [name for name in named if len(name) == longest]
        if len(named) > 1:
            self.problems.append(f"{variable}: names more than one task: {', '.join(named)}")
            return
        if named:
            name = named[0]
        else:
            name = parts[0].lower()
            if not self._starts_task(variable, name, environ):
                return
        keys = rest[len(in_variable(name)) + 2 :].lower().split("__")
        if len(keys) > 2 or (len(keys) == 2 and keys[0] not in _TABLES_OF_TASK):
            self._unknown(variable)
            return
        if keys == ["name"]:
            self._rename(variable, name, environ[variable])
            return
        index = next(i for i, task in enumerate(_tasks(self.raw)) if _name(task) == name)
        self._set(variable, ("task", *keys), ("task", index, *keys), environ[variable])

    def _starts_task(self, variable: str, name: str, environ: Mapping[str, str]) -> bool:
        source = f"{PREFIX}TASK__{in_variable(name)}__SOURCE"
        if self._file_has_tasks and not any(source == key.upper() for key in environ):
            near = nearest(name, self._task_names)
            guess = f'; did you mean "{near}"?' if near else ""
            self.problems.append(
                f'{variable}: no task is named "{name}"{guess} (a new task needs {source})'
            )
            return False
        if not isinstance(self.raw.setdefault("task", []), list):
            return False  # the file's own fault: it has an error already
        self.raw["task"].append({"name": name})
        self._task_names.append(name)
        return True

    def _rename(self, variable: str, name: str, value: str) -> None:
        """A new task may spell its name as no variable can: `my-task` for MY_TASK."""
        if in_variable(value) != in_variable(name):
            self.problems.append(
                f"{variable}: must be the name that the variable holds, with other letter case or"
                ' "-" or "." for "_"'
            )
            return
        self._task_names[self._task_names.index(name)] = value
        for task in _tasks(self.raw):
            if _name(task) == name:
                task["name"] = value

    def _named(self, variable: str, table: str, parts: list[str], value: str) -> None:
        """A key of a provider's or a model's table. A model that the file gives no price is found
        by the tasks that use it, or else has the variable's letters in lower case."""
        named = self.raw.setdefault(table, {})
        if not isinstance(named, dict):
            return
        names = list(named)
        if table == "prices":
            models = (task.get("model") for task in _tasks(self.raw) if isinstance(task, dict))
            names += [model for model in models if isinstance(model, str)]
        name = next((n for n in names if in_variable(n) == parts[0].upper()), parts[0].lower())
        key = parts[1].lower()
        self._set(variable, (table, key), (table, name, key), value)

    def _set(self, variable: str, key: tuple[str, ...], place: Location, value: str) -> None:
        """Put the value at `place`; `key` is the same without index and provider name."""
        if key[-1] not in keys_of(key[:-1]) and key[-1] not in SECRETS:
            self._unknown(variable)
            return
        target: Any = self.raw
        for part in place[:-1]:
            target = target.setdefault(part, {}) if isinstance(target, dict) else target[part]
            if not isinstance(target, dict | list):
                return  # the file's own fault: it has an error already
        target[place[-1]] = converted(place, value)
        self.origins[place] = variable

    def _unknown(self, variable: str) -> None:
        near = nearest(variable, self._known_variables())
        guess = f"did you mean {near}? " if near else ""
        self.problems.append(
            f"{variable}: sets no key; {guess}allowed: STREAMS_<TABLE>__<KEY> and"
            " STREAMS_TASK__<NAME>__<KEY>, the keys as in the file"
        )

    def _known_variables(self) -> list[str]:
        variables = []
        tasks = [in_variable(name) for name in self._task_names]
        for path in TABLES:
            if path[:1] == ("task",):
                heads = [["TASK", name, *path[1:]] for name in tasks]
            elif path[:1] == ("provider",):
                heads = [["PROVIDER", name] for name in ("ANTHROPIC", "VOYAGE")]
            elif path[:1] == ("prices",):
                heads = [["PRICES", in_variable(name)] for name in self.raw.get("prices", ())]
            else:
                heads = [[*path]] if path else []
            for head in heads:
                variables += [PREFIX + "__".join([*head, key]).upper() for key in keys_of(path)]
        return variables


def in_variable(name: str) -> str:
    """A task's or provider's name as a variable spells it."""
    return re.sub(r"[-.]", "_", name).upper()


def converted(place: Location, value: str) -> Any:
    """The text of a variable as the type that its key has; unchanged where it does not fit."""
    field = field_of(place)
    kinds = get_args(field.annotation) or (field.annotation,) if field is not None else ()
    kinds = tuple(each for kind in kinds if kind is not NoneType for each in words_of(kind))
    if field is not None and field.alias == "schema":
        return _from_json(value) if value.lstrip().startswith("{") else str(Path(value).absolute())
    if Path in kinds:
        return str(Path(value).absolute())
    if Ellipsis in kinds:  # tuple[str, ...]
        return _from_json(value) if value.lstrip().startswith("[") else _split(value)
    if bool in kinds:
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if int in kinds or any(isinstance(kind, int) for kind in kinds):
        return int(value) if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value) else value
    if float in kinds:
        return _float(value)
    return value


def words_of(kind: Any) -> tuple[Any, ...]:
    """The words of a Literal; of another type itself."""
    return get_args(kind) if get_origin(kind) is Literal else (kind,)


def _float(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _from_json(value: str) -> Any:
    from streams.codec.strict_json import read

    try:
        return read(value.encode())
    except ValueError:  # also what is not UTF-8
        return value


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


def _tasks(raw: dict[str, Any]) -> list[Any]:
    tasks = raw.get("task", [])
    return tasks if isinstance(tasks, list) else []


def _name(task: Any) -> str | None:
    name = task.get("name") if isinstance(task, dict) else None
    return name if isinstance(name, str) else None
