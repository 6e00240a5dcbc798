"""Workers that come, leave, die, are slow, or come back from the dead: each partition has one owner
who goes on where the last one's commit stands."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime

import pytest

from tests.chaos.fleet import name_of
from tests.chaos.scene import FROZEN, SESSION_S, Scene
from tests.chaos.schedule import Work
from tests.integration.guarantees import GUARANTEES, refused

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

TWELVE = Work(partitions=12, latency_ms=200)
MOVES_WITHIN_S = SESSION_S + 3.0
NOISE_S = 3.0
"""A busy machine; `benchmarks.kills` holds the bar itself."""


def under(guarantee: str) -> pytest.MarkDecorator:
    """Under this guarantee, and with `--thorough` under the other one too."""
    others = [
        pytest.param(other, marks=pytest.mark.thorough)
        for other in GUARANTEES
        if other != guarantee
    ]
    return pytest.mark.parametrize("guarantee", [guarantee, *others], indirect=True)


@pytest.fixture
def guarantee(request) -> str:
    if reason := refused(request.param):
        pytest.skip(reason)
    return str(request.param)


def owned(scene: Scene, who: int) -> set[int]:
    """The partitions that the worker says it reads, as of its last word."""
    said = re.findall(r"reading (.*)", scene.fleet.log(who))
    return {int(number) for number in re.findall(r"/(\d+)", said[-1])} if said else set()


async def shared(scene: Scene, *workers: int) -> None:
    """Wait until these share all the partitions."""
    async with asyncio.timeout(60):
        while True:
            parts = [owned(scene, who) for who in workers]
            if all(parts) and sum(map(len, parts)) == len(set().union(*parts)) == 12:
                return
            await asyncio.sleep(0.1)


@under("at_least_once")
async def test_three_workers_over_twelve_partitions_come_and_leave_without_a_copy(
    broker, guarantee
):
    """Nobody is lost here, so nothing may be done twice."""
    async with Scene(broker, TWELVE._replace(guarantee=guarantee)) as scene:
        await scene.publish(100)
        first = scene.fleet.start()
        await scene.begun()
        await scene.publish(1000)  # a backlog for those who come
        second, third = scene.fleet.start(), scene.fleet.start()
        await shared(scene, first, second, third)
        await scene.publish(2000)
        await scene.begun(1600)
        await scene.stop(second)
        assert await scene.stopped(second) == 0
        await shared(scene, first, third)
        await scene.publish(300)
        fourth = scene.fleet.start()
        await shared(scene, first, third, fourth)
        await scene.publish(300)
        await scene.finish()
        writers = {copies[0].writer for copies in scene.account.copies.values()}
    assert writers == {"w0", "w1", "w2", "w3"}


@pytest.mark.chaos
@under("exactly_once")
async def test_after_a_kill_its_partitions_move_again_within_the_session_and_three_seconds(
    broker, guarantee
):
    async with Scene(broker, TWELVE._replace(guarantee=guarantee)) as scene:
        victim, other = scene.fleet.start(), scene.fleet.start()
        await shared(scene, victim, other)
        await scene.publish(600)
        await scene.begun(100)
        await scene.kill(victim)
        killed_at, before = scene.now(), dict(scene.watch.committed)
        await scene.publish(600)
        theirs = set(range(12)) - owned(scene, other)
        assert len(theirs) == 6
        await scene.finish()
        moved = {n: scene.watch.first_move(n, before[n]) - killed_at for n in theirs}
    assert max(moved.values()) <= MOVES_WITHIN_S + NOISE_S, moved


@pytest.mark.thorough
@under("at_least_once")
async def test_a_member_with_long_calls_holds_the_group_up_for_its_drain_and_no_longer(
    broker, guarantee
):
    """Calls of 8 s, a drain of 1 s: the newcomer has its partitions long before they end."""
    work = TWELVE._replace(guarantee=guarantee, latency_ms=8000, calls=FEW)
    async with Scene(broker, work) as scene:
        slow = scene.fleet.start()
        await scene.publish(48)
        await scene.fleet.reading(slow)
        await scene.begun()
        await scene.publish(96)  # in flight when the newcomer joins
        new = scene.fleet.start()
        await shared(scene, slow, new)
        assert stood_s(scene, slow) <= work.drain_s + NOISE_S
        await scene.finish()


def stood_s(scene: Scene, who: int) -> float:
    """From a worker's first word of a rebalance to its reading again."""
    log = scene.fleet.log(who)
    _, _, after = log.partition(log_line(log, "rebalanc"))
    began, ended = log_line(log, "rebalanc"), log_line(after, "reading")
    return (said_at(ended) - said_at(began)).total_seconds()


