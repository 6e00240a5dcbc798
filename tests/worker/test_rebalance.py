"""What a lane keeps over a rebalance, and when it must not: over real tasks without a broker."""

from __future__ import annotations

from aiokafka.errors import KafkaError

from streams.worker.handover import COMMIT_WITHIN_S
from streams.worker.intake import Budget, Room
from tests.worker.shell import Shell, settled


async def test_a_partition_that_comes_back_untouched_keeps_its_items_and_its_calls(shell):
    """What is in flight is paid once, what waits is not read again."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 60)
    await shell.until(lambda: len(shell.calls) == 5)
    await shell.worker.on_revoked()
    (again,) = await shell.assign(0)
    assert again is lane
    assert lane.next_offset == 60, "nothing of it is read again"
    for call in shell.calls:
        call.answer()
    await shell.until(lambda: len(shell.calls) == 6)
    shell.calls[5].answer()
    await shell.until(lambda: shell.committed == {0: 60})
    assert shell.written() == [*range(60)]
    assert sum(len(call.items) for call in shell.calls) == 60


async def test_a_reply_between_two_assignments_is_written_after_the_second(shell):
    """Until then somebody else may own the partition."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 20)
    await shell.until(lambda: len(shell.calls) == 2)
    await shell.worker.on_revoked()
    shell.calls[0].answer()
    await settled()
    assert shell.written() == []
    await shell.assign(0)
    await shell.until(lambda: shell.written() == [*range(10)])
    shell.calls[1].answer()
    await shell.until(lambda: shell.committed == {0: 20})
    assert shell.written() == [*range(20)]


async def test_a_late_reply_after_somebody_else_had_the_partition_finds_nobody(shell):
    """A lane is an incarnation: its items are the next owner's, also where that is us again."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    await shell.worker.on_revoked()
    (again,) = await shell.assign(0, offset=5)
    assert again is not lane
    shell.calls[0].answer()
    await settled()
    assert shell.written() == []
    shell.arrive(again, 5)
    await shell.until(lambda: len(shell.calls) == 2)
    shell.calls[1].answer()
    await shell.until(lambda: shell.committed == {0: 10})
    assert shell.written() == [5, 6, 7, 8, 9]


async def test_a_call_is_cancelled_when_none_of_its_items_has_an_owner_left(shell):
    """One partition comes back, the other does not: what they share goes on."""
    one, two = await shell.assign(0, 1)
    shell.arrive(one, 10)
    shell.arrive(two, 15)
    await shell.until(lambda: len(shell.calls) == 3)
    lanes = [{item.partition for item in call.items} for call in shell.calls]
    await shell.worker.on_revoked()
    assert not any(call.ended.done() for call in shell.calls)
    await shell.assign(0)
    await settled()
    ended = [call.ended.cancelled() for call in shell.calls]
    assert ended == [partitions == {1} for partitions in lanes]
    assert True in ended


async def test_items_whose_results_may_be_written_are_not_kept():
    """The broker froze within the drain: what becomes of the batch under way nobody knows."""
    shell = Shell(deliver_within_s=1.0)
    await shell.start()
    (lane,) = await shell.assign(0)
    shell.broker.hold = True
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: shell.sink.pending() == 10)
    await shell.worker.on_revoked()
    shell.broker.release()
    await shell.until(lambda: shell.written() == [*range(10)])
    (again,) = await shell.assign(0)
    assert again is not lane
    await shell.stop()


async def test_a_lane_whose_last_commit_failed_is_not_kept(shell):
    """What the group remembers is not what the lane knows: it begins at the former."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.consumer.outcome = [KafkaError("no")] * 1000
    shell.calls[0].answer()
    await shell.until(lambda: shell.written() == [*range(10)])
    await shell.worker.on_revoked()
    shell.consumer.outcome = []
    (again,) = await shell.assign(0)
    assert again is not lane


async def test_records_that_were_not_taken_before_a_rebalance_are_read_again(shell):
    """A long round is taken little by little; the rest of it is dropped, not left as a gap."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 1000)
    assert 0 < lane.next_offset < 1000
    await shell.worker.on_revoked()
    taken = lane.next_offset
    places = {lane.where: lane.committed}
    ((again, read_from),) = shell.worker.on_assigned(places).values()
    assert again is lane
    assert read_from == taken
    await settled()
    assert lane.next_offset == taken


async def test_a_stop_while_a_partition_is_nobodys_drops_its_items(shell):
    """They could be neither written nor committed: waiting for their calls would be in vain."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    await shell.worker.on_revoked()
    assert await shell.worker.drain(5)
    await settled()
    assert shell.calls[0].ended.cancelled()
    assert shell.written() == []


async def test_what_is_answered_during_the_last_commit_before_a_revocation_is_not_written(shell):
    """The commit does not tell of it: the next owner would write it again (simulation, 206)."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    commit = shell.worker._committer.once

    async def answered_meanwhile(within_s: float) -> bool:
        if within_s == COMMIT_WITHIN_S:  # the last one, not one of every interval
            shell.calls[0].answer()
            await settled()
        return await commit(within_s)

    shell.worker._committer.once = answered_meanwhile
    await shell.worker.on_revoked()
    assert shell.written() == []


async def test_what_waits_for_a_leader_is_kept_over_the_assignment_that_could_not_read_it(shell):
    """Its calls go on; nobody else has it meanwhile."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    await shell.worker.on_revoked()
    shell.worker.on_assigned({}, {lane.where})
    await shell.worker.on_revoked()
    (again,) = await shell.assign(0)
    assert again is lane
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 10})


async def test_lanes_that_wait_for_a_leader_keep_their_share_of_the_room(shell):
    shell.worker._room = Room(Budget(2_000_000))
    one, two = await shell.assign(0, 1)
    shell.arrive(one, 1)
    await settled()
    both = shell.worker.allowance().shares[two]
    await shell.worker.on_revoked()
    shell.worker.on_assigned({two.where: two.committed}, {one.where})
    assert shell.worker.allowance().shares == {two: both}


async def test_rebalances_do_not_make_room(shell):
    """A full lane that goes on is read no further, however often it is assigned: each peer that
    crashed let it read a hundred records more."""
    shell.worker._room = Room(Budget(2_000_000))
    (lane,) = await shell.assign(0)
    while shell.worker.allowance().shares:
        shell.arrive(lane, 50, size=5000)
        await settled()
    held = shell.task.buffered_bytes(lane)
    for _ in range(5):
        await shell.worker.on_revoked()
        (again,) = await shell.assign(0)
        assert again is lane
        assert shell.worker.allowance().shares == {}
    assert shell.task.buffered_bytes(lane) == held


async def test_a_new_lane_gets_few_records_until_their_size_is_known_and_never_more_than_fit(shell):
    (lane,) = await shell.assign(0)
    assert shell.worker.allowance().shares[lane].records == 100
    shell.worker._room = Room(Budget(40_000))
    assert shell.worker.allowance().shares[lane].records == 9
    shell.worker._room = Room(Budget(128_000_000))
    shell.arrive(lane, 10)
    await settled()
    assert shell.worker.allowance().shares[lane].records == 1000
