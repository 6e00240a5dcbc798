"""The decorator, `Coalescer` and `map_batches` keep a program's types, under mypy strict."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("typed_callers.py")


def found(program: Path) -> tuple[dict[int, str], str]:
    """What mypy says of each line, and all of its output."""
    text, errors, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--show-error-codes", str(program)]
    )
    assert not errors, errors
    said: dict[int, str] = {}
    for line in text.splitlines():
        if match := re.match(r'.*:(\d+): note: Revealed type is "(.*)"', line):
            said[int(match[1])] = "is " + re.sub(r"[\w.]+\.(\w+)", r"\1", match[2])
        elif match := re.match(r".*:(\d+): error: .*\[([a-z-]+)\]", line):
            said[int(match[1])] = "refused: " + match[2]
    return said, text


def test_types_are_kept_and_wrong_calls_are_refused() -> None:
    lines = PROGRAM.read_text().splitlines()
    wanted = {
        number: match[1]
        for number, line in enumerate(lines, 1)
        if (match := re.search(r"  # ((?:is|refused:) .*)", line))
    }
    assert len(wanted) > 15
    said, text = found(PROGRAM)
    assert said == wanted, text
