"""An API that is down, for real: what waits, what is lost, how soon all is made good.

    python -m benchmarks.outage [--minutes M] [--items N] [--broker HOST:PORT] [--json]

A worker with the Anthropic SDK and the simulator; the simulator's process is ended and its port
closed for so many minutes (10), while items go on coming, and then started again there.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.ground import arguments, broker
from tests.integration.harness import WorkerProcess, committed, create_topic, publish, verdict
from tests.integration.running import item
from tests.integration.simulated import API_KEY, classifies, simulated

PARTITIONS = 4
WITHIN_S = 60.0
"""After its return: the longest wait between two probes is 30 s."""


class Outage:
    """One run. `committed`: items that are done, as the group's offsets say."""

    def __init__(self, server: str, source: str) -> None:
        self._server = server
        self.source = source
        self.positions: list[tuple[int, int]] = []

    async def publish(self, count: int) -> None:
        first = len(self.positions)
        numbers = range(first, first + count)
        records = [(None, item(n, f"text {n}"), n % PARTITIONS) for n in numbers]
        self.positions += await publish(self._server, self.source, records)

    async def committed(self) -> int:
        offsets = await committed(self._server, f"{self.source}-group", self.source, PARTITIONS)
        return sum(offsets)

    async def all_done(self, within_s: float) -> float:
        """Seconds until every item so far is committed; RuntimeError after `within_s`."""
        began = time.monotonic()
        while await self.committed() < len(self.positions):
            if time.monotonic() - began > within_s:
                raise RuntimeError(f"{await self.committed()} of {len(self.positions)} are done")
            await asyncio.sleep(0.2)
        return time.monotonic() - began


async def measure(server: str, minutes: float, items: int) -> Report:
    run = Outage(server, f"outage-{int(time.time())}")
    await create_topic(server, run.source, PARTITIONS)
    with simulated(latency_ms=50.0) as api:
        port = urlsplit(api.url).port
        config = classifies(run.source, api, max_items=20, max_in_flight=5, max_attempts=2)
        worker = WorkerProcess(
            server,
            f"{run.source}-group",
            app=None,
            config=config,
            variables={"ANTHROPIC_API_KEY": API_KEY},
        )
        await run.publish(items)
        await run.all_done(WITHIN_S)
    say("the API is down")
    before, began = await run.committed(), time.monotonic()
    while time.monotonic() - began < minutes * 60:
        await run.publish(items)
        await asyncio.sleep(min(10.0, minutes * 6))
    meanwhile = await run.committed() - before
    with simulated(latency_ms=50.0, port=port):
        say("the API is back")
        recovery_s = await run.all_done(WITHIN_S * 5)
        code = worker.stop()
    summary, log = worker.summary, worker.log
    worker.close()
    judged, _ = await verdict(server, run.source, run.positions)
    figures = {
        "minutes": minutes,
        "items": len(run.positions),
        "calls": summary["calls"],
        "retries": summary["retries"],
        "done_meanwhile": meanwhile,
        "exit_code": code,
        "lines_logged": len(log.splitlines()),
    }
    bars = [
        Bar("lost", judged.lost, "at most", 0),
        Bar("duplicated", judged.duplicated, "at most", 0),
        Bar("out of order", judged.out_of_order, "at most", 0),
        Bar("dead letters", summary["dead_letters"], "at most", 0),
        Bar("all delivered after its return", recovery_s, "at most", WITHIN_S, "s"),
    ]
    rows = [("what", "figure"), *((name, str(value)) for name, value in figures.items())]
    return Report("an API that is down", bars, {**figures, "recovery_s": recovery_s}, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--items", type=int, default=200, help="every 10 s (200)")
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        report = asyncio.run(measure(server, given.minutes, given.items))
    return conclude([report], name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
