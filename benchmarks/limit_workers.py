"""Four workers under one limit of an API: how much of it they use, and after one is killed.

    python -m benchmarks.limit_workers [--broker HOST:PORT] [--seconds N] [--silent] [--json]

12 partitions with a backlog, short text, N = 5; the simulator allows 1,000 requests a minute, 5 s
of burst, calls of 0.6 to 1.4 s; a session of 6 s. First one worker alone, then four. After
`--seconds` (60) of steady work one of the four is killed with SIGKILL, and nobody takes its place.
Every figure comes from the simulator's journal.

The workers are told nothing of the limit: the API's headers say it. With `--silent` they do not,
and the limit is configured: only the workers' own words tell what others use.

Bars: the four use 97 % of the limit and are refused no more than the one; 15 s after the kill they
use it again. What is used after a kill is the mean of the ten seconds that follow.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import worker
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.group import Group, group
from benchmarks.limited_calls import (
    LABELS,
    LIMITS,
    PER_MINUTE,
    Api,
    Journal,
    api,
    read_journal,
)

WORKERS, PARTITIONS, MAX_ITEMS, MAX_IN_FLIGHT = 4, 12, 5, 40
START_S: Final = 45.0
"""From the first call on: all workers start, share the partitions, and then slowly the limit."""

AFTER_KILL_S: Final = 40.0
LOOK_S: Final = 10.0
CUT_OFF_S: Final = 3.0
USED, USED_WITHIN_S = 0.97, 15.0


def used(journal: Journal, start: float, end: float) -> float:
    """Of the limit."""
    return journal.used("requests", start, end) / PER_MINUTE["requests"]


def used_again_after(journal: Journal, killed_at: float) -> float:
    """Seconds from the kill until ten seconds begin in which the limit is used, a quarter of a
    second at a time; `AFTER_KILL_S` if they never do."""
    steps = int((AFTER_KILL_S - LOOK_S) * 4)
    starts = (killed_at + step / 4 for step in range(steps))
    found = next((at for at in starts if used(journal, at, at + LOOK_S) >= USED), None)
    return AFTER_KILL_S if found is None else found - killed_at


async def one(
    made: Topics, source: str, workers: int, seconds: float, *, silent: bool
) -> tuple[Journal, float]:
    """What the API saw, and when the time was over, by the journal's: of several workers one is
    killed then."""
    sink = await made.make(PARTITIONS)
    options = [*LIMITS, "--burst-s", "5", *(("--limit-headers", "none") if silent else ())]
    with tempfile.TemporaryDirectory() as directory:
        async with api(*options) as at:
            environ = environ_of(made, Path(directory), source, sink, at, silent=silent)
            async with group(environ, workers) as running:
                await at.called(START_S + seconds)
                killed = time.time()
                if workers > 1:
                    await kill_one(running)
                    await asyncio.sleep(AFTER_KILL_S + CUT_OFF_S)
            journal = read_journal(at.journal)
    await made.delete(sink)
    return journal, killed - journal.began


async def kill_one(running: Group) -> None:
    """The oldest; no other takes its place."""
    victim = running.running.pop(0)
    victim.kill()
    await victim.wait()


def environ_of(
    made: Topics, directory: Path, source: str, sink: str, at: Api, *, silent: bool
) -> dict[str, str]:
    environ = worker(
        directory, made.server, source, sink,
        operation="classify", labels=list(LABELS), base_url=at.anthropic,
        max_items=MAX_ITEMS, max_in_flight=MAX_IN_FLIGHT,
    )  # fmt: skip
    environ |= {
        "STREAMS_WORKER__ID": f"bench-limit-{sink}",
        "STREAMS_WORKER__CONFIRM_ITEMS": "1000000",
        "STREAMS_KAFKA__SESSION_TIMEOUT_S": "6",
    }
    if silent:
        environ["STREAMS_TASK__FUNCTION__LIMITS__REQUESTS_PER_MINUTE"] = "1000"
    return environ


async def measure(server: str, seconds: float = 60.0, *, silent: bool = False) -> Report:
    calls = PER_MINUTE["requests"] * (START_S + seconds + AFTER_KILL_S + 60) / 60
    async with topics(server) as made:
        source = await made.make(PARTITIONS)
        await made.fill(source, int(calls * MAX_ITEMS))
        alone, _ = await one(made, source, 1, seconds, silent=silent)
        say(f"limit  one worker: {used(alone, START_S, START_S + seconds):.1%} of the limit")
        together, killed_at = await one(made, source, WORKERS, seconds, silent=silent)
    return report(alone, together, seconds, killed_at, silent=silent)


def report(
    alone: Journal, together: Journal, seconds: float, killed_at: float, *, silent: bool
) -> Report:
    end = START_S + seconds
    shares = [used(each, START_S, end) for each in (alone, together)]
    refused = [each.refused(0, end) for each in (alone, together)]
    after = used_again_after(together, killed_at)
    course = [
        round(used(together, killed_at + n, killed_at + n + 2), 2)
        for n in range(-4, int(AFTER_KILL_S), 2)
    ]
    say(f"limit  four workers: {shares[1]:.1%}; by 2 s from 4 s before the kill on: {course}")
    name = f"{WORKERS} workers{', a silent API' if silent else ''}"
    bars = [
        Bar(f"{name}: used of the limit", shares[1], "at least", USED),
        Bar(f"{name}: 429s beyond those of one", refused[1] - refused[0], "at most", 0),
        Bar(f"{name}: one killed, used again after", after, "at most", USED_WITHIN_S, "s"),
    ]
    refused_after = together.refused(end, killed_at + AFTER_KILL_S)
    rows = [
        ("", "of the limit", "429s", "used again after, s", "429s after the kill"),
        ("one worker", f"{shares[0]:.1%}", f"{refused[0]}", "", ""),
        (name, f"{shares[1]:.1%}", f"{refused[1]}", f"{after:.1f}", f"{refused_after}"),
    ]
    figures = {"used": shares, "refused": refused, "used_again_after_s": after, "course": course,
               "refused_after_kill": refused_after}  # fmt: skip
    return Report(f"one limit for {name}", bars, figures, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--silent", action="store_true", help="the limit is configured, not told")
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        made = asyncio.run(measure(server, given.seconds, silent=given.silent))
    return conclude([made], name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
