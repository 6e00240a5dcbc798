"""Runs the command as its users do: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

TIMEOUT_S = 90


class Result(NamedTuple):
    """`code`: the exit code. `out`, `err`: what came on stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """stdout as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def environ(**variables: str) -> dict[str, str]:
    """The test's environment without settings of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STREAMS_")}
    return {**kept, "COLUMNS": "100", **variables}


def streams(
    *arguments: str | Path,
    stdin: bytes = b"",
    cwd: Path | None = None,
    variables: dict[str, str] | None = None,
) -> Result:
    """`streams ARGUMENTS`, from its start to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "streams", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        cwd=cwd,
        env=environ(**(variables or {})),
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def started(*arguments: str | Path, **keywords: Any) -> subprocess.Popen[bytes]:
    """The same, left running; stdout and stderr are pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "streams", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
        **keywords,
    )
