"""From a file and the environment to `Settings`, or to a `ConfigError` with every problem."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streams.errors import ConfigError
from streams.settings import values
from streams.settings.environment import Overrides
from streams.settings.problems import SECRET_IN_FILE, SECRETS, Location, lines_of, path_of
from streams.settings.rules import broken
from streams.settings.tables import PROVIDER_OF, Settings
from streams.settings.task_rules import broken_tasks

DEFAULT_FILE = Path("streams.toml")


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
) -> Settings:
    """The settings from the file, overridden by the environment, overridden by `broker`.

    `path`: the file, None: STREAMS_CONFIG, else ./streams.toml, else no file. `broker`: what
    `--broker` says, None: nothing. `need_tasks`: no task is an error. `allow_custom`: whether a
    task may leave its function to an application.

    Raises `ConfigError` with one line for every problem there is, each starting with the key's path
    or the variable's name. A file that cannot be read or parsed is the only problem then.
    """
    file = find_file(path, environ)
    return settings_of(
        _parse(file) if file is not None else {},
        environ,
        file=file,
        broker=broker,
        need_tasks=need_tasks,
        allow_custom=allow_custom,
    )


def settings_of(
    raw: dict[str, Any],
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    broker: str | None = None,
    need_tasks: bool,
    allow_custom: bool = True,
) -> Settings:
    """The same from tables that are parsed already; they are changed on the way. `file`: where
    they stood, None: nowhere."""
    problems = _take_secrets_out(raw)
    overrides = Overrides(raw)
    overrides.apply(environ)
    problems += overrides.problems
    origins = dict(overrides.origins)
    if broker is not None and isinstance(raw.setdefault("kafka", {}), dict):
        raw["kafka"]["bootstrap_servers"] = broker
        origins["kafka", "bootstrap_servers"] = "--broker"
    found = list(broken(raw, need_tasks=need_tasks))
    found += broken_tasks(raw, allow_custom=allow_custom, providers=_provider_names())
    directory = file.parent if file is not None else Path()
    settings, wrong = _validated(raw, directory, origins)
    problems += wrong + [f"{path_of(place, raw, origins)}: {what}" for place, what in found]
    if need_tasks and raw.get("task", []) == []:
        problems.append(_no_task(file))
    if problems or settings is None:
        raise ConfigError(list(dict.fromkeys(problems)))
    return settings


def _provider_names() -> list[str]:
    """The providers that exist. One is registered by `streams.providers`, which takes long to
    import: while nobody has imported it, there are only our own."""
    rooms = sys.modules.get("streams.providers")
    return sorted(set(PROVIDER_OF.values())) if rooms is None else rooms.provider_names()


def _validated(
    raw: dict[str, Any], directory: Path, origins: Mapping[Location, str]
) -> tuple[Settings | None, list[str]]:
    kafka, unread = _with_passwords(raw.get("kafka", {}), directory)
    problems = [f"{path_of(place, raw, origins)}: {what}" for place, what in unread]
    try:
        settings = Settings.model_validate(
            {**raw, "kafka": kafka}, context={"directory": directory}
        )
    except ValidationError as error:
        lines = lines_of(error, raw, origins)
        paths = {line.partition(": ")[0] for line in lines}
        return None, lines + [line for line in problems if line.partition(": ")[0] not in paths]
    return settings, problems


def _with_passwords(kafka: Any, directory: Path) -> tuple[Any, list[tuple[Location, str]]]:
    """[kafka] with the passwords out of the files that it names; a variable's password wins."""
    problems: list[tuple[Location, str]] = []
    if not isinstance(kafka, dict):
        return kafka, problems
    filled = dict(kafka)
    for key in sorted(SECRETS):
        named = kafka.get(f"{key}_file")
        if isinstance(named, str) and key not in kafka:
            try:
                filled[key] = _secret_of(values.located(named, directory))
            except ValueError as error:
                problems.append((("kafka", f"{key}_file"), str(error)))
    return filled, problems


def _secret_of(path: Path) -> str:
    secret = values.read_text(path).strip("\r\n")
    if not secret:
        raise ValueError(f"{path}: is empty")
    return secret


def _take_secrets_out(raw: dict[str, Any]) -> list[str]:
    """Passwords written into the file are refused, and forgotten."""
    kafka = raw.get("kafka")
    found = sorted(SECRETS & set(kafka if isinstance(kafka, dict) else ()))
    for key in found:
        del raw["kafka"][key]
    return [f"kafka.{key}: {SECRET_IN_FILE}" for key in found]


def _parse(file: Path) -> dict[str, Any]:
    try:
        text = values.read_text(file)
    except ValueError as error:
        raise ConfigError([f"{error}"]) from None
    try:
        return tomllib.loads(text, parse_float=_number)
    except RecursionError:
        raise ConfigError([f"{file}: is nested too deeply"]) from None
    except ValueError as error:
        raise ConfigError([f"{file}: {_syntax(str(error))}"]) from None


def _number(digits: str) -> float:
    """As JSON is read: a schema may stand in the file, with decimals beyond a float."""
    from streams.codec.numbers import Number, near

    digits = digits.replace("_", "").removeprefix("+")
    return near(Number(digits)) if digits[-1].isdigit() else float(digits)  # inf and nan


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
