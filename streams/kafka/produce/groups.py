"""Outcomes that leave in one transaction: parcels for several sink partitions, in the order in
which they were put."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from streams.kafka.produce.parcels import Parcel, Record, Sender


class Sent(NamedTuple):
    """A batch that was offered: records `first` to `first + taken` of those for `where`."""

    where: TopicPartition
    first: int
    taken: int
    size: int
    acknowledged: asyncio.Future[Any]

    @property
    def error(self) -> BaseException | None:
        """Why it was refused; None: it was not, or nobody has answered."""
        if not self.acknowledged.done() or self.acknowledged.cancelled():
            return None
        return self.acknowledged.exception()


class Ended(Enum):
    """What became of a transaction that failed on the way."""

    UNDONE = "nothing of it happened"
    DONE = "all of it happened"
    LOST = "somebody else has committed"


class Commits:
    """Who waits for a commit of a lane, in the order of asking; false when nobody does."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[bool]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return not all(waiting.done() for waiting in self._waiting)

    def ask(self) -> asyncio.Future[bool]:
        """Its result: whether it is committed."""
        self._waiting.append(asyncio.get_running_loop().create_future())
        return self._waiting[-1]

    def answer(self, count: int | None = None, *, committed: bool) -> None:
        """Tell the first so many; None: everybody."""
        for waiting in self._waiting[:count]:
            if not waiting.done():  # else whoever asked had no more time
                waiting.set_result(committed)
        del self._waiting[:count]


class Group:
    """`parcels`: of one lane, with where each goes."""

    def __init__(self, parcels: Sequence[tuple[TopicPartition, Parcel]]) -> None:
        self.parcels = parcels

    def __bool__(self) -> bool:
        return bool(self.parcels)

    def __len__(self) -> int:
        return sum(len(parcel.slots) for _, parcel in self.parcels)

    @property
    def lane(self) -> Any:
        return self.parcels[0][1].lane

    @property
    def sender(self) -> Sender:
        return self.parcels[0][1].sender

    @property
    def slots(self) -> set[Any]:
        return {slot for _, parcel in self.parcels for slot in parcel.slots}

    def by_where(self) -> Mapping[TopicPartition, list[Parcel]]:
        """The parcels of each sink partition, in order."""
        found: dict[TopicPartition, list[Parcel]] = {}
        for where, parcel in self.parcels:
            found.setdefault(where, []).append(parcel)
        return found

    def at(self, where: TopicPartition, number: int) -> tuple[Any, Record]:
        """The slot and the record that is number so many (from 0) for this sink partition."""
        for parcel in self.by_where()[where]:
            if number < len(parcel.slots):
                return parcel.slots[number], parcel.records[number]
            number -= len(parcel.slots)
        raise IndexError(number)

    def record_of(self, slot: Any) -> Record:
        """The record that a slot has here."""
        return next(
            record
            for _, parcel in self.parcels
            for each, record in zip(parcel.slots, parcel.records, strict=True)
            if each is slot
        )

    def with_instead(self, slot: Any, record: Record | None) -> Group:
        """The group with another record for this slot; None: without it."""
        parcels = []
        for where, parcel in self.parcels:
            pairs = zip(parcel.slots, parcel.records, strict=True)
            kept = [
                (each, record if each is slot else old)
                for each, old in pairs
                if each is not slot or record is not None
            ]
            if kept:
                slots, records = zip(*kept, strict=True)
                parcels.append((where, parcel._replace(slots=slots, records=records)))
        return Group(parcels)
