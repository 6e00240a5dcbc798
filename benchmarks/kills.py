"""Three workers of which one is killed every 20 seconds, beside the same without kills.

    python -m benchmarks.kills [--broker HOST:PORT] [--items N] [--guarantee NAME] [--json]

12 partitions, a function that sleeps for L = 200 ms, N = 20, C = 5, a session of 6 s. `kill -9`,
and a new worker at once, as a supervisor starts it. Two figures: how long all items take with kills
over how long without; and how long after a kill until each partition has a new result again (those
of the victim are the last).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import worker
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.group import Looking, group

PARTITIONS = 12
WORKERS = 3
SESSION_S = 6
KILL_EVERY_S = 20.0
KILLS_UNTIL = 0.85
"""Of the items: a partition without items left would never move again."""

LOOK_S = 0.1
WITHIN_S = 900.0


async def one(
    made: Topics, source: str, items: int, guarantee: str, *, kills: bool
) -> tuple[float, list[float]]:
    """Seconds from the first commit to the last, and for each kill the seconds until the last
    partition had a new result."""
    sink = await made.make(PARTITIONS)
    moved: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        environ = worker(
            Path(directory), made.server, source, sink,
            latency_s=0.2, max_items=20, max_in_flight=5, max_wait_ms=50,
        )  # fmt: skip
        group_id = f"bench-kills-{sink}"
        environ |= {
            "STREAMS_WORKER__ID": group_id,
            "STREAMS_WORKER__GUARANTEE": guarantee,
            "STREAMS_KAFKA__SESSION_TIMEOUT_S": str(SESSION_S),
        }
        async with (
            group(environ, WORKERS) as workers,
            Looking(made.server, group_id, source, sink, PARTITIONS) as looks,
        ):
            began: float | None = None
            next_kill = 0.0
            while (done := await looks.committed()) < items:
                now = time.monotonic()
                if began is None:
                    if done:
                        began, next_kill = now, now + KILL_EVERY_S
                elif now - began > WITHIN_S:
                    raise RuntimeError(f"{done} of {items} items after {WITHIN_S:g} s")
                elif kills and now >= next_kill and done < items * KILLS_UNTIL:
                    next_kill += KILL_EVERY_S
                    await workers.kill_one()
                    moved.append(await until_all_move(looks))
                    say(f"kills  kill {len(moved)}: all move again after {moved[-1]:.1f} s")
                await asyncio.sleep(LOOK_S)
            assert began is not None
            took = time.monotonic() - began
    await made.delete(sink)
    return took, moved


async def until_all_move(looks: Looking) -> float:
    """Seconds until each partition of the sink has more than just after the kill; at most until the
    next kill."""
    killed_at = time.monotonic()
    await asyncio.sleep(0.3)  # what was on the wire has arrived
    before = await looks.ends()
    waiting, last = set(before), 0.0
    while waiting:
        now = await looks.ends()
        done = {place for place in waiting if now[place] > before[place]}
        if done:
            last = time.monotonic() - killed_at
        waiting -= done
        if waiting and time.monotonic() - killed_at > KILL_EVERY_S - 1:
            return time.monotonic() - killed_at
        await asyncio.sleep(0.05)
    return last


async def measure(server: str, items: int = 200_000, guarantee: str = "at_least_once") -> Report:
    async with topics(server) as made:
        source = await made.make(PARTITIONS)
        await made.fill(source, items)
        without, _ = await one(made, source, items, guarantee, kills=False)
        say(f"kills  {guarantee}: {items:,} items without a kill in {without:.1f} s")
        with_kills, moved = await one(made, source, items, guarantee, kills=True)
    ratio, slowest = with_kills / without, max(moved, default=0.0)
    say(f"kills  {guarantee}: with {len(moved)} kills in {with_kills:.1f} s, {ratio:.2f} of it")
    bars = [
        Bar(f"{guarantee}: kills", len(moved), "at least", 5),
        Bar(f"{guarantee}: time with kills / without", ratio, "at most", 1.5),
        Bar(f"{guarantee}: a kill's partitions move", slowest, "at most", SESSION_S + 3, "s"),
    ]
    rows = [
        ("", "seconds", "items/s", "kills", "slowest s"),
        (f"{guarantee}, no kills", f"{without:.1f}", f"{items / without:,.0f}", "", ""),
        (
            f"{guarantee}, kill -9 every 20 s", f"{with_kills:.1f}", f"{items / with_kills:,.0f}",
            f"{len(moved)}", f"{slowest:.1f}",
        ),
    ]  # fmt: skip
    figures = {"without_s": without, "with_s": with_kills, "moved_after_s": moved, "items": items}
    return Report(f"kills, {guarantee}", bars, figures, rows)  # type: ignore[arg-type]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--guarantee", default="at_least_once")
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server, given.items, given.guarantee))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
