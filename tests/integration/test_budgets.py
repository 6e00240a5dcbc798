"""A task's budget holds over restarts, and says so where people look."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest

from streams.kafka.broker.child import free_port
from streams.settings.values import budget_topic
from tests.integration.harness import eventually, publish, read
from tests.integration.running import done, group_of, item, logged, worker
from tests.integration.simulated import classifies, simulated

pytestmark = pytest.mark.kafka

ITEMS = 400


async def spent(simulator) -> float:
    return (await asyncio.to_thread(simulator.state))["cost_usd"]


def asked(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.loads(reply.read())


async def test_a_budget_stops_calls_and_a_restart_spends_none_of_it_again(broker, topic):
    """Then more of it lets the rest go on."""
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, [(None, item(n), n % 2) for n in range(ITEMS)])
    with simulated() as simulator:
        whole = await cost_of_all(broker, topic, simulator)
        before, budget = await spent(simulator), round(whole / 2, 6)
        port = free_port()
        variables = {"STREAMS_WORKER__WEB": f"127.0.0.1:{port}", **simulator.variables}

        def started(budget: float):
            limits = f"[task.limits]\nbudget_usd = {budget}"
            config = f"{classifies(source, simulator)}{limits}"
            return worker(broker, source, config=config, app=None, **variables)

        with started(budget) as process:
            await logged(process, f"budget_usd = {budget:g} is spent")
            first = await spent(simulator) - before
            assert budget - 2 * whole / ITEMS * 10 <= first <= budget
            page = await asyncio.to_thread(asked, f"http://127.0.0.1:{port}/state")
            shown = page["tasks"][0]["budget"]
            assert shown["stopped_by"] == "total"
            assert shown["left_usd"]["total"] == pytest.approx(budget - first, abs=1e-9)
            health = await asyncio.to_thread(asked, f"http://127.0.0.1:{port}/health")
            assert health["status"] == "ok"
            assert health["budgets"][0]["task"] == "sentiment"
            assert process.stop() == 0, process.log
            left = process.summary["budget_left_usd"]
        assert left == pytest.approx(budget - first, abs=1e-9)
        with started(budget) as process:
            await logged(process, f"budget_usd = {budget:g} is spent")
            assert process.stop() == 0, process.log
        assert await spent(simulator) - before == pytest.approx(first)
        with started(2 * whole) as process:
            await done(broker, process, source, [ITEMS // 2] * 2)
            assert process.stop() == 0, process.log
        assert await spent(simulator) - before <= whole * 1.05
    records = await read(broker.bootstrap, [budget_topic(group_of(source))])
    assert len(records) <= ITEMS


async def cost_of_all(broker, topic, simulator) -> float:
    """What all items cost without a budget."""
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, [(None, item(n), n % 2) for n in range(ITEMS)])
    before = await spent(simulator)
    config = classifies(source, simulator)
    with worker(broker, source, config=config, app=None, **simulator.variables) as process:
        await done(broker, process, source, [ITEMS // 2] * 2)
        assert process.stop() == 0, process.log
        assert "budget_left_usd" not in process.summary
    return await spent(simulator) - before


async def test_beyond_a_budget_items_are_dead_letters_where_that_is_asked_for(broker, topic):
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, [(None, item(n), n % 2) for n in range(40)])
    with simulated() as simulator:
        limits = '[task.limits]\nbudget_usd_per_day = 0.0\non_budget = "dead_letter"'
        config = f"{classifies(source, simulator)}{limits}"
        with worker(broker, source, config=config, app=None, **simulator.variables) as process:
            await done(broker, process, source, [20] * 2)
            assert process.stop() == 0, process.log
            assert "items are dead letters with the code budget" in process.log
        assert (await asyncio.to_thread(simulator.state))["requests"] == 0
    letters = await read(broker.bootstrap, [f"{source}.dead"])
    assert len(letters) == 40
    codes = {dict(letter.headers)["streams-error-code"] for letter in letters}
    assert codes == {b"budget"}


async def test_a_budget_without_a_price_is_refused_at_start(broker, topic, tmp_path: Path):
    source = await topic()
    with simulated() as simulator:
        config = classifies(source, simulator).replace("claude-haiku-5-5", "claude-next")
        config = f"{config}[task.limits]\nbudget_usd = 1.0"
        with worker(broker, source, config=config, app=None, **simulator.variables) as process:

            async def ended() -> bool:
                return process.process.poll() is not None

            await eventually(ended, 60, lambda: process.log)
            assert process.process.poll() == 2
            assert 'add [prices."claude-next"]' in process.log
