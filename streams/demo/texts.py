"""Real text that every machine has: the docstrings of Python's standard library."""

from __future__ import annotations

import ast
import gc
import sysconfig
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

MAX_CHARACTERS = 200


def docstrings() -> Iterator[dict[str, Any]]:
    """One item per docstring, in a stable order: `{"id": "json.dumps", "text": ...}`."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if "site-packages" in path.parts or "test" in path.parts or "idlelib" in path.parts:
            continue
        try:
            tree = _parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        yield from _of(tree, module)


def _parse(source: str) -> ast.AST:
    """Without the collector: a finalizer that writes a traceback parses, too, and a parse within a
    parse is a SystemError in CPython (https://github.com/python/cpython/issues/106905)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if collects:
            gc.enable()


def _of(tree: ast.AST, name: str) -> Iterator[dict[str, Any]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = f"{name}.{node.name}"
            text = ast.get_docstring(node)
            if text:
                yield {"id": inner, "text": text[:MAX_CHARACTERS]}
            yield from _of(node, inner)


def demo_items(count: int) -> list[dict[str, Any]]:
    """The first `count` docstrings; where the library has fewer, they begin again."""
    items = list(islice(docstrings(), count))
    return list(islice(cycle(items), count)) if items else []
