"""The rules of `streams/kafka/consume/reader.py`, over aiokafka's own fetcher without a broker."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from streams.errors import BrokerError
from streams.kafka.consume.open_batches import Share
from streams.kafka.consume.reader import Allowance, LaneReader
from tests.kafka.fetched import OfflineConsumer, zstd_batch

PARTITIONS = [TopicPartition("source", number) for number in range(3)]
A, B, C = PARTITIONS


class Lane:
    def __init__(self, name: str) -> None:
        self.name = name


LANES = {A: Lane("a"), B: Lane("b"), C: Lane("c")}
A_LANE, B_LANE, C_LANE = LANES.values()
PLENTY = 1_000_000_000


def room(
    records: Mapping[Lane, int],
    *,
    each_bytes: int = PLENTY,
    round_bytes: int = PLENTY,
    waiting_bytes: int = PLENTY,
) -> Allowance:
    """So many records of each lane; `each_bytes`: and no more than these."""
    shares = {lane: Share(most, each_bytes) for lane, most in records.items()}
    return Allowance(shares, round_bytes, waiting_bytes)


ROOM = room(dict.fromkeys(LANES.values(), 10))


class Reading:
    """A reader that runs. `rounds`: what it delivered, as {lane's name: offsets}."""

    def __init__(self) -> None:
        self.consumer = OfflineConsumer(*PARTITIONS)
        self.rounds: list[dict[str, list[int]]] = []
        self.read_to: dict[str, int] = {}
        self.errors: list[BaseException] = []
        self.reader = LaneReader(
            self.consumer,  # type: ignore[arg-type]
            asyncio.get_running_loop(),
            self._deliver,
            self.errors.append,
        )
        self.reader.open({tp: (lane, 0) for tp, lane in LANES.items()})

    def _deliver(self, lists: Any) -> None:
        self.rounds.append(
            {lane.name: [record.offset for record in records] for lane, records, _ in lists}
        )
        self.read_to |= {lane.name: position for lane, _, position in lists}


@asynccontextmanager
async def running() -> AsyncIterator[Reading]:
    reading = Reading()
    task = asyncio.ensure_future(reading.reader.run())
    await settled()
    try:
        yield reading
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    """Everything that can happen without the test's doing has happened."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_round_takes_from_every_partition_at_most_its_allowance():
    async with running() as reading:
        for partition in PARTITIONS:
            reading.consumer.fetched(partition, range(1000))
        reading.reader.allow(room({A_LANE: 5, B_LANE: 7, C_LANE: 1}))
        await settled()
        assert reading.rounds == [{"a": [*range(5)], "b": [*range(7)], "c": [0]}]


async def test_a_round_ends_a_list_at_its_bytes_from_the_first_on():
    """Numbers say nothing about memory: ten records may be ten megabytes."""
    async with running() as reading:
        for partition in PARTITIONS:
            reading.consumer.fetched(partition, range(100), size=100_000)
        reading.reader.allow(room(dict.fromkeys(LANES.values(), 10), each_bytes=250_000))
        await settled()
        assert reading.rounds == [{name: [0, 1, 2] for name in "abc"}]


async def test_a_record_larger_than_every_share_comes_alone():
    async with running() as reading:
        reading.consumer.fetched(A, range(100), size=1_000_000)
        reading.reader.allow(room({A_LANE: 10}, each_bytes=0, round_bytes=1))
        await settled()
        assert reading.rounds == [{"a": [0]}]


async def test_a_round_without_room_for_all_goes_on_with_those_that_got_nothing():
    async with running() as reading:
        for partition in PARTITIONS:
            reading.consumer.fetched(partition, range(100), size=1000)
        for _ in range(6):
            reading.reader.allow(room(dict.fromkeys(LANES.values(), 1), round_bytes=1500))
            await settled()
        served = [name for round_ in reading.rounds for name in round_]
        assert [len(round_) for round_ in reading.rounds] == [2] * 6
        assert sorted(served) == sorted("abc" * 4)
        assert set(served[:3]) == set("abc"), served


async def test_one_round_is_under_way_at_a_time():
    async with running() as reading:
        reading.consumer.fetched(A, range(100))
        reading.reader.allow(ROOM)
        await settled()
        reading.reader.set_allowance(ROOM)
        await settled()
        assert len(reading.rounds) == 1
        reading.reader.allow(ROOM)
        await settled()
        assert reading.rounds[1] == {"a": [*range(10, 20)]}


async def test_the_partition_that_is_served_first_changes_with_every_round():
    async with running() as reading:
        for partition in PARTITIONS:
            reading.consumer.fetched(partition, range(100))
        for _ in range(6):
            reading.reader.allow(ROOM)
            await settled()
        first = [next(iter(round_)) for round_ in reading.rounds]
        assert sorted(first[:3]) == sorted(first[3:]) == ["a", "b", "c"]


async def test_a_lane_without_room_is_not_read_and_the_others_are():
    async with running() as reading:
        for partition in PARTITIONS:
            reading.consumer.fetched(partition, range(100))
        reading.reader.allow(room({B_LANE: 3}))
        await settled()
        assert reading.rounds == [{"b": [0, 1, 2]}]


async def test_room_that_comes_back_is_used_in_the_same_turn_of_the_loop():
    """Faust's own resume costs 0.85 s: a sleep of one second, or a fetch with the old partitions.

    Nothing new is fetched here, and no second passes: only the room wakes the reader.
    """
    async with running() as reading:
        reading.consumer.fetched(A, range(100))
        reading.reader.allow(room({}))
        await settled()
        assert reading.rounds == []
        reading.reader.set_allowance(room({A_LANE: 4}))
        await settled()
        assert reading.rounds == [{"a": [0, 1, 2, 3]}]


async def test_no_room_at_all_does_not_spin():
    """Waiting for room costs no more than a wake-up a second."""
    async with running() as reading:
        reading.consumer.fetched(A, range(100))
        reading.reader.allow(room({}))
        await settled()
        takes = 0
        take = reading.reader._take

        async def counted(lists: Any) -> None:
            nonlocal takes
            takes += 1
            await take(lists)

        reading.reader._take = counted  # type: ignore[method-assign]
        await settled()
        assert takes == 0


async def test_a_position_that_somebody_else_moved_is_moved_back():
    """Faust's recovery seeks every partition (`perform_seek`); the lane goes on where it was."""
    async with running() as reading:
        reading.consumer.fetched(A, range(10))
        reading.reader.allow(ROOM)
        await settled()
        reading.consumer.seek(A, 0)
        reading.consumer.fetched(A, range(10))
        reading.reader.allow(ROOM)
        await settled()
        assert len(reading.rounds) == 1, "records were read twice"
        reading.consumer.fetched(A, range(10, 15))
        await settled()
        assert reading.rounds[1] == {"a": [*range(10, 15)]}


async def test_a_position_moved_to_the_logs_end_is_sought_back_without_a_fetch():
    """Nothing is fetched there until somebody writes: the partition would stand still till then."""
    async with running() as reading:
        reading.consumer.seek(A, 100)
        reading.reader.allow(ROOM)
        await settled()
        reading.consumer.fetched(A, range(10))
        await settled()
        assert reading.rounds == [{"a": [*range(10)]}]


async def test_a_position_that_never_comes_back_is_out_of_range():
    """With agents in the app aiokafka resets an offset out of range by itself; to go back to it
    for ever would be a standstill without a word."""
    async with running() as reading:
        reading.consumer.fetched(A, range(10))
        reading.reader.allow(ROOM)
        await settled()
        reading.reader.allow(ROOM)
        for _ in range(20):
            reading.consumer.seek(A, 500)
            reading.consumer.fetched(A, range(500, 510))
            await settled()
        assert isinstance(reading.errors[0], BrokerError)
        assert "offset 10 of source/0" in str(reading.errors[0])
        assert len(reading.rounds) == 1


async def test_gaps_of_the_log_are_not_gaps_of_the_reader():
    """Transactions and compaction leave offsets out."""
    async with running() as reading:
        reading.consumer.fetched(A, [0, 3, 4, 90, 1000])
        reading.reader.allow(room({A_LANE: 3}))
        await settled()
        reading.reader.allow(ROOM)
        await settled()
        assert reading.rounds == [{"a": [0, 3, 4]}, {"a": [90, 1000]}]
        assert reading.reader.position_of(A) == 1001


@pytest.mark.parametrize("most", [10, 100])
async def test_how_far_a_partition_was_read_is_said_where_no_record_stands_too(most):
    """Behind the last record there may be a transaction's marker; a fetch may have nothing else."""
    async with running() as reading:
        reading.consumer.fetched(A, range(10), end=11)
        reading.reader.allow(room(dict.fromkeys(LANES.values(), most)))
        await settled()
        reading.reader.allow(ROOM)
        await settled()
        assert reading.read_to == {"a": 11}
        reading.consumer.fetched(A, [], end=40)
        reading.consumer.fetched(B, [], end=7)
        reading.reader.allow(ROOM)
        await settled()
        assert reading.read_to == {"a": 40, "b": 7}
        count = len(reading.rounds)
        reading.reader.allow(ROOM)
        await settled()
        assert len(reading.rounds) == count, "nothing moved, and yet it was said"


@pytest.mark.parametrize("broken", PARTITIONS)
async def test_an_error_of_one_partition_costs_no_record_of_another(broken):
    """Whichever is served first: how far the reader has come is how much it delivered."""
    others = [partition for partition in PARTITIONS if partition is not broken]
    async with running() as reading:
        for partition in others:
            reading.consumer.fetched(partition, range(10))
        reading.consumer.refused(broken, CorruptRecordException("Invalid CRC"))
        reading.reader.allow(ROOM)
        await settled()
        assert [type(error) for error in reading.errors] == [CorruptRecordException]
        for partition in others:
            name = LANES[partition].name
            read = [offset for round_ in reading.rounds for offset in round_.get(name, [])]
            assert read == [*range(reading.reader.position_of(partition) or 0)]


@pytest.mark.parametrize("most", [3, 10])
async def test_a_batch_that_cannot_be_read_is_no_gap(most):
    """What stood before it in the same fetch is read again, not skipped."""
    async with running() as reading:
        reading.consumer.fetched(A, [0, 1, 2, 3, 4, CorruptRecordException("Invalid CRC"), 6])
        reading.reader.allow(room(dict.fromkeys(LANES.values(), most)))
        await settled()
        for _ in range(3):
            reading.reader.allow(room(dict.fromkeys(LANES.values(), most)))
            await settled()
        read = [offset for round_ in reading.rounds for offset in round_["a"]]
        assert read == [*range(len(read))]
        assert reading.reader.position_of(A) == len(read)
        assert len(reading.errors) == 1


async def test_a_closed_partition_is_read_no_more_and_its_lane_gets_nothing():
    async with running() as reading:
        reading.consumer.fetched(A, range(100))
        reading.reader.close()
        reading.reader.allow(ROOM)
        await settled()
        assert reading.rounds == []


async def test_a_partition_that_comes_back_belongs_to_its_new_lane_alone():
    async with running() as reading:
        reading.consumer.fetched(A, range(100))
        reading.reader.allow(ROOM)
        await settled()
        again = Lane("again")
        reading.reader.open({A: (again, 4)})
        reading.consumer.fetched(A, range(4, 100))
        reading.reader.allow(room({A_LANE: 10, again: 3}))
        await settled()
        assert reading.rounds[1:] == [{"again": [4, 5, 6]}]


async def test_a_reader_that_runs_is_never_idle_to_aiokafka():
    """By aiokafka's measure it would be from the start: it leaves the group then, for ever."""
    async with running() as reading:
        await asyncio.sleep(0.01)  # idle by its measure, which begins with the consumer
        assert reading.consumer._subscription.fetcher_idle_time == 0


async def test_a_partition_without_room_is_not_fetched_while_much_waits_until_it_has_room():
    async with running() as reading:
        reading.consumer.fetched(A, range(10), fetched_bytes=600)
        reading.reader.allow(room({B_LANE: 3}, waiting_bytes=1000))
        await settled()
        assert [reading.consumer.is_fetched(tp) for tp in PARTITIONS] == [False, True, False]
        reading.reader.set_allowance(ROOM)
        await settled()
        assert reading.consumer.is_fetched(C)


async def test_a_partition_without_room_is_fetched_while_little_waits():
    """Its records are here as soon as it has room: else it would wait for a fetch each time."""
    async with running() as reading:
        reading.reader.allow(room({B_LANE: 3}, waiting_bytes=1000))
        await settled()
        assert [reading.consumer.is_fetched(tp) for tp in PARTITIONS] == [True, True, True]


async def test_what_waits_for_room_is_given_back_where_it_is_too_much():
    """It is fetched again when there is room; what else waits stays."""
    async with running() as reading:
        reading.consumer.fetched(A, range(10), fetched_bytes=1000)
        reading.consumer.fetched(B, range(10), fetched_bytes=600)
        reading.reader.allow(room({C_LANE: 3}, waiting_bytes=1000))
        await settled()
        waits = [reading.consumer.has_waiting(tp) for tp in PARTITIONS]
        assert waits == [False, True, False], "the most goes first, and no more than must"
        reading.reader.allow(room({A_LANE: 3, B_LANE: 3}))
        await settled()
        assert reading.rounds == [{"b": [0, 1, 2]}]
        reading.consumer.fetched(A, range(10))
        reading.reader.allow(room({A_LANE: 3}))
        await settled()
        assert reading.rounds[1] == {"a": [0, 1, 2]}


async def test_nothing_more_is_fetched_while_too_much_waits_also_during_a_round():
    """A round takes as long as the worker is busy, and aiokafka fetches every 0.1 s meanwhile."""
    async with running() as reading:
        reading.consumer.fetched(A, range(10), fetched_bytes=2000)
        reading.reader.allow(room(dict.fromkeys(LANES.values(), 3), waiting_bytes=1000))
        await settled()
        assert len(reading.rounds) == 1
        assert not reading.consumer.is_fetched(B)
        reading.consumer.fetched(C, range(10), fetched_bytes=2000)  # was on its way
        await settled()
        reading.reader.allow(room(dict.fromkeys(LANES.values(), 20), waiting_bytes=1000))
        await settled()
        assert reading.rounds[1] == {"a": [*range(3, 10)], "c": [*range(10)]}
        assert reading.consumer.is_fetched(B)


async def test_what_waits_for_room_does_not_hold_up_the_fetches_of_others():
    """aiokafka leaves a node alone for 0.1 s while something of it waits."""
    async with running() as reading:
        reading.consumer.fetched(A, range(10))
        fetched = reading.consumer._fetcher._records[A]
        fetched._backoff = 0.1
        reading.reader.allow(room({B_LANE: 3}))
        await settled()
        assert fetched.calculate_backoff() == 0


async def test_one_inflated_batch_is_open_at_a_time_where_two_are_too_much():
    """Batches of some kB may be megabytes once they are inflated; every partition gets its turn
    all the same, and goes on where it was."""
    async with running() as reading:
        for partition in PARTITIONS:
            reading.consumer.fetched_batches(partition, zstd_batch(0, 1000, 1000))
        allowed = room(dict.fromkeys(LANES.values(), 10), waiting_bytes=100_000)
        reading.reader.allow(allowed)
        await settled()
        assert reading.rounds == [{name: [*range(10)] for name in "abc"}]
        assert not any(map(reading.consumer.has_waiting, PARTITIONS))
        assert 1_000_000 < reading.reader.inflated_bytes < 1_200_000
        reading.consumer.fetched_batches(A, zstd_batch(0, 1000, 1000))
        reading.reader.allow(allowed)
        await settled()
        assert reading.rounds[1] == {"a": [*range(10, 20)]}


async def test_inflated_batches_stay_open_where_there_is_room_for_them():
    """To inflate them again would cost time."""
    async with running() as reading:
        for partition in PARTITIONS:
            reading.consumer.fetched_batches(partition, zstd_batch(0, 1000, 1000))
        for _ in range(3):
            reading.reader.allow(room(dict.fromkeys(LANES.values(), 400)))
            await settled()
        read = [offset for round_ in reading.rounds for offset in round_["a"]]
        assert read == [*range(1000)]


async def test_a_batch_that_goes_back_is_freed_at_once():
    """Its iterator and its owner refer to each other: Python's collector would let it wait."""
    gc.disable()
    try:
        async with running() as reading:
            reading.consumer.fetched_batches(A, zstd_batch(0, 1000, 1000))
            fetched = weakref.ref(reading.consumer._fetcher._records[A]._partition_records)
            reading.reader.allow(room({A_LANE: 10}, waiting_bytes=100_000))
            await settled()
            assert fetched() is None
    finally:
        gc.enable()
