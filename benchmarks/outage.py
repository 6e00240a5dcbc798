"""An API that is down for ten minutes, for real: run by hand.

    python -m benchmarks.outage [--minutes N] [--broker HOST:PORT] [--json]

Two workers, through the SDK to the simulator, 5 items a second all the while. For the first half of
the time nobody listens at the API's address, for the other half it answers 529 to everything; then
it is back. Counted: dead letters, what is lost, out of order or twice, and how long after its
return all that had waited is delivered.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.ground import arguments
from tests.brokers.choose import choose, start
from tests.chaos.scene import Scene
from tests.chaos.schedule import Work
from tests.chaos.simulator import simulator_process

RATE_PER_S = 5
CATCH_UP_S = 120.0
WORK = Work(partitions=4, with_api=True, latency_ms=200)


async def measure(broker: Any, minutes: float) -> Report:
    half_s = minutes * 30
    with simulator_process() as simulator:
        async with Scene(broker, WORK, simulator, "outage", stall_s=CATCH_UP_S) as scene:
            for _ in range(2):
                scene.fleet.start()
            await scene.publish(100)
            await scene.begun(100)
            simulator.stop()
            say(f"outage  nobody listens for {half_s:.0f} s")
            await scene.publish_over(int(RATE_PER_S * half_s), half_s)
            simulator.start()
            simulator.begin([{"fault": "overloaded"}])
            say(f"outage  529 for {half_s:.0f} s")
            await scene.publish_over(int(RATE_PER_S * half_s), half_s)
            waiting = len(scene.account.offered) - len(scene.account.copies)
            probes = len(simulator.ledger())
            simulator.begin([])
            scene.say("the API is back")
            back_s = scene.now()
            await scene.done()
            caught_up_s = scene.now() - back_s
            await scene.finish()
    figures = {"minutes": minutes, "waited": waiting, "probes": probes, **scene.account.figures()}
    say(f"outage  {waiting} items waited, all done {caught_up_s:.1f} s after the API was back")
    return report(figures, caught_up_s)


def report(figures: dict[str, Any], caught_up_s: float) -> Report:
    names = ("dead_letters", "lost", "out_of_order", "duplicated")
    bars = [Bar(name.replace("_", " "), figures[name], "at most", 0) for name in names]
    bars.append(Bar("all done after the API is back", caught_up_s, "at most", CATCH_UP_S, "s"))
    rows = [
        ("", "items", "waited", "529s", "caught up s"),
        (
            f"{figures['minutes']:g} minutes", f"{figures['items']}", f"{figures['waited']}",
            f"{figures['probes']}", f"{caught_up_s:.1f}",
        ),
    ]  # fmt: skip
    return Report("outage", bars, figures | {"caught_up_s": caught_up_s}, rows)  # type: ignore[arg-type]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    choice = choose(given.broker)
    broker = start(choice.kind, address=choice.address, fast_start=False)
    try:
        reports = [asyncio.run(measure(broker, given.minutes))]
    finally:
        broker.close()
    return conclude(reports, broker.description, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
