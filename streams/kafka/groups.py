"""Outcomes that leave in one transaction: parcels for several sink partitions, in the order in
which they were put."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from streams.kafka.parcels import Parcel, Record


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

    def without(self, slots: Collection[Any]) -> Group:
        """The group less these slots and their records."""
        if not slots:
            return self
        kept = []
        for where, parcel in self.parcels:
            pairs = zip(parcel.slots, parcel.records, strict=True)
            rest = [(slot, record) for slot, record in pairs if slot not in slots]
            if rest:
                left = Parcel(parcel.lane, [s for s, _ in rest], [r for _, r in rest])
                kept.append((where, left))
        return Group(kept)
