"""Runs `streams map` as its users do, against a simulator of its own process."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests import forked
from tests.cli.command import TIMEOUT_S, Result, environ, streams

LABELS = "positive,negative,neutral"


class Api(NamedTuple):
    """`variables`: what a command needs to find it. `ledger`: a JSON line for each request."""

    variables: dict[str, str]
    ledger: Path

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ledger.read_text().splitlines()]

    @property
    def asked(self) -> int:
        """The rows of all requests."""
        return sum(len(request["items"]) for request in self.requests)

    def until_idle(self) -> None:
        """Until every request has ended: it is in the ledger from then on."""
        url = self.variables["STREAMS_PROVIDER__ANTHROPIC__BASE_URL"]
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            with urllib.request.urlopen(f"{url}/simulator/state", timeout=TIMEOUT_S) as reply:
                if json.loads(reply.read())["open"] == 0:
                    return
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextmanager
def simulated_api(directory: Path, *options: str) -> Iterator[Api]:
    ledger = directory / "requests.jsonl"
    arguments = ("--latency-ms", "0", "--answers", "hash", "--ledger", str(ledger), *options)
    with forked.running("streams.simulator", *arguments, stdout=forked.PIPE) as process:
        urls = json.loads(process.stdout.readline())
        variables = {
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "VOYAGE_API_KEY": "pa-test",
            "STREAMS_PROVIDER__ANTHROPIC__BASE_URL": urls["anthropic_base_url"],
            "STREAMS_PROVIDER__VOYAGE__BASE_URL": urls["voyage_base_url"],
        }
        ledger.touch()
        yield Api(variables, ledger)
        process.stdout.close()


def mapped(api: Api, *arguments: str | Path, **keywords: Any) -> Result:
    """`streams map ARGUMENTS` against this API."""
    return streams("map", *arguments, variables=api.variables, cwd=api.ledger.parent, **keywords)


def labelled(api: Api, *arguments: str | Path, **keywords: Any) -> Result:
    """The same, with a question that needs no more."""
    return mapped(api, *arguments, "--labels", LABELS, **keywords)


def stopped_in_the_middle(
    api: Api, *arguments: str | Path, out: str, signal_number: int, answers: int = 1
) -> Result:
    """The same, left by a signal once its journal holds so many answers. What it was asking for has
    ended, too."""
    journal = api.ledger.parent / f"{out}.journal"
    pipes = {"stdout": forked.PIPE, "stderr": forked.PIPE}
    with forked.running(
        "streams", "map", *map(str, arguments), "--out", out,
        env=environ(**api.variables), cwd=api.ledger.parent, **pipes,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + TIMEOUT_S
        while not journal.exists() or journal.read_bytes().count(b"\n") <= answers:
            assert process.poll() is None, "it ended before"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal_number)
        written, told = process.communicate(TIMEOUT_S)
        code = process.wait(TIMEOUT_S)
    api.until_idle()
    return Result(code, written.decode(), told.decode())
