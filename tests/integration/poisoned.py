"""A topic with some bad items through a worker, the Anthropic SDK and the simulator."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import NamedTuple

from streams.jobs.judge import Verdict
from tests.integration.harness import (
    WorkerProcess,
    committed,
    create_topic,
    eventually,
    publish,
    verdict,
)
from tests.integration.running import item
from tests.integration.simulated import API_KEY, classifies, simulated

PARTITIONS = 4
BAD_TEXT = "poison"


class Poisoned(NamedTuple):
    """`dead`: ids of the dead letters, and `codes` theirs. The calls are the worker's own count."""

    verdict: Verdict
    dead: set[int]
    codes: set[str]
    calls: int
    retries: int
    splits: int


async def poisoned(
    bootstrap: str, fault: str, *, items: int, bad: Collection[int], max_items: int
) -> Poisoned:
    """So many items, those in `bad` being what the simulator plays `fault` for."""
    source = f"poison-{secrets.token_hex(4)}"
    await create_topic(bootstrap, source, PARTITIONS)
    values = [item(n, f"{BAD_TEXT if n in bad else 'fine'} {n}") for n in range(items)]
    records = [(None, value, n % PARTITIONS) for n, value in enumerate(values)]
    positions = await publish(bootstrap, source, records)
    with simulated(latency_ms=2.0) as api:
        api.script({"fault": fault, "text": BAD_TEXT})
        config = classifies(source, api, max_items=max_items, max_in_flight=5)
        worker = WorkerProcess(
            bootstrap,
            f"{source}-group",
            app=None,
            config=config,
            variables={"ANTHROPIC_API_KEY": API_KEY},
        )
        try:

            async def done() -> bool:
                now = await committed(bootstrap, f"{source}-group", source, PARTITIONS)
                assert worker.process.poll() is None, worker.log
                return sum(now) == items

            await eventually(done, 180, lambda: worker.log)
            assert worker.stop() == 0, worker.log
            summary = worker.summary
        finally:
            worker.close()
    judged, found = await verdict(bootstrap, source, positions)
    headers = [dict(record.headers) for record in found if record.topic.endswith(".dead")]
    places = {place: n for n, place in enumerate(positions)}
    dead = {
        places[int(each["streams-source-partition"]), int(each["streams-source-offset"])]
        for each in headers
    }
    return Poisoned(
        judged,
        dead,
        {each["streams-error-code"].decode() for each in headers},
        summary["calls"],
        summary["retries"],
        summary["splits"],
    )
