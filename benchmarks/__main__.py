"""Every benchmark that has a bar, and which bars were held.

    python -m benchmarks [--broker HOST:PORT] [--json]

About eight minutes. The exit code is 1 where a bar was missed.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks import guarantees, memory, poison, throughput, waiting
from benchmarks.bars import conclude
from benchmarks.ground import arguments, broker

PARTS = (throughput, waiting, memory, guarantees)


def main() -> int:
    given = arguments(__doc__).parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(part.measure(server)) for part in PARTS]
    reports.append(poison.engine(poison.ITEMS, poison.BATCH, poison.SHARE, seed=1))
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
