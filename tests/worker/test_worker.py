"""The rules of `streams/worker/worker.py`, over real tasks and writers without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.committed import Committed
from streams.errors import BrokerError
from streams.worker import commits
from tests.worker.shell import Shell, settled


async def test_a_commit_never_passes_an_item_in_flight(shell):
    """Five calls, answered from the last to the first (G3)."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 50)
    await shell.until(lambda: len(shell.calls) == 5)
    for call in reversed(shell.calls[1:]):
        call.answer()
        await asyncio.sleep(0.01)  # some commit intervals
    assert shell.consumer.requests == []
    assert shell.written() == []
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 50})
    assert shell.written() == [*range(50)]


async def test_a_commit_waits_for_the_acknowledgement_of_the_sink(shell):
    """Durable first, committed then."""
    shell.broker.hold = True
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await asyncio.sleep(0.01)
    assert shell.consumer.requests == []
    shell.broker.release()
    await shell.until(lambda: shell.committed == {0: 10})


@pytest.mark.parametrize("outcome", [False, KafkaError("not now")])
async def test_a_commit_that_failed_is_made_again(shell, outcome):
    """Faust's `_committed_offset` advances even where the commit failed."""
    (lane,) = await shell.assign(0)
    shell.consumer.outcome = [outcome, outcome]
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: len(shell.consumer.requests) == 3)
    assert [*shell.consumer.requests[2].values()] == [Committed(10)]
    assert lane.committed == Committed(10)
    assert shell.fatal == []


async def test_all_lanes_are_committed_in_one_request_and_one_at_a_time(shell):
    lanes = await shell.assign(0, 1, 2)
    for lane in lanes:
        shell.arrive(lane, 10)
    await shell.until(lambda: sum(len(call.items) for call in shell.calls) == 30)
    for call in shell.calls:
        call.answer()
    await shell.until(lambda: shell.committed == {0: 10, 1: 10, 2: 10})
    assert shell.consumer.most_under_way == 1
    count = len(shell.consumer.requests)
    await asyncio.sleep(0.02)
    assert len(shell.consumer.requests) == count, "nothing moved, and yet it was committed"


async def test_committing_that_fails_in_an_unknown_way_ends_the_worker(shell):
    """Better than to go on without: a crash would do everything again."""
    (lane,) = await shell.assign(0)
    shell.consumer.outcome = [RuntimeError("unforeseen")]
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: len(shell.fatal) == 1)


async def test_records_of_an_older_assignment_are_not_taken(shell):
    """They can be on their way to the worker's loop when it is revoked."""
    (lane,) = await shell.assign(0)
    await shell.worker.on_revoked()
    shell.arrive(lane, 10)
    await settled()
    assert shell.calls == []
    assert shell.consumer.allowances, "the round must be answered"


async def test_records_that_come_twice_are_taken_once(shell):
    """After a seek back the fetcher may hand over what the lane has already."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    shell.arrive(lane, 20, first=4)
    await shell.until(lambda: sum(len(call.items) for call in shell.calls) == 24)
    offsets = sorted(item.offset for call in shell.calls for item in call.items)
    assert offsets == [*range(24)]


async def test_a_revocation_finishes_what_is_in_flight_and_commits_it():
    shell = Shell(drain_s=5)
    await shell.start()
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    revoked = asyncio.ensure_future(shell.worker.on_revoked())
    await settled()
    shell.calls[0].answer()
    await asyncio.wait_for(revoked, 2)
    assert shell.committed == {0: 10}
    assert shell.worker.partitions == []
    await shell.stop()


async def test_a_revocation_waits_for_a_sink_that_gets_a_new_leader(shell):
    """What is given up is written twice, and nobody has crashed."""
    shell.broker.hold = True
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: shell.sink.pending() == 10)
    revoked = asyncio.ensure_future(shell.worker.on_revoked())
    await asyncio.sleep(1.5)
    assert not revoked.done()
    shell.broker.release()
    await asyncio.wait_for(revoked, 2)
    assert shell.committed == {0: 10}


async def test_a_worker_that_its_group_has_given_up_does_not_wait_to_deliver(shell):
    """It may write nothing before it has joined again, and joins after the revocation."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.consumer.alive = False
    shell.consumer.outcome = [False] * 10_000
    shell.calls[0].answer()
    await shell.until(lambda: shell.sink.pending() == 10)
    await asyncio.wait_for(shell.worker.on_revoked(), 5)
    assert shell.written() == []


async def _revoked_without_a_commit(shell):
    """Its lane: what was answered is delivered, and no commit of it was made."""
    (lane,) = await shell.assign(0)
    shell.consumer.outcome = [KafkaError("gone")] * 10_000
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.worker.on_revoked()
    shell.consumer.outcome = []
    return lane


async def test_a_stop_after_a_revocation_whose_commit_failed_says_so(shell):
    """Its lanes are gone by then, and nothing is left to commit: exit code 1 all the same (G9)."""
    await _revoked_without_a_commit(shell)
    assert await shell.worker.drain(5) is False


async def test_a_stop_is_exit_code_0_where_others_have_done_all_that_was_lost(shell):
    """A cut longer than the session, and SIGTERM before the group is joined again (`.ci/run` of 28
    November): its results are committed, and nothing is made again."""
    lane = await _revoked_without_a_commit(shell)
    shell.consumer.elsewhere = {lane.where: 9}
    assert await shell.worker.drain(5) is False
    shell.consumer.elsewhere = {lane.where: 10}
    shell.worker._assignment.suspended[lane.where] = lane
    assert await shell.worker.drain(5) is True


