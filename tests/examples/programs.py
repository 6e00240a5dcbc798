"""Runs an example as its reader does, as a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import forked
from tests.integration.simulated import Simulated

EXAMPLES = Path(__file__).parents[2] / "examples"
END_WITHIN_S = 120


@contextmanager
def running(
    name: str, *arguments: str, api: Simulated, cwd: Path, **variables: str
) -> Iterator[Any]:
    """`python examples/NAME.py`, until the block ends; its stdout and stderr are pipes."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("STREAMS_")}
    with forked.running(
        f"examples.{name}", *arguments, cwd=cwd, env={**clean, **api.variables, **variables},
        stdout=forked.PIPE, stderr=forked.PIPE,
    ) as process:  # fmt: skip
        yield process
        process.stdout.close()
        process.stderr.close()


def ran(name: str, *arguments: str, api: Simulated, cwd: Path) -> tuple[list[str], str]:
    """The lines that the example printed on stdout, and its stderr."""
    with running(name, *arguments, api=api, cwd=cwd) as process:
        out, err = process.communicate(END_WITHIN_S)
        assert process.returncode == 0, err.decode()
        return out.decode().splitlines(), err.decode()
