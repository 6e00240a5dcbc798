"""A worker does not begin to pay for a long history on its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.harness import WorkerProcess, eventually, items, publish, read
from tests.integration.simulated import API_KEY, Simulated, classifies, simulated

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

LIMIT = "confirm_items = 50"
NOBODY = "http://127.0.0.1:9"
"""Loopback, and no simulator: it might be a gateway to the API."""


@contextmanager
def worker(
    broker: Any, group: str, config: str, *more: str, settings: str = LIMIT
) -> Iterator[WorkerProcess]:
    made = WorkerProcess(
        broker.bootstrap,
        group,
        app=None,
        config=config,
        worker=settings,
        variables={"ANTHROPIC_API_KEY": API_KEY},
        arguments=more,
    )
    try:
        yield made
    finally:
        made.close()


def of_gateway(source: str, api: Simulated) -> str:
    return classifies(source, api).replace(api.url, NOBODY)


async def reads(begun: WorkerProcess) -> None:
    async def assigned() -> bool:
        return "reading " in begun.log

    await eventually(assigned, within_s=60, describe=lambda: begun.log)


async def results(broker: Any, source: str, count: int) -> None:
    async def there() -> bool:
        return len(await read(broker.bootstrap, [f"{source}.out"])) >= count

    await eventually(there, within_s=60)


async def test_a_group_without_offsets_on_a_long_topic_says_what_it_would_cost_and_ends(
    broker: Any, topic: Any
) -> None:
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, items(60, 2))
    with (
        simulated() as api,
        worker(broker, f"{source}-g", of_gateway(source, api)) as refused,
    ):
        assert refused.wait(30) == 1
        (line,) = [line for line in refused.log.splitlines() if line.startswith("error: ")]
    assert f"the group {source}-g has no offsets in {source}" in line
    assert "would begin with 60 records that are there already: about 6 calls of anthropic" in line
    assert "for about $0.00" in line
    assert "`worker --yes` begins them" in line


async def test_with_a_yes_or_at_the_simulator_it_begins_and_needs_no_second_one(
    broker: Any, topic: Any
) -> None:
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, items(60, 2))
    with simulated() as api:
        for group, config, more in (
            ("a", classifies(source, api), ()),
            ("b", of_gateway(source, api), ("--yes",)),
        ):
            with worker(broker, f"{source}-{group}", config, *more) as begun:
                await reads(begun)
                if group == "a":
                    await results(broker, source, 60)
                assert begun.stop() == 0
        # The group has offsets now: nothing is asked, whatever the address.
        with worker(broker, f"{source}-a", of_gateway(source, api)) as again:
            await reads(again)
            assert again.stop() == 0


@pytest.mark.parametrize("settings", [f'{LIMIT}\nstart = "latest"', "confirm_items = 60"])
async def test_what_is_not_read_or_not_long_needs_no_yes(
    broker: Any, topic: Any, settings: str
) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(60, 1))
    with (
        simulated() as api,
        worker(broker, f"{source}-g", of_gateway(source, api), settings=settings) as begun,
    ):
        await reads(begun)
        assert begun.stop() == 0
