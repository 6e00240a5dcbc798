"""`streams map --mode batch` at its worst: what it pays twice, and whether the output is complete.

    python -m benchmarks.map_batch_kills [--rows N] [--kills N] [--seed N] [--json]

A CSV of N rows in batches of 3 rows a request, of which 3 % are errored, 2 % expire, 1 % of the
answers are incomplete, results are shuffled and cut once, and the answer of the first creation
comes late. The run is killed at random, N times, the first time between the creation of a batch and
its record, and goes on with `--resume`. Then its output is compared with that of live mode, byte
for byte. The simulator's journal says whether any request was answered twice.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.bars import Bar, Report, say
from benchmarks.batch_api import simulator
from benchmarks.map_kills import WITHIN_S, finish, launched, program, start, write_rows

ROWS, KILLS = 20_000, 8
BATCH_MS = 4_000
IN_BATCHES = ("--mode", "batch", "--max-items", "3", "--resume")
RULES = [
    {"fault": "overloaded", "endpoint": "batch_request", "probability": 0.03},
    {"fault": "expired", "endpoint": "batch_request", "probability": 0.02},
    {"fault": "missing", "endpoint": "batch_request", "probability": 0.01},
    {"fault": "truncated_body", "endpoint": "batch_results", "calls": 1},
    {"fault": "delay", "endpoint": "batches", "method": "POST", "calls": 1, "delay_ms": 60_000},
]


class Outcome(NamedTuple):
    """`same`: the output is that of live mode. `ratio`: of the cost to that of live mode.
    `batches`: created. `twice`: requests that were answered twice, by their ids or their params."""

    same: bool
    kills: int
    ratio: float
    batches: int
    twice: int
    summary: dict[str, Any]


def state_of(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/simulator/state", timeout=60) as reply:
        found: dict[str, Any] = json.loads(reply.read())
        return found


def kill_when(process: Any, due: Callable[[], bool]) -> bool:
    """False: it ended before."""
    deadline = time.monotonic() + WITHIN_S
    while not due() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return bool(process.wait() != 0)


def killed(source: Path, out: Path, url: str, kills: int, random: Random) -> tuple[int, Any]:
    """How often it was killed, and the summary of the run that ended."""
    for number in range(kills):
        process = start(launched, source, out, url, *IN_BATCHES)
        at = time.monotonic() + random.uniform(0.5, 9.0)
        if number == 0:
            was_killed = kill_when(process, lambda: state_of(url)["batches"]["created"] > 0)
        else:
            was_killed = kill_when(process, lambda at=at: time.monotonic() >= at)  # type: ignore[misc]
        if not was_killed:
            say(f"map  it was quicker than kill {number + 1}")
            return number, {}
        say(f"map  kill {number + 1}")
    return kills, finish(start(launched, source, out, url, *IN_BATCHES))


def run(directory: Path, rows: int, kills: int, random: Random) -> Outcome:
    source, live, out = directory / "rows.csv", directory / "live.csv", directory / "out.csv"
    script = directory / "script.json"
    script.write_text(json.dumps(RULES))
    write_rows(source, rows)
    with simulator("--latency-ms", "0") as (url, _):
        finish(start(launched, source, live, url, "--max-items", "3"))
        price = state_of(url)["cost_usd"]
    options = ("--latency-ms", "0", "--batch-ms", str(BATCH_MS), "--script", str(script))
    with simulator(*options) as (url, _):
        made, summary = killed(source, out, url, kills, random)
        found = state_of(url)
    batches = found["batches"]
    twice = max(
        batches["custom_ids_answered_more_than_once"], batches["params_answered_more_than_once"]
    )
    return Outcome(
        same=out.read_bytes() == live.read_bytes() and not list(directory.glob("out.csv.*")),
        kills=made,
        ratio=found["cost_usd"] / price,
        batches=batches["created"],
        twice=twice,
        summary=summary,
    )


def measure(rows: int, kills: int, seed: int) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        found = run(Path(directory), rows, kills, Random(seed))
    bars = [
        Bar("map in batches: the output is live mode's", float(found.same), "at least", 1),
        Bar("map in batches: kills", found.kills, "at least", kills),
        Bar("map in batches: requests answered twice", found.twice, "at most", 0),
        Bar("map in batches: cost, of live mode's", found.ratio, "at most", 0.51),
    ]
    table = [
        ("", "rows", "kills", "batches", "answered twice", "cost", "same output"),
        (
            "kill -9 and --resume", f"{rows:,}", f"{found.kills}", f"{found.batches}",
            f"{found.twice}", f"{found.ratio:.3f}", "yes" if found.same else "NO",
        ),
    ]  # fmt: skip
    figures = {"rows": rows, "seed": seed, "summary": found.summary}
    return Report("map in batches under kill -9", bars, figures, table)


if __name__ == "__main__":
    sys.exit(program(__doc__, measure, ROWS, KILLS))
