"""A budget of $0.10 for four workers that are killed and started again: what is spent in the end.

    python -m benchmarks.budget_kills [--broker HOST:PORT] [--budget USD] [--kills N] [--seed N]
                                      [--json]

12 partitions, N = 20, C = 5 in each worker, calls of about a second, an unlimited backlog. Workers
are killed with SIGKILL at random moments while the budget is being spent, each replaced at once,
and in between one stops in order and another starts. It ends when nothing was called for a while
and every worker stands still. The judge is the simulator's journal, which counts calls of killed
workers too; what the workers themselves have counted is read from the group's budget topic.

Bars: what the journal has is no more than the budget and one call. What the topic has comes within
one call of the budget, so the workers stopped because it was spent. What lies between the two was
claimed by workers when they were killed: the API may have been asked for it, so it stays spent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.batch_api import simulator
from benchmarks.contender import worker
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.group import STOP_WITHIN_S, Group, group
from benchmarks.replays import state_of
from streams.codec.budget_records import decode_budget

BUDGET_USD, KILLS, WORKERS, PARTITIONS = 0.10, 8, 4, 12
ITEMS = 40_000
MAX_ITEMS, MAX_IN_FLIGHT, LATENCY_MS = 20, 5, 1_000.0
KILL_FROM, KILL_TO = 0.05, 0.9
"""Of the budget: when the kills come."""

QUIET_S = 25.0
"""Nothing is called for so long: all have stopped. A rebalance after a kill takes less."""

WITHIN_S = 300.0


async def killed(workers: Group, url: str, budget: float, kills: int, random: Random) -> int:
    """Kills at random shares of the budget; how many there were."""
    made = 0
    shares = sorted(random.uniform(KILL_FROM, KILL_TO) for _ in range(kills))
    until = time.monotonic() + WITHIN_S
    for number, share in enumerate(shares):
        while state_of(url)["cost_usd"] < share * budget:
            if time.monotonic() > until:
                return made
            await asyncio.sleep(0.02)
        await asyncio.sleep(random.uniform(0, 0.3))
        await workers.kill_one()
        made += 1
        say(f"budget  kill {made} at ${state_of(url)['cost_usd']:.5f}")
        if number == kills // 2:
            await stop_one(workers)
    return made


async def stop_one(workers: Group) -> None:
    """The oldest stops in order, and another starts. Raises RuntimeError if it does not."""
    process = workers.running.pop(0)
    process.terminate()
    if code := await asyncio.wait_for(process.wait(), STOP_WITHIN_S):
        raise RuntimeError(f"a worker stopped with {code}")
    await workers.start()


async def stopped(url: str) -> dict[str, Any]:
    """The simulator's counts when nothing is called any more."""
    until, quiet_since, before = time.monotonic() + WITHIN_S, time.monotonic(), -1
    while time.monotonic() - quiet_since < QUIET_S:
        if time.monotonic() > until:
            raise RuntimeError("calls do not stop")
        found = state_of(url)
        if found["requests"] != before:
            before, quiet_since = found["requests"], time.monotonic()
        await asyncio.sleep(0.1)
    return state_of(url)


async def claimed(server: str, topic: str) -> tuple[int, int]:
    """Nano-dollars that all workers have claimed in all, and how many records say so."""
    where, latest, count = TopicPartition(topic, 0), {}, 0
    async with AIOKafkaConsumer(bootstrap_servers=server) as consumer:
        consumer.assign([where])
        await consumer.seek_to_beginning()
        end = (await consumer.end_offsets([where]))[where]
        while await consumer.position(where) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    found = decode_budget(record.key, record.value)
                    assert found is not None
                    latest[found.worker] = found.claim.spending["total"].nano_usd
                    count += 1
    return sum(latest.values()), count


async def measure(server: str, budget: float, kills: int, seed: int) -> Report:
    random = Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        ledger = Path(directory) / "requests.jsonl"
        async with topics(server) as made:
            with simulator(
                "--latency-ms", str(LATENCY_MS), "--seed", str(seed), "--ledger", str(ledger)
            ) as (url, _):
                counts, name = await spend(made, Path(directory), url, budget, kills, random)
            requests = [json.loads(line) for line in ledger.read_text().splitlines()]
            nano, records = await claimed(server, name)
    dearest = max(each["cost_nano_usd"] for each in requests) / 1e9
    return report(budget, counts, nano / 1e9, records, dearest)


async def spend(
    made: Topics, directory: Path, url: str, budget: float, kills: int, random: Random
) -> tuple[dict[str, Any], str]:
    """The simulator's counts at the end with the kills, and the name of the budget topic."""
    source, sink = await made.make(PARTITIONS), await made.make(PARTITIONS)
    await made.fill(source, ITEMS)
    environ = worker(
        directory, made.server, source, sink,
        operation="classify", labels=["positive", "negative", "neutral"], base_url=url,
        max_items=MAX_ITEMS, max_in_flight=MAX_IN_FLIGHT,
    )  # fmt: skip
    identity = f"bench-budget-{sink}"
    environ |= {
        "STREAMS_WORKER__ID": identity,
        "STREAMS_KAFKA__SESSION_TIMEOUT_S": "6",
        "STREAMS_WORKER__CONFIRM_ITEMS": "1000000",
        "STREAMS_TASK__FUNCTION__LIMITS__BUDGET_USD": str(budget),
    }
    async with group(environ, WORKERS) as workers:
        count = await killed(workers, url, budget, kills, random)
        found = await stopped(url)
    return {**found, "kills": count}, f"{identity}.budget"


def report(
    budget: float, counts: dict[str, Any], claimed_usd: float, records: int, dearest: float
) -> Report:
    spent, calls, kills = counts["cost_usd"], counts["requests"], counts["kills"]
    say(f"budget  ${spent:.6f} of ${budget}, ${claimed_usd:.6f} by the topic, {records} records")
    lost = (claimed_usd - spent) / dearest / max(1, kills)
    bars = [
        Bar("a budget, kills", kills, "at least", KILLS),
        Bar("a budget, spent beyond it, in calls", (spent - budget) / dearest, "at most", 1),
        Bar(
            "a budget, left when all stop, in calls", (budget - claimed_usd) / dearest, "at most", 1
        ),
        Bar("a budget, lost with each kill, in calls", lost, "at most", MAX_IN_FLIGHT),
    ]
    figures = {"spent_usd": spent, "claimed_usd": claimed_usd, "calls": calls, "records": records,
               "dearest_call_usd": dearest, "kills": kills}  # fmt: skip
    rows = [
        ("", "spent", "by the topic", "calls", "records", "kills", "lost with a kill, calls"),
        (
            f"${budget} for {WORKERS} workers", f"${spent:.5f}", f"${claimed_usd:.5f}",
            f"{calls}", f"{records}", f"{kills}", f"{lost:.1f}",
        ),
    ]  # fmt: skip
    return Report("a budget under kill -9", bars, figures, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--budget", type=float, default=BUDGET_USD)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**9))
    given = parser.parse_args()
    say(f"budget  seed {given.seed}")
    with broker(given.broker) as (server, name):
        report = asyncio.run(measure(server, given.budget, given.kills, given.seed))
    return conclude([report], name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
