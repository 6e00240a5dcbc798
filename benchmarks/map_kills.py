"""`streams map` under `kill -9`: what it pays twice, and whether the output is the undisturbed one.

    python -m benchmarks.map_kills [--rows N] [--kills N] [--seed N] [--json]

A CSV of N rows, labelled through the Anthropic SDK by a simulator of its own process, 20 to a call,
five calls in flight. One run is left alone. The other is killed at random, N times, and goes on
with `--resume` each time. Then both outputs are compared byte for byte. What the journal held at a
kill was answered: the simulator's own journal says whether such a row was asked about again. A call
that was in flight at the kill was not answered as far as anybody knows, and is made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, NamedTuple

from benchmarks.bars import Bar, Report, conclude, say
from streams.jobs.map_file.journal_file import journal_of
from streams.jobs.map_file.map_journal import parsed
from streams.simulator.journal import item_hash

ROWS, KILLS = 20_000, 5
LATENCY_MS = 100.0
WITHIN_S = 600.0
LOOK_S = 0.01

LABELS = ("positive", "negative", "neutral")


class Kill(NamedTuple):
    """`at`: in seconds since the epoch. `answered`: the rows that the journal held."""

    at: float
    answered: frozenset[int]


def text_of(row: int) -> str:
    return f'row {row}: it "works", mostly\nand the second line says {row * 7919 % 1000}'


def write_rows(path: Path, rows: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "review", "price"])
        writer.writerows([row, text_of(row), "1.10"] for row in range(rows))


def launched(module: str, *arguments: str, **keywords: Any) -> Any:
    """`python -m module arguments`, left running."""
    return subprocess.Popen([sys.executable, "-m", module, *arguments], **keywords)


Launch = Callable[..., Any]
"""As `launched`; a test has a quicker one."""


@contextmanager
def simulator(launch: Launch, ledger: Path, latency_ms: float) -> Iterator[str]:
    """Gives its base URL; it writes a JSON line for each request into `ledger`."""
    latency = str(latency_ms)
    arguments = ("--answers", "hash", "--latency-ms", latency, "--ledger", str(ledger))
    process = launch("streams.simulator", *arguments, stdout=subprocess.PIPE)
    try:
        yield json.loads(process.stdout.readline())["anthropic_base_url"]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def start(launch: Launch, source: Path, out: Path, base_url: str, *more: str) -> Any:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("STREAMS_")}
    environ |= {
        "ANTHROPIC_API_KEY": "sk-ant-bench",
        "STREAMS_PROVIDER__ANTHROPIC__BASE_URL": base_url,
    }
    arguments = [
        "map", str(source), "--text", "review", "--labels", ",".join(LABELS),
        "--out", str(out), "--json", *more,
    ]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return launch("streams", *arguments, env=environ, cwd=source.parent, **pipes)


def finish(process: Any) -> dict[str, Any]:
    """The summary of a run that ends by itself."""
    out, err = process.communicate(timeout=WITHIN_S)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {err.decode()}")
    summary: dict[str, Any] = json.loads(out)
    return summary


def answered_in(journal: Path) -> frozenset[int]:
    """The rows whose answer a journal holds."""
    if not journal.exists():
        return frozenset()
    found = (parsed(line) for line in journal.read_bytes().splitlines(keepends=True))
    return frozenset(paid.row for paid in found if paid is not None)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def kill_at(process: Any, journal: Path, size: int) -> Kill | None:
    """Kills the run once its journal has this size; None: it ended before."""
    deadline = time.monotonic() + WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        if size_of(journal) >= size:
            process.send_signal(signal.SIGKILL)
            at = time.time()
            if process.wait() == 0:
                return None  # it was quicker
            process.communicate()
            return Kill(at, answered_in(journal))
        time.sleep(LOOK_S)
    return None


def paid_again(requests: Sequence[dict[str, Any]], kills: Sequence[Kill]) -> int:
    """How many rows were asked about that had their answer before."""
    again = 0
    for kill in kills:
        answered = {item_hash(text_of(row)) for row in kill.answered}
        for request in requests:
            if request["arrived_at"] > kill.at:
                again += sum(item in answered for item in request["items"])
    return again


class Outcome(NamedTuple):
    """`asked`: rows in all requests of the killed runs. `same`: both outputs are equal."""

    same: bool
    again: int
    kills: list[Kill]
    asked: int
    summary: dict[str, Any]


def run(
    directory: Path,
    rows: int,
    kills: int,
    random: Random,
    latency_ms: float,
    launch: Launch = launched,
) -> Outcome:
    source, alone, out = directory / "rows.csv", directory / "alone.csv", directory / "out.csv"
    ledger = directory / "requests.jsonl"
    write_rows(source, rows)
    with simulator(launch, directory / "alone.jsonl", latency_ms) as base_url:
        finish(start(launch, source, alone, base_url))
    journal = journal_of(out)
    made: list[Kill] = []
    with simulator(launch, ledger, latency_ms) as base_url:
        for share in sorted(random.uniform(0.02, 0.8) for _ in range(kills)):
            process = start(launch, source, out, base_url, "--resume")
            kill = kill_at(process, journal, int(share * rows * LINE_BYTES))
            if kill is None:
                break
            made.append(kill)
            say(f"map  kill {len(made)}: {len(kill.answered):,} rows were answered")
        else:
            process = start(launch, source, out, base_url, "--resume")
        summary = finish(process)
    requests = [json.loads(line) for line in ledger.read_text().splitlines()]
    return Outcome(
        same=out.read_bytes() == alone.read_bytes() and not journal.exists(),
        again=paid_again(requests, made),
        kills=made,
        asked=sum(len(request["items"]) for request in requests),
        summary=summary,
    )


LINE_BYTES = 78
"""About the size of a row's line in the journal."""


def measure(rows: int, kills: int, seed: int, latency_ms: float = LATENCY_MS) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        found = run(Path(directory), rows, kills, Random(seed), latency_ms)
    repeated = found.asked - rows
    bars = [
        Bar("map: the output is the undisturbed one", float(found.same), "at least", 1),
        Bar("map: kills", len(found.kills), "at least", kills),
        Bar("map: answered rows paid again", found.again, "at most", 0),
        Bar("map: rows of calls in flight at a kill", repeated, "at most", 100 * kills),
    ]
    table = [
        ("", "rows", "kills", "paid again", "in flight", "same output"),
        (
            "kill -9 and --resume", f"{rows:,}", f"{len(found.kills)}", f"{found.again}",
            f"{repeated}", "yes" if found.same else "NO",
        ),
    ]  # fmt: skip
    figures = {"rows": rows, "seed": seed, "asked": found.asked, "again": found.again}
    return Report("map under kill -9", bars, figures, table)


def program(
    document: str | None, measured: Callable[[int, int, int], Report], rows: int, kills: int
) -> int:
    """A benchmark of `streams map` under kills as a program; `measured(rows, kills, seed)`."""
    parser = argparse.ArgumentParser(description=(document or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**9))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    say(f"map  seed {given.seed}")
    report = measured(given.rows, given.kills, given.seed)
    return conclude([report], "no broker", json_alone=given.json)


if __name__ == "__main__":
    sys.exit(program(__doc__, measure, ROWS, KILLS))
