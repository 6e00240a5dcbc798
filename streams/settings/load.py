"""From a file and the environment to `Settings`, or to a `ConfigError` with every problem."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streams.errors import ConfigError
from streams.settings import values
from streams.settings.environment import Overrides
from streams.settings.model import PROVIDER_OF, Settings
from streams.settings.problems import SECRET_IN_FILE, SECRETS, Location, lines_of, path_of
from streams.settings.rules import broken
from streams.settings.task_rules import broken_tasks

DEFAULT_FILE = Path("streams.toml")
PROVIDERS = frozenset(PROVIDER_OF.values())
KEY_VARIABLES = {"anthropic": "ANTHROPIC_API_KEY", "voyage": "VOYAGE_API_KEY"}


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: `path`, else what STREAMS_CONFIG names, else ./streams.toml if it is
    there; None: the environment alone counts."""
    if path is not None:
        return path
    if environ.get("STREAMS_CONFIG"):
        return Path(environ["STREAMS_CONFIG"])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def load_settings(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    broker: str | None = None,
    need_tasks: bool,
    allow_custom: bool = True,
    providers: Collection[str] = PROVIDERS,
) -> Settings:
    """The settings from the file, overridden by the environment, overridden by `broker`.

    `path`: the file, None: STREAMS_CONFIG, else ./streams.toml, else no file. `broker`: what
    `--broker` says, None: nothing. `need_tasks`: no task is an error. `allow_custom`: whether a
    task may leave its function to an application. `providers`: the names a task may use.

    Raises `ConfigError` with one line for every problem there is, each starting with the key's path
    or the variable's name. A file that cannot be read or parsed is the only problem then.
    """
    file = find_file(path, environ)
    raw = _parse(file) if file is not None else {}
    directory = file.parent if file is not None else Path()
    problems = _take_secrets_out(raw)
    overrides = Overrides(raw)
    overrides.apply(environ)
    problems += overrides.problems
    origins = dict(overrides.origins)
    if broker is not None and isinstance(raw.setdefault("kafka", {}), dict):
        raw["kafka"]["bootstrap_servers"] = broker
        origins["kafka", "bootstrap_servers"] = "--broker"
    found = list(broken(raw, need_tasks=need_tasks))
    found += broken_tasks(raw, allow_custom=allow_custom, providers=providers)
    settings, wrong = _validated(raw, directory, origins, environ)
    problems += wrong + [f"{path_of(place, raw, origins)}: {what}" for place, what in found]
    if need_tasks and not raw.get("task"):
        problems.append(_no_task(file))
    if problems or settings is None:
        raise ConfigError(list(dict.fromkeys(problems)))
    return settings


def _validated(
    raw: dict[str, Any],
    directory: Path,
    origins: Mapping[Location, str],
    environ: Mapping[str, str],
) -> tuple[Settings | None, list[str]]:
    secrets, unread = _secrets(raw, directory, environ)
    problems = [f"{path_of(place, raw, origins)}: {what}" for place, what in unread]
    filled = {**raw}
    for (table, *names, key), secret in secrets.items():
        _put(filled, (table, *names, key), secret)
    try:
        return Settings.model_validate(filled, context={"directory": directory}), problems
    except ValidationError as error:
        lines = lines_of(error, raw, origins)
        return None, lines + [p for p in problems if p.split(":")[0] not in _subjects(lines)]


def _subjects(lines: list[str]) -> set[str]:
    return {line.split(":")[0] for line in lines}


def _secrets(
    raw: dict[str, Any], directory: Path, environ: Mapping[str, str]
) -> tuple[dict[tuple[str, ...], str], list[tuple[Location, str]]]:
    """The passwords and API keys that files or variables hold, by where they belong.

    A STREAMS_ variable wins over the file that the configuration names, and that one over the
    provider's own variable.
    """
    found: dict[tuple[str, ...], str] = {}
    problems: list[tuple[Location, str]] = []
    tables: dict[tuple[str, ...], Any] = {("kafka",): raw.get("kafka")}
    providers = raw.get("provider") if isinstance(raw.get("provider"), dict) else {}
    for name in {*KEY_VARIABLES, *(providers or {})}:
        tables["provider", name] = (providers or {}).get(name, {})
        variable = KEY_VARIABLES.get(name)
        if (
            variable
            and environ.get(variable, "").strip()
            and isinstance(tables["provider", name], dict)
        ):
            found["provider", name, "api_key"] = environ[variable].strip()
    for place, table in tables.items():
        for key in SECRETS:
            named = table.get(f"{key}_file") if isinstance(table, dict) else None
            if isinstance(table, dict) and key in table:
                found[(*place, key)] = table[key]
            elif isinstance(named, str):
                try:
                    found[(*place, key)] = _secret_of(directory / named)
                except ValueError as error:
                    problems.append(((*place, f"{key}_file"), str(error)))
    return found, problems


def _secret_of(path: Path) -> str:
    secret = values.read_text(path).strip("\r\n")
    if not secret:
        raise ValueError(f"{path}: is empty")
    return secret


def _put(tables: dict[str, Any], place: tuple[str, ...], value: str) -> None:
    """Set a nested value without changing the tables on the way: they are copied."""
    *names, key = place
    for name in names:
        tables[name] = {**tables.get(name, {})}
        tables = tables[name]
    tables[key] = value


def _take_secrets_out(raw: dict[str, Any]) -> list[str]:
    """Secrets written into the file are refused, and forgotten."""
    tables: dict[str, Any] = {"kafka": raw.get("kafka")}
    if isinstance(raw.get("provider"), dict):
        tables |= {f"provider.{name}": table for name, table in raw["provider"].items()}
    problems = []
    for path, table in tables.items():
        for key in SECRETS & set(table if isinstance(table, dict) else ()):
            del table[key]
            problems.append(f"{path}.{key}: {SECRET_IN_FILE}")
    return sorted(problems)


def _parse(file: Path) -> dict[str, Any]:
    try:
        text = values.read_text(file)
    except ValueError as error:
        raise ConfigError([f"{error}"]) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{file}: is nested too deeply"]) from None
    except ValueError as error:
        raise ConfigError([f"{file}: {_syntax(str(error))}"]) from None


def _syntax(message: str) -> str:
    """`line 3, column 5: what is wrong`, from tomllib's message."""
    place = re.search(r" \(at (line \d+, column \d+|end of document)\)$", message)
    if place is None:
        return f"is not TOML: {message}"
    what = message[: place.start()]
    return f"{place[1]}: is not TOML: {what[:1].lower()}{what[1:]}"


def _no_task(file: Path | None) -> str:
    where = f"{file} has none" if file is not None else "there is no ./streams.toml"
    return (
        f"task: at least one [[task]] is needed, and {where};"
        " name a file with --config or STREAMS_CONFIG"
    )