def log_line(log: str, word: str) -> str:
    return next(line for line in log.splitlines() if word in line)


def said_at(line: str) -> datetime:
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")


FEW = {"max_items": 4, "max_wait_ms": 10, "max_in_flight": 12}


@pytest.mark.chaos
@pytest.mark.thorough
@under("at_least_once")
async def test_with_long_calls_under_way_a_kill_makes_no_survivor_pay_again(broker, guarantee):
    """Calls of 12 s outlive the rebalance; what a survivor was answered is never asked again."""
    work = TWELVE._replace(guarantee=guarantee, latency_ms=12_000, calls=FEW)
    async with Scene(broker, work, stall_s=90) as scene:
        workers = [scene.fleet.start() for _ in range(3)]
        await shared(scene, *workers)
        await scene.publish(144)
        await asyncio.sleep(3)
        await scene.kill(workers[0])
        await scene.finish()
    survivors = {name_of(who) for who in workers[1:]}
    again = {
        place: [(round(call.at_s, 1), call.by) for call in calls]
        for place, calls in scene.account.paid.items()
        if any(call.by in survivors for call in calls[:-1])
    }
    assert again == {}


@pytest.mark.chaos
@under("at_least_once")
async def test_a_zombie_writes_nothing_out_of_order_and_commits_over_nobody(broker, guarantee):
    """Frozen beyond its session with calls in flight and results on their way, thawed when another
    has its partitions: what it still writes are later copies, its commits are refused."""
    async with Scene(broker, TWELVE._replace(guarantee=guarantee)) as scene:
        zombie, other = scene.fleet.start(), scene.fleet.start()
        await shared(scene, zombie, other)
        publishing = asyncio.ensure_future(scene.publish_over(2400, 16))
        await scene.begun(100)
        await scene.freeze(zombie)
        assert scene.account.losses[-1].why == FROZEN
        await asyncio.sleep(8)
        while len(owned(scene, other)) < 12:
            assert scene.now() < 60
            await asyncio.sleep(0.1)
        scene.thaw(zombie)
        scene.say("thawed")
        await publishing
        await scene.finish()
        # It is a member like any other again.
        assert len(re.findall("reading", scene.fleet.log(zombie))) > 1


@pytest.mark.chaos
@under("at_least_once")
async def test_a_zombie_that_is_stopped_when_its_group_is_empty_commits_nothing(broker, guarantee):
    """Without a generation its commit is a lone consumer's, which an empty group takes (seed
    504)."""
    async with Scene(broker, TWELVE._replace(guarantee=guarantee)) as scene:
        zombie, other = scene.fleet.start(), scene.fleet.start()
        await shared(scene, zombie, other)
        await scene.publish(1200)
        await scene.begun(200)
        await scene.freeze(zombie)
        await scene.publish(600)
        await scene.done()  # by the other
        await scene.stop(other)
        assert await scene.stopped(other) == 0
        before = await scene.watch.committed_now()
        scene.thaw(zombie)
        await scene.stop(zombie)
        await scene.stopped(zombie)
        assert await scene.watch.committed_now() == before
