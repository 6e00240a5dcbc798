"""What a kill costs: items that are paid for again, with the call ledger and without it.

    python -m benchmarks.ledger [--broker HOST:PORT] [--kills N] [--seed N] [--json]

A worker (N = 20, C = 5, calls of about 200 ms, one in twenty of 2 s) is killed with SIGKILL at a
moment by chance, a second or a few after its calls have begun, and started again, so many times.
Its function writes down each call as it begins and when it has its answer; a last worker runs until
it is past everything that had begun before. Counted is, from what was written down alone:

answered  items whose answer a killed worker had, and that a later one called again
in flight items of calls that a kill cut off, and that were called again: nobody can know of them
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import START_WITHIN_S, worker
from benchmarks.ground import Topics, arguments, broker, topics

PARTITIONS = 4
MAX_ITEMS, MAX_IN_FLIGHT, LATENCY_S = 20, 5, 0.2
KILLS = 20
LIFE_S = (1.0, 4.0)
"""From a life's first call to its end."""

ITEMS_PER_KILL = int(MAX_ITEMS * MAX_IN_FLIGHT / LATENCY_S * LIFE_S[1])
LAST_WITHIN_S = 120.0

Place = str
"""partition/offset"""


class Life(NamedTuple):
    """The items that one worker's calls began with, and those that were answered."""

    begun: set[Place]
    answered: set[Place]


class Costs(NamedTuple):
    """Items paid for again, by the life in which they were; the first has none."""

    answered: list[int]
    in_flight: list[int]


def read(path: Path) -> Life:
    life = Life(set(), set())
    for line in path.read_text().splitlines() if path.exists() else []:
        what, *places = line.split()
        (life.begun if what == "begun" else life.answered).update(places)
    return life


def costs(lives: list[Life]) -> Costs:
    begun: set[Place] = set()
    answered: set[Place] = set()
    counted = Costs([], [])
    for life in lives:
        again = life.begun & begun
        counted.answered.append(len(again & answered))
        counted.in_flight.append(len(again - answered))
        begun |= life.begun
        answered |= life.answered
    return counted


async def live(
    environ: Mapping[str, str], path: Path, enough: Callable[[float], bool], within_s: float
) -> Life:
    """Run a worker until `enough(seconds since its first call)`, and kill it."""
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.programs.paying",
            env={**os.environ, **environ, "BENCH_CALLS": str(path)},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        began, first = time.monotonic(), 0.0
        try:
            while not first or not enough(time.monotonic() - first):
                await asyncio.sleep(0.01)
                now = time.monotonic()
                if not first and read(path).begun:
                    first = now
                if process.returncode is not None or now - (first or began) > within_s:
                    said.seek(0)
                    sys.stderr.write(said.read().decode(errors="replace"))
                    raise RuntimeError(f"the worker: {process.returncode or 'too slow'}")
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
    return read(path)


async def lives(
    made: Topics, directory: Path, kills: int, chance: random.Random, *, ledger: bool
) -> list[Life]:
    source, sink = await made.make(PARTITIONS), await made.make(PARTITIONS)
    await made.fill(source, ITEMS_PER_KILL * (kills + 4))
    task: dict[str, Any] = {
        "latency_s": LATENCY_S,
        "max_items": MAX_ITEMS,
        "max_in_flight": MAX_IN_FLIGHT,
        "max_wait_ms": 50,
    }
    environ = worker(directory, made.server, source, sink, **task)
    environ["STREAMS_KAFKA__SESSION_TIMEOUT_S"] = "6"
    environ["STREAMS_WORKER__LEDGER"] = str(ledger).lower()
    name = "with" if ledger else "without"
    found: list[Life] = []
    for kill in range(kills):
        lasts_s = chance.uniform(*LIFE_S)
        path = directory / f"{name}-{kill}"
        found.append(
            await live(environ, path, lambda s, lasts_s=lasts_s: s >= lasts_s, START_WITHIN_S)  # type: ignore[misc]
        )
        say(f"ledger  {name:8} kill {kill + 1:2}: {len(found[-1].answered):5} items were answered")
    before = {place for life in found for place in life.begun}
    last = directory / f"{name}-last"
    found.append(await live(environ, last, lambda _: beyond(read(last), before), LAST_WITHIN_S))
    for topic in (source, sink):
        await made.delete(topic)
    return found


def beyond(life: Life, before: set[Place]) -> bool:
    """Whether calls of this life have begun that are past all that had begun before."""
    return all(_ends(life.begun).get(n, -1) > end for n, end in _ends(before).items())


def _ends(places: set[Place]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for place in places:
        partition, offset = map(int, place.split("/"))
        ends[partition] = max(ends.get(partition, -1), offset)
    return ends


async def measure(server: str, kills: int = KILLS, seed: int | None = None) -> Report:
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    say(f"ledger  seed {seed}")
    found: dict[str, Costs] = {}
    async with topics(server) as made:
        with tempfile.TemporaryDirectory() as directory:
            for name, ledger in (("with the ledger", True), ("without", False)):
                chance = random.Random(seed)
                found[name] = costs(
                    await lives(made, Path(directory), kills, chance, ledger=ledger)
                )
    rows = [("items paid for again", "answered a kill", "most", "in flight a kill", "most")]
    for name, cost in found.items():
        rows.append(
            (
                name,
                f"{sum(cost.answered) / kills:.1f}",
                f"{max(cost.answered)}",
                f"{sum(cost.in_flight) / kills:.1f}",
                f"{max(cost.in_flight)}",
            )
        )
    with_it = found["with the ledger"]
    bars = [
        Bar(
            f"answered items paid again a kill, with the ledger, {kills} kills",
            sum(with_it.answered) / kills,
            "at most",
            MAX_ITEMS,
        ),
        Bar(
            "items in flight paid again, the most at a kill",
            max(with_it.in_flight),
            "at most",
            MAX_ITEMS * MAX_IN_FLIGHT,
        ),
    ]
    figures = {name: cost._asdict() for name, cost in found.items()}
    return Report("ledger", bars, {"kills": kills, "seed": seed, **figures}, rows)  # type: ignore[arg-type]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server, given.kills, given.seed))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
