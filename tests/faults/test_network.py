"""Workers whose way to the broker is slow, cut, reset or closed: nothing lost, nothing out of
order, no copy that no lost session explains, nothing that stands still."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.scene import Scene
from tests.chaos.schedule import Work
from tests.patience import Stopwatch

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.needs("version_4", "nodes")]

WORK = Work(partitions=4, latency_ms=100)


@pytest.mark.thorough
async def test_a_cut_shorter_than_the_session_costs_time_and_no_copy(own_broker, behind):
    async with Scene(own_broker, WORK) as scene:
        scene.fleet.start(behind.bootstrap)
        await scene.publish(200)
        await scene.begun()
        publishing = asyncio.ensure_future(scene.publish_over(800, 6))
        for _ in range(2):
            await asyncio.sleep(0.5)
            behind.network.cut()
            await asyncio.sleep(2)
            behind.network.heal()
            scene.say("healed")
        await publishing
        await scene.finish()


async def test_a_cut_longer_than_the_session_is_taken_over_and_the_zombie_does_no_harm(
    own_broker, behind
):
    """What it had under way arrives when the cable is in again: later copies, in order; it commits
    over nobody."""
    async with Scene(own_broker, WORK) as scene:
        zombie, other = scene.fleet.start(behind.bootstrap), scene.fleet.start()
        await scene.publish(300)
        await scene.fleet.reading(zombie)
        await scene.fleet.reading(other)
        await scene.begun(100)
        await scene.publish(600)
        scene.cut_off(zombie)
        scene.say("cut")
        behind.network.cut()
        await scene.done()  # by the other alone
        behind.network.heal()
        scene.reached()
        scene.say("healed")
        await scene.publish_over(400, 3)
        await scene.finish()


@pytest.mark.thorough
async def test_connections_that_are_reset_all_the_time_make_no_copy(own_broker, behind):
    """An idempotent producer sends again under the same number; the session outlives it."""
    async with Scene(own_broker, WORK) as scene:
        scene.fleet.start(behind.bootstrap)
        await scene.publish(200)
        await scene.begun()
        publishing = asyncio.ensure_future(scene.publish_over(800, 5))
        for _ in range(12):
            await asyncio.sleep(0.4)
            behind.network.reset()
        scene.say("the last reset")
        await publishing
        await scene.finish()
    assert behind.network.connections > 12


@pytest.mark.thorough
async def test_a_slow_network_makes_it_slow_and_nothing_else(own_broker, behind):
    async with Scene(own_broker, WORK) as scene:
        behind.network.delay(0.1)
        scene.fleet.start(behind.bootstrap)
        await scene.publish(200)
        await scene.begun()
        await scene.publish_over(600, 4)
        await scene.finish()


@pytest.mark.thorough
async def test_a_broker_that_nobody_reaches_for_two_sessions_is_found_again(own_broker, behind):
    async with Scene(own_broker, WORK) as scene:
        scene.fleet.start(behind.bootstrap)
        await scene.publish(400)
        await scene.begun()
        scene.cut_off()
        behind.network.refuse()
        publishing = asyncio.ensure_future(scene.publish_over(800, 12))
        await asyncio.sleep(12)
        behind.network.heal()
        scene.reached()
        scene.say("healed")
        await publishing
        await scene.finish()


async def test_sigterm_while_the_network_is_cut_ends_with_1_in_time_and_another_goes_on(
    own_broker, behind
):
    async with Scene(own_broker, WORK._replace(shutdown_s=6, latency_ms=200)) as scene:
        scene.may_stop_with_1 = True
        cut_off = scene.fleet.start(behind.bootstrap)
        await scene.publish(400)
        await scene.begun()
        await scene.publish(1600)
        await scene.begun(401)  # in the midst of them, or there is nothing left to commit
        behind.network.cut()
        await asyncio.sleep(0.5)
        await scene.stop(cut_off)
        stopping = Stopwatch()
        code = await scene.stopped(cut_off)
        assert stopping.took_s < 7.5
        assert code == 1
        scene.fleet.start()
        await scene.finish()


@pytest.mark.thorough
async def test_a_second_signal_while_the_network_is_cut_stops_at_once_with_130(own_broker, behind):
    """What was committed stands; the next worker goes on from there."""
    async with Scene(own_broker, WORK) as scene:
        impatient = scene.fleet.start(behind.bootstrap)
        await scene.publish(400)
        await scene.begun()
        behind.network.cut()
        await asyncio.sleep(0.5)
        scene.fleet.stop(impatient)
        await asyncio.sleep(0.5)  # for the first signal to be taken
        before = await scene.watch.committed_now()
        scene.fleet.stop(impatient)
        assert await scene.fleet.stopped(impatient, 3) == 130
        await scene.lose(impatient, "stopped at once")
        assert await scene.watch.committed_now() == before
        scene.fleet.start()
        await scene.finish()
