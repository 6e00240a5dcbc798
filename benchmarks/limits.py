"""Limits of an API: how much of them is used, and what is refused.

    python -m benchmarks.limits [SCENARIO ...] [--seconds N] [--plot FILE] [--json]

The client is the library: `map_batches_iter` of `streams.classify` (or `embed`) over texts without
end, through the SDK, up to 200 calls in flight, told nothing of the limits. The API is the
simulator in another process: 1,000 requests, 2 M input and 400,000 output tokens a minute, 5 s
worth of them at once, calls of 0.6 to 1.4 s; every figure comes from its journal. Each scenario has
a simulator of its own and takes about four minutes, `outage` twelve; with `--seconds` each measures
for so long, for a trial: the bars are meant for the default. `--plot`: a picture of `changing`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks.bars import conclude, say
from benchmarks.limit_scenarios import SCENARIOS


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--seconds", type=float, help="of each scenario")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="of `changing`")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    given = parser.parse_args()
    unknown = [name for name in given.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    reports = []
    for name in given.scenarios or SCENARIOS:
        report = asyncio.run(SCENARIOS[name](given.seconds, given.plot))
        for bar in report.bars:
            say(f"{bar.name}: {bar.measured:.4g} {bar.unit}")
        reports.append(report)
    return conclude(reports, "no broker", json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