async def test_an_assignment_that_brings_nothing_back_does_not_make_a_lost_commit_good(shell):
    lane = await _revoked_without_a_commit(shell)
    shell.worker.on_assigned({}, {lane.where})  # its leader is away
    assert await shell.worker.drain(5) is False


async def test_what_failed_at_a_revocation_is_forgotten_with_the_next_assignment(shell):
    await _revoked_without_a_commit(shell)
    await shell.assign(0)
    assert await shell.worker.drain(5) is True


async def test_a_commit_that_goes_on_failing_is_said_when_it_changes_and_now_and_then(
    shell, caplog, monkeypatch
):
    """Ten times a second it fails, for as long as it lasts."""
    (lane,) = await shell.assign(0)
    shell.consumer.outcome = [KafkaError("one")] * 20 + [KafkaError("another")] * 20
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: lane.committed == Committed(10))
    said = [record for record in caplog.records if "could not be committed" in record.getMessage()]
    assert [record.getMessage().rsplit(": ")[-1] for record in said] == ["one", "another"]
    caplog.clear()
    monkeypatch.setattr(commits, "REPEAT_AFTER_S", 0.0)
    shell.consumer.outcome = [KafkaError("one")] * 5
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 2)
    shell.calls[1].answer()
    await shell.until(lambda: lane.committed == Committed(20))
    assert len(caplog.records) == 5


async def test_a_drain_starts_no_call_and_takes_no_record(shell):
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 100)
    await shell.until(lambda: len(shell.calls) == 5)
    draining = asyncio.ensure_future(shell.worker.drain(5))
    await settled()
    shell.arrive(lane, 100)
    for call in shell.calls:
        call.answer()
    assert await asyncio.wait_for(draining, 5) is True
    assert len(shell.calls) == 5
    assert shell.committed == {0: 50}


async def test_a_drain_whose_commit_fails_says_so(shell):
    """Exit code 1 (G9)."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    draining = asyncio.ensure_future(shell.worker.drain(5))
    shell.consumer.outcome = [KafkaError("the broker is gone")]
    await settled()
    shell.calls[0].answer()
    assert await asyncio.wait_for(draining, 5) is False


async def test_lanes_share_the_room_evenly_and_a_full_one_is_not_read():
    """Half of `max_buffered_mb` is for items that are not settled."""
    shell = Shell(buffered_bytes=400_000)
    await shell.start()
    full, other = await shell.assign(0, 1)
    shell.arrive(full, 20, size=2000)
    await settled()
    allowance = shell.consumer.allowances[-1]
    assert full not in allowance
    assert allowance[other].records > 0
    await shell.stop()


async def test_a_full_lane_is_read_again_when_half_its_share_is_free():
    """At once, without another round: by the delivery that made the room."""
    shell = Shell(buffered_bytes=400_000)
    await shell.start()
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 60, size=2000)
    await shell.until(lambda: len(shell.calls) == 5)
    assert lane not in shell.consumer.allowances[-1]
    seen = len(shell.consumer.allowances)
    answered = 0
    while len(shell.consumer.allowances) == seen:
        shell.calls[answered].answer()
        answered += 1
        await settled()
        await shell.until(lambda n=answered: len(shell.written()) == 10 * n)
        await settled()
    assert shell.consumer.allowances[-1][lane].records > 0
    assert 1 < answered < 6
    await shell.stop()


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (BrokerError("the source topic is gone"), True),
        (KafkaError("a broker restarts"), False),
    ],
)
async def test_a_reader_error_ends_the_worker_only_where_reading_cannot_go_on(shell, error, ends):
    shell.worker.on_reader_error(error)
    assert bool(shell.fatal) is ends
    assert all(isinstance(each, BrokerError) for each in shell.fatal)


async def test_partitions_are_counted_anew_before_each_assignment(shell):
    """A source that has grown past its sink is routed by key; keyless items by number."""
    shell.broker.partitions = 2
    await shell.worker.before_assigned([TopicPartition("source", 5)])
    route = shell.task.route
    assert (route.source_partitions, route.sink_partitions) == (6, 2)
    (lane,) = await shell.assign(5)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {5: 10})
    assert shell.written(1) == [*range(10)]


async def test_a_record_without_a_timestamp_has_no_latency(shell):
    """Kafka says -1; it would be one of half a century."""
    (lane,) = await shell.assign(0)
    record = SimpleNamespace(
        topic="source", partition=0, offset=0, timestamp=-1, key=None, value=None, headers=()
    )
    shell.worker.on_records([(lane, [record], 1)])
    await shell.until(lambda: shell.committed == {0: 1})
    assert shell.task.tally.items == 1
    assert shell.task.tally.latencies.percentile(0.99) is None


async def test_a_stop_with_outcomes_that_no_broker_takes_is_not_in_order(shell):
    """Nothing was left to commit, since nothing was written: that is no last commit made (G9)."""
    (lane,) = await shell.assign(0)
    shell.broker.hold = True
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: shell.sink.pending() == 10)
    assert not await shell.worker.drain(0.2)
