"""Which partition a key goes to."""

from __future__ import annotations

from typing import Final

MAX_KEYS_BYTES: Final = 16 * 1024 * 1024
ENTRY_BYTES: Final = 160
"""The memory of a key beside its bytes: two objects, and its part of the table."""


class Places:
    """The partitions of keys, among `partitions` of a topic.

    Murmur2 in Python takes 0.5 us a byte, so places are cached: of the latest keys, in at most
    `limit_bytes` of memory.
    """

    def __init__(self, partitions: int, limit_bytes: int = MAX_KEYS_BYTES) -> None:
        self._partitions = partitions
        self._limit_bytes = limit_bytes
        self._places: dict[bytes, int] = {}
        self.keys_bytes = 0

    def of(self, key: bytes) -> int:
        """The partition of this key."""
        place = self._places.get(key)
        return self._remember(key) if place is None else place

    def _remember(self, key: bytes) -> int:
        place = place_of(key, self._partitions)
        size = len(key) + ENTRY_BYTES
        if size > self._limit_bytes:
            return place
        if self.keys_bytes + size > self._limit_bytes:
            self._places.clear()  # cheaper than finding the oldest one
            self.keys_bytes = 0
        self._places[key] = place
        self.keys_bytes += size
        return place


def place_of(key: bytes, partitions: int) -> int:
    """The partition where Kafka's own partitioner puts a key."""
    from aiokafka.partitioner import murmur2

    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
