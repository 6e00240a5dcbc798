"""Reading is stuck where records are there, there is room, and none comes for a minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.observe.web.reading import STUCK_AFTER_S, ReadingWatch
from streams.worker.partition import Partition


class Log:
    """A worker with one partition: how far it is read, where it ends, whether there is room."""

    def __init__(self) -> None:
        task: Any = None
        self.partitions: Sequence[Partition] = [
            Partition(TopicPartition("reviews", 3), Committed(0), task)
        ]
        self.draining = False
        self.at: int | None = 10
        self.until: int | None = 20
        self.room = True

    def position(self, lane: Partition) -> int | None:
        return self.at

    def end(self, lane: Partition) -> int | None:
        return self.until

    def has_room(self, lane: Partition) -> bool:
        return self.room


def stuck(log: Log, *times: float) -> list[bool]:
    """Whether reading is stuck at each of these looks."""
    watch = ReadingWatch(log)
    return [bool(watch.look(now)) for now in times]


def test_records_that_are_not_read_for_a_minute_are_a_stuck_partition() -> None:
    watch = ReadingWatch(Log())
    assert watch.look(0.0) == []
    assert watch.look(STUCK_AFTER_S - 0.1) == []
    (found,) = watch.look(STUCK_AFTER_S)
    assert found == ("reviews", 3, 10, 20, STUCK_AFTER_S)


def test_a_partition_read_to_its_end_is_never_stuck() -> None:
    log = Log()
    log.at = 20
    assert stuck(log, 0, 1000, 2000) == [False] * 3


def test_nothing_is_stuck_before_the_first_fetch_or_between_two_assignments() -> None:
    log = Log()
    log.until = None
    assert stuck(log, 0, 1000) == [False] * 2
    log.until, log.at = 20, None
    assert stuck(log, 0, 1000) == [False] * 2


def test_a_partition_without_room_waits_on_purpose() -> None:
    log = Log()
    log.room = False
    assert stuck(log, 0, 1000) == [False] * 2


def test_reading_on_begins_the_minute_anew() -> None:
    log = Log()
    watch = ReadingWatch(log)
    watch.look(0)
    log.at = 11
    assert watch.look(STUCK_AFTER_S) == []
    assert watch.look(2 * STUCK_AFTER_S - 1) == []
    assert watch.look(2 * STUCK_AFTER_S)


def test_the_minute_counts_only_while_there_is_room() -> None:
    log = Log()
    watch = ReadingWatch(log)
    watch.look(0)
    log.room = False
    watch.look(50)
    log.room = True
    assert watch.look(STUCK_AFTER_S) == []


def test_a_worker_that_stops_reads_nothing_and_is_not_stuck() -> None:
    log = Log()
    watch = ReadingWatch(log)
    watch.look(0)
    log.draining = True
    assert watch.look(STUCK_AFTER_S) == []


def test_a_partition_that_comes_back_is_another() -> None:
    log = Log()
    watch = ReadingWatch(log)
    watch.look(0)
    task: Any = None
    log.partitions = [Partition(TopicPartition("reviews", 3), Committed(10), task)]
    assert watch.look(STUCK_AFTER_S) == []
