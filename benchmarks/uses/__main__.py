"""Every use, beside one call per item, and which bars were held: see `benchmarks.uses`.

The exit code is 1 where a bar was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable

from benchmarks.bars import Report, conclude, say
from benchmarks.uses import apis, callers, failure_table, overhead, stages
from benchmarks.uses.measure import Effort

Use = Callable[[Effort], Report | Awaitable[Report]]

USES: dict[str, Use] = {
    "classification": apis.classification,
    "embedding": apis.embedding,
    "fifty-callers": callers.fifty,
    "steady-callers": callers.steady,
    "callers-at-once": callers.at_once,
    "idle": callers.idle,
    "unique": callers.equal,
    "map-batches": overhead.of_map_batches,
    "side-by-side": overhead.beside_others,
    "stages-overlap": stages.overlap,
    "million-parts": stages.many,
    "stages": stages.of_a_stage,
    "failures": failure_table.eighteen,
    "failures-of-stages": failure_table.of_stages,
}
"""A use gets the effort and gives a report; one that is `async` runs in a loop of its own."""


def run(use: Use, effort: Effort) -> Report:
    if inspect.iscoroutinefunction(use):
        report: Report = asyncio.run(use(effort))
        return report
    made = use(effort)
    assert isinstance(made, Report)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uses", nargs="*", metavar="NAME", help=f"default: all: {', '.join(USES)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    parser.add_argument("--repeat", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument(
        "--whole", action="store_true", help="one call per item for every item, not for 20 of them"
    )
    given = parser.parse_args()
    unknown = [name for name in given.uses if name not in USES]
    if unknown:
        parser.error(f"no such use: {', '.join(unknown)}")
    reports = []
    for name in given.uses or USES:
        say(f"{name} ...")
        reports.append(run(USES[name], Effort(given.repeat, given.whole)))
    return conclude(reports, "no broker", json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
