"""The core and its policies decide; they do not look at the clock, wait, draw or write."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import streams

ROOT = Path(streams.__file__).parent
MODULES = sorted([*(ROOT / "core").glob("*.py"), *(ROOT / "policies").glob("*.py")])
ALLOWED = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "heapq",
    "itertools",
    "math",
    "operator",
    "re",
    "typing",
}
OURS = ("streams.core", "streams.policies", "streams.errors", "streams.model")
BUILT_IN_IO = {"open", "print", "input"}


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name is from"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_module_of_the_core_imports_nothing_that_acts(module: Path) -> None:
    tree = ast.parse(module.read_text())
    for name in imported(tree):
        assert name.split(".")[0] in ALLOWED or name.startswith(OURS), name
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & BUILT_IN_IO
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))


def test_the_policies_do_not_know_the_engine() -> None:
    for module in (ROOT / "policies").glob("*.py"):
        names = imported(ast.parse(module.read_text()))
        assert not [name for name in names if name.startswith("streams.core")], module.name
