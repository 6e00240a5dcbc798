"""Offsets that are no record's (markers of transactions, aborted, compacted) are committed like
those that are: when the log has let go of them, a commit below its beginning looks like a loss."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.worker.handover import COMMIT_WITHIN_S
from tests.worker.shell import Shell, settled


async def test_what_stands_behind_the_last_item_is_committed_when_the_item_is_done(shell):
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    shell.passed(lane, 11)
    await shell.until(lambda: len(shell.calls) == 1)
    await asyncio.sleep(0.01)  # some commit intervals
    assert shell.consumer.requests == []
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 11})


async def test_a_partition_in_which_nothing_was_a_record_is_committed_once(shell):
    (lane,) = await shell.assign(0)
    shell.passed(lane, 40)
    await shell.until(lambda: shell.committed == {0: 40})
    for _ in range(5):
        shell.passed(lane, 40)
        await asyncio.sleep(0.005)
    assert len(shell.consumer.requests) == 1
    assert shell.consumer.allowances, "the round must be answered"


async def test_items_behind_a_gap_are_taken_and_those_before_it_are_not(shell):
    (lane,) = await shell.assign(0)
    shell.passed(lane, 20)
    shell.arrive(lane, 30, first=5)
    await shell.until(lambda: sum(len(call.items) for call in shell.calls) == 15)
    assert sorted(offset for call in shell.calls for offset in call.offsets) == [*range(20, 35)]


@pytest.mark.parametrize("order", ["key", "none"])
async def test_a_gap_is_passed_when_the_oldest_item_is_done(order):
    """What is done beyond it is named meanwhile, without the gap or with it."""
    shell = Shell()
    await shell.start(order=order, max_items=1)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 3)
    shell.passed(lane, 9)
    await shell.until(lambda: len(shell.calls) == 3)
    for call in shell.calls[1:]:
        call.answer()
    await shell.until(lambda: lane.committed == Committed(0, ((1, 2),)))
    shell.calls[0].answer()
    await shell.until(lambda: lane.committed == Committed(9))
    await shell.stop()


@pytest.mark.parametrize("end", [15, 31])
async def test_what_an_earlier_owner_has_done_is_passed_like_a_gap(end):
    shell = Shell()
    await shell.start(order="none")
    (lane,) = await shell.assign(0, offset=10, beyond=((12, 14), (20, 29)))
    shell.arrive(lane, 2)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.passed(lane, end)
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: end})
    await shell.stop()


async def test_a_lane_that_passed_a_gap_is_kept(shell):
    (lane,) = await shell.assign(0)
    shell.passed(lane, 11)
    shell.arrive(lane, 10)
    shell.passed(lane, 25)
    await shell.until(lambda: len(shell.calls) == 1)
    await shell.worker.on_revoked()
    (again,) = await shell.assign(0, offset=11)
    assert again is lane
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 25})
    assert shell.written() == [*range(11, 21)]


async def test_a_round_that_comes_during_the_last_commit_does_not_cost_the_lane(shell):
    """It would move the watermark past what was committed; its calls would be paid again."""
    (lane,) = await shell.assign(0)
    commit = shell.worker._committer.once

    async def meanwhile(within_s: float) -> bool:
        done = await commit(within_s)
        if within_s == COMMIT_WITHIN_S:  # the last one, not one of every interval
            shell.passed(lane, 11)
            await settled()
        return done

    shell.worker._committer.once = meanwhile
    await shell.worker.on_revoked()
    places = {TopicPartition("source", 0): Committed(0)}
    ((again, read_from),) = shell.worker.on_assigned(places).values()
    assert again is lane
    assert read_from == 0, "it is read again"
