"""`streams replay` under `kill -9`: whether all is there, in order, once, and what is paid twice.

    python -m benchmarks.replay_kills [--mode live|batch] [--items N] [--kills N] [--seed N]
                                      [--broker HOST:PORT] [--json]

A run is killed at random, N times, and each time another process goes on with `--resume`. The
outcomes are judged from the topics alone, the calls from the simulator's journal (it is a process
of its own).

live: 20 items a call, four calls of 250 ms in flight. An item that is asked about after a kill and
whose answer had left the API before it counts as paid again, although some answers were still on
their way to the process.

batch: as `map_batch_kills`, 2 items a request, among requests that are errored (3 %), expire (2 %)
or miss one of two answers (2 %), shuffled results and a stream that is cut. The first kill comes
when the API has the first batch. What it costs is compared with a live run without faults or kills.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.batch_api import simulator
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.replays import Place, outcomes, place, positions, started, state_of, until
from streams.jobs.judge import Verdict, judge

ITEMS = 20_000
PARTITIONS = 4
LIVE_KILLS, BATCH_KILLS = 5, 8
MAX_ITEMS, MAX_IN_FLIGHT, LATENCY_MS = 20, 4, 250.0
BATCH_ITEMS, BATCH_MS = 2, 30_000.0
WITHIN_S = 1_200.0
LIFE_S = (0.2, 8.0)
"""Of a process in batch mode, from when it has found its run."""

FAULTS = [
    {"fault": "overloaded", "endpoint": "batch_request", "every": 33},
    {"fault": "expired", "endpoint": "batch_request", "every": 50},
    {"fault": "missing", "endpoint": "batch_request", "every": 50},
    {"fault": "truncated_body", "endpoint": "batch_results", "times": 1},
]


# -- live mode -------------------------------------------------------------------------------------


async def live(made: Topics, directory: Path, items: int, kills: int, random: Random) -> Report:
    ledger = directory / "requests.jsonl"
    with simulator("--latency-ms", str(LATENCY_MS), "--ledger", str(ledger)) as (url, _):
        limits = {"max_items": MAX_ITEMS, "max_in_flight": MAX_IN_FLIGHT}
        where = await place(made, directory, url, items, PARTITIONS, **limits)
        at, run, summary = await killed_live(where, url, items // MAX_ITEMS, kills, random)
    verdict = judge(positions(items, PARTITIONS), await outcomes(where, run))
    requests = [json.loads(line) for line in ledger.read_text().splitlines()]
    again = [paid_again(requests, kill) for kill in at]
    asked = sum(len(each["items"]) for each in requests)
    say(f"replay  live: {verdict}, paid again {again}, {asked - items:,} asked twice")
    bars = [
        *judged("replay, live", verdict, len(at), kills),
        Bar("replay, live: answered items paid again", sum(again), "at most", MAX_ITEMS * kills),
        Bar(
            "replay, live: items of calls in flight at a kill",
            asked - items - sum(again),
            "at most",
            MAX_ITEMS * MAX_IN_FLIGHT * kills,
        ),
    ]
    figures = {"items": items, "paid_again": again, "asked": asked, "summary": summary}
    rows = [
        ("", "items", "kills", "lost", "twice", "out of order", "paid again", "in flight"),
        (
            "live, kill -9", f"{items:,}", f"{len(at)}", *map(str, verdict),
            str(again), f"{asked - items - sum(again)}",
        ),
    ]  # fmt: skip
    return Report("replay under kill -9, live", bars, figures, rows)


async def killed_live(
    where: Place, url: str, calls: int, kills: int, random: Random
) -> tuple[list[float], str, dict[str, Any]]:
    """When it was killed, its run, and the summary of the end."""
    process = await started(where, "--from", "earliest")
    run = await process.run()
    at: list[float] = []
    for share in sorted(random.uniform(0.02, 0.9) for _ in range(kills)):
        before = state_of(url)["requests"]
        due = max(before + 1, int(share * calls))  # each process has made a call
        await until(lambda due=due: state_of(url)["requests"] >= due, process, WITHIN_S)  # type: ignore[misc]
        await asyncio.sleep(random.uniform(0, 0.3))
        if (kill := await process.kill()) is not None:
            at.append(kill)
            say(f"replay  live: kill {len(at)} after {state_of(url)['requests']} calls")
        process = await started(where, "--resume", run)
    return at, run, await process.ended(WITHIN_S)


def paid_again(requests: Sequence[Mapping[str, Any]], kill: float) -> int:
    """How many items were asked about after the kill whose answer the API had sent before."""
    answered = {
        item
        for each in requests
        if each["ended_at"] <= kill and each["status"] == 200
        for item in each["items"]
    }
    later = [each for each in requests if each["arrived_at"] > kill]
    return sum(item in answered for each in later for item in each["items"])


def judged(name: str, verdict: Verdict, made: int, kills: int) -> list[Bar]:
    return [
        Bar(f"{name}: kills", made, "at least", kills),
        Bar(f"{name}: items lost", verdict.lost, "at most", 0),
        Bar(f"{name}: outcomes twice", verdict.duplicated, "at most", 0),
        Bar(f"{name}: out of order", verdict.out_of_order, "at most", 0),
    ]


# -- batch mode ------------------------------------------------------------------------------------


async def batch(made: Topics, directory: Path, items: int, kills: int, random: Random) -> Report:
    script = directory / "script.json"
    script.write_text(json.dumps(FAULTS))
    options = ("--latency-ms", "0", "--batch-ms", str(BATCH_MS))
    limits = {"max_items": BATCH_ITEMS, "max_in_flight": MAX_IN_FLIGHT}
    with ExitStack() as stack:
        url, _ = stack.enter_context(simulator(*options, "--script", str(script)))
        where = await place(made, directory, url, items, PARTITIONS, **limits)
        count, run, summary = await killed_batch(where, url, kills, random)
        found = state_of(url)
    with simulator("--latency-ms", "0") as (url, _):
        there = {"STREAMS_PROVIDER__ANTHROPIC__BASE_URL": url}
        process = await started(where, "--from", "earliest", **there)
        await process.ended(WITHIN_S)
        price = state_of(url)["cost_usd"]
    verdict = judge(positions(items, PARTITIONS), await outcomes(where, run))
    batches = found["batches"]
    twice = max(
        batches["custom_ids_answered_more_than_once"], batches["params_answered_more_than_once"]
    )
    ratio = found["cost_usd"] / price
    say(f"replay  batch: {verdict}, {twice} answered twice, cost {ratio:.3f} of live")
    bars = [
        *judged("replay, batch", verdict, count, kills),
        Bar("replay, batch: requests answered twice", twice, "at most", 0),
        Bar("replay, batch: cost, of live mode's", ratio, "at most", 0.51),
    ]
    figures = {"items": items, "batches": batches, "ratio": ratio, "summary": summary}
    rows = [
        ("", "items", "kills", "lost", "twice", "out of order", "batches", "paid twice", "cost"),
        (
            "batch, kill -9", f"{items:,}", f"{count}", *map(str, verdict),
            str(batches["created"]), f"{twice}", f"{ratio:.3f}",
        ),
    ]  # fmt: skip
    return Report("replay under kill -9, batch", bars, figures, rows)


async def killed_batch(
    where: Place, url: str, kills: int, random: Random
) -> tuple[int, str, dict[str, Any]]:
    """How often it was killed, its run, and the summary of the end."""
    process = await started(where, "--from", "earliest", "--mode", "batch")
    run = await process.run()
    await until(lambda: state_of(url)["batches"]["created"] > 0, process, WITHIN_S)
    made = 0
    for _ in range(kills):
        if await process.kill() is None:
            break
        made += 1
        say(f"replay  batch: kill {made}, {state_of(url)['batches']['created']} batches")
        process = await started(where, "--resume", run)
        await process.run()
        await asyncio.sleep(random.uniform(*LIFE_S))
    return made, run, await process.ended(WITHIN_S)


async def measure(server: str, mode: str, items: int, kills: int | None, seed: int) -> Report:
    random = Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        async with topics(server) as made:
            if mode == "live":
                return await live(made, Path(directory), items, kills or LIVE_KILLS, random)
            return await batch(made, Path(directory), items, kills or BATCH_KILLS, random)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--mode", choices=["live", "batch"], default="live")
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--kills", type=int, help=f"default: {LIVE_KILLS}, batch {BATCH_KILLS}")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**9))
    given = parser.parse_args()
    say(f"replay  seed {given.seed}")
    with broker(given.broker) as (server, name):
        report = asyncio.run(measure(server, given.mode, given.items, given.kills, given.seed))
    return conclude([report], name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
