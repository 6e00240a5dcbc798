"""What can be said of the package's structure from its texts alone; `test_architecture.py` judges.

Every function takes the texts by module name, so that a seeded fault is one more text.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import streams

PACKAGE = Path(streams.__file__).parent

Texts = Mapping[str, str]
"""Source texts by module name; a folder's `__init__.py` by the folder's: "streams.core"."""

FLOORS = [
    *("model", "errors", "open_files", "user_code", "standard_streams"),
    *("policies", "core", "codec", "operations", "providers", "simulator"),
    *("settings", "kafka", "running", "batches", "worker", "observe", "plans"),
    *("jobs", "assembly", "app", "process", "streams", "demo", "cli", "__main__"),
]
"""The rooms from the ground up: a module imports its own room and those before it."""

MODULE_LINES = 300
FUNCTION_LINES = 40
ROOM_LINES = 14


def texts() -> dict[str, str]:
    """The package as it stands."""
    found = {}
    for file in sorted(PACKAGE.glob("**/*.py")):
        parts = ("streams", *file.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = file.read_text()
    return found


def imports_of(source: str) -> Iterator[str]:
    """The modules that a source text imports, wherever in it, also for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(package: Texts) -> dict[str, set[str]]:
    """Which of our modules each imports. `from a.b import c` is an arrow to the module `a.b.c`
    where there is one, else to `a.b`."""
    graph: dict[str, set[str]] = {}
    for name, source in package.items():
        found = {module for module in imports_of(source) if module in package}
        inner = {module.rpartition(".")[0] for module in found}
        rooms = {module for module in found & inner if not _names_taken(source, module, package)}
        graph[name] = found - rooms - {name}
    return graph


def _names_taken(source: str, room: str, package: Texts) -> bool:
    """Whether a text takes a name from a folder's own `__init__.py`, not only modules in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == room:
            if any(f"{room}.{alias.name}" not in package for alias in node.names):
                return True
        elif isinstance(node, ast.Import) and any(alias.name == room for alias in node.names):
            return True
    return False


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, in its order; empty: there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def floor(module: str) -> int:
    """How high up a module's room is; ValueError: the room is not in `FLOORS`."""
    parts = module.split(".")
    return FLOORS.index(parts[1] if len(parts) > 1 else parts[0])


def upward(graph: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows from a module to one of a higher room."""
    return {
        (name, target)
        for name, targets in graph.items()
        for target in targets
        if floor(target) > floor(name)
    }


def shared_names(package: Texts) -> dict[str, list[str]]:
    """File names that stand more than once in the package, and where."""
    places = defaultdict(list)
    folders = {name.rpartition(".")[0] for name in package}
    for name in package:
        if name not in folders and not name.endswith("__main__"):
            places[name.rpartition(".")[2]].append(name)
    return {name: where for name, where in places.items() if len(where) > 1}


def too_long(package: Texts) -> list[str]:
    """Modules and functions above the house's lengths; options of commands are not counted."""
    found = []
    for name, source in package.items():
        lines = source.count("\n")
        if lines > MODULE_LINES:
            found.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _lines(node, command=name.startswith("streams.cli."))
                if lines > FUNCTION_LINES:
                    found.append(f"{name}.{node.name}: {lines} lines")
    return found


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef, *, command: bool) -> int:
    """A command's parameters are its options, each with its help: only its body counts."""
    assert function.end_lineno is not None
    first = function.body[0].lineno if command else function.lineno
    return function.end_lineno - first + 1


def rooms_without_order(package: Texts) -> list[str]:
    """Folders whose `__init__.py` does not say, in a few lines, what happens in the room, or names
    not all of its modules, or some that are not there."""
    wrong = []
    for room in sorted({name.rpartition(".")[0] for name in package} - {"", "streams"}):
        text = ast.get_docstring(ast.parse(package.get(room, ""))) or ""
        there = {_first_below(room, name) for name in package if name.startswith(f"{room}.")}
        named = set(re.findall(r"`([a-z_]\w*)`", text))
        missing, lines = there - named - {"__main__"}, len(text.splitlines())
        if missing:
            wrong.append(f"{room} does not name {', '.join(sorted(missing))}")
        if lines > ROOM_LINES:
            wrong.append(f"{room}: {lines} lines, {ROOM_LINES} are allowed")
    return wrong


def _first_below(room: str, name: str) -> str:
    return name[len(room) + 1 :].partition(".")[0]
