"""Runs the command as its users do: a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from tests import forked

TIMEOUT_S = 180
PIPE_HOLDS = 60_000


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
    reading, writing = os.pipe()
    with TemporaryFile() as out, TemporaryFile() as err, open(reading) as given:
        with open(writing, "wb") as ours:
            assert len(stdin) < PIPE_HOLDS, "give it a file"
            ours.write(stdin)
        process = forked.started(
            "streams",
            *map(str, arguments),
            stdin=given,
            stdout=out,
            stderr=err,
            cwd=cwd,
            env=environ(**(variables or {})),
        )
        try:
            code = process.wait(TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        err.seek(0)
        return Result(code, out.read().decode(), err.read().decode())


def started(*arguments: str | Path, **keywords: Any) -> Any:
    """The same, left running; stdout and stderr are pipes."""
    pipes = {"stdout": forked.PIPE, "stderr": forked.PIPE}
    return forked.started("streams", *map(str, arguments), env=environ(), **pipes, **keywords)
