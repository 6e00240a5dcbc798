"""Runs an example as its reader does: `python examples/NAME.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.simulated import Simulated

EXAMPLES = Path(__file__).parents[2] / "examples"
END_WITHIN_S = 120


def environ(api: Simulated, **variables: str) -> dict[str, str]:
    """What a program needs to find the simulator instead of both APIs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    return {**clean, **api.variables, **variables}


def ran(name: str, *arguments: str, api: Simulated, cwd: Path) -> tuple[list[str], str]:
    """The lines that the example printed on stdout, and its stderr."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        env=environ(api), cwd=cwd, capture_output=True, text=True, timeout=END_WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


@contextmanager
def running(name: str, *, api: Simulated, cwd: Path, **variables: str) -> Iterator[Any]:
    """The example, left running until the block ends; its stderr is a pipe."""
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / f"{name}.py"],
        env=environ(api, **variables), cwd=cwd, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
