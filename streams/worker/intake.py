"""Decides how many records may come in, and takes them in: one memory budget, shared evenly (G8).

    max_buffered_mb  | items and their results | waiting       | copies | on its way |
                               1/2                 1/4            1/8       1/8
    with a ledger              3/8                 1/8            1/8       1/8      | 2 x 1/8 |
    with pipelines             3/8                 1/8            1/8       1/8      |     1/4 |

- *Items*: unsettled items, by their memory after decoding, with room for their results. Each
  partition may hold its share. A partition without room is not read, and is read again when half
  its share is free; a backlog in one partition takes nothing from another.
- *Waiting*: records that are fetched and not taken, with the inflated bytes of an open batch. It
  may also use what items leave free, up to half of the budget.
- *Copies*: of what is sent, and of a batch while it is inflated: twice the largest recent batch. If
  that is more than an eighth, the other parts shrink, items down to an eighth.
- *On its way* from the broker: one fetch, in memory twice while it is parsed.
- *Ledger*: entries that wait to be written, and entries that were read at the assignment.
- *Pipelines*: what their stages made and no later one has taken (`streams.running.trips`).

A partition that holds nothing may take one record of any size, as long as there is room in total:
so records larger than a share pass, a few at a time, and their partitions wait for each other.
Partitions whose records fit do not wait for them, even while others hold all the room (after a
rebalance a partition may hold much more than its new share): a tenth of the budget is kept for
them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from streams.kafka.consume.open_batches import Share
from streams.kafka.consume.reader import Allowance, Round
from streams.worker.partition import Partition

MAX_AT_ONCE = 200
"""Records that are decoded in one turn of the loop (about 1 ms)."""

FIRST_RECORDS = 100
MAX_RECORDS = 1000
"""Records a partition gets in one round at most; the first while their memory is unknown."""

FIRST_GROWTH = 8
GROWTH = 2
"""Memory of a record as a multiple of its bytes in Kafka: while the partition's records are not
measured, and later where the mean of earlier records is smaller. A text is in memory twice, as
bytes and as characters."""

PRESSING_SHARE = 0.75
"""The part of its share from which a partition asks for delivery at once. The rest is for records
that arrive during the delivery."""

FREE_SHARE = 0.5
"""A partition without room is read again when it holds at most this part of its share."""

FREE_AGAIN = 0.9
"""Partitions that wait for others are read again below this part of the items' budget. The rest of
it is for partitions that do not wait."""

MIN_FETCH_BYTES = 1_000_000


class Budget:
    """`max_buffered_mb` in shares, in bytes. `fetch_bytes`: the limit of one fetch. `ledger_bytes`:
    the limit of entries that wait to be written, and of entries that were read. `stage_bytes`: the
    limit of what is between the stages of all pipelines."""

    def __init__(self, total: int, *, ledger: bool = False, pipelines: bool = False) -> None:
        self.fetch_bytes = max(MIN_FETCH_BYTES, total // 16)
        self.ledger_bytes = total // 8
        self._total = total
        self.stage_bytes = total // 4
        self._others = 2 * self.ledger_bytes if ledger else 0
        self._others += self.stage_bytes if pipelines else 0

    def item_bytes(self, inflated_bytes: int = 0) -> int:
        """The limit for items. `inflated_bytes`: the size of the largest batch after
        decompression."""
        limit = (self._total - self._others) // 2
        return max(self._total // 8, min(limit, self._shared(inflated_bytes)))

    def waiting_bytes(self, item_bytes: int, inflated_bytes: int = 0) -> int:
        """The limit for records that are fetched and not taken, beside items of so many bytes."""
        free = self._shared(inflated_bytes) - item_bytes
        return max(self._total // 16, min(self._total // 2, free))

    def _shared(self, inflated_bytes: int) -> int:
        """For items and for what waits. A batch is in memory twice while it is inflated; at other
        times calls and the sink copy what they send."""
        copies = max(self._total // 8, 2 * inflated_bytes)
        return self._total * 7 // 8 - self._others - copies


class Room:
    """Divides the items' part of the budget among partitions."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._full: set[Partition] = set()
        self._partitions: Sequence[Partition] = ()
        self._all_full = False
        self._item_bytes = budget.item_bytes()

    def allowance(
        self,
        partitions: Sequence[Partition],
        others: Sequence[Partition] = (),
        inflated_bytes: int = 0,
    ) -> Allowance:
        """What the next round may bring. `others`: partitions that hold items and are not read.
        `inflated_bytes`: the size of the largest recent batch after decompression."""
        self._item_bytes = self._budget.item_bytes(inflated_bytes)
        self._full.clear()
        self._partitions = (*partitions, *others)
        buffered = self._buffered_bytes()
        free = self._item_bytes - buffered
        self._all_full = free <= 0
        share_bytes = self._item_bytes // len(self._partitions) if self._partitions else 0
        shares: dict[Partition, Share] = {}
        granted = 0.0
        for partition in partitions:
            share = self._share(partition, share_bytes)
            if share is None:
                self._full.add(partition)
                continue
            if self._all_full:
                if not self._may_take_one(partition):
                    continue
                share = self._share(partition, int(share_bytes * (1 - FREE_AGAIN)))
            if share is not None:
                shares[partition] = share
                granted += share.records * partition.mean_bytes
        waiting_bytes = self._budget.waiting_bytes(
            buffered + int(min(granted, max(0, free))), inflated_bytes
        )
        return Allowance(shares, max(1, free // GROWTH), waiting_bytes)

    def _buffered_bytes(self) -> int:
        return sum(partition.task.buffered_bytes(partition) for partition in self._partitions)

    def _may_take_one(self, partition: Partition) -> bool:
        """Whether a partition may be read although others hold more than their share: it holds
        nothing, and its records fit. Unmeasured ones are taken for the others'."""
        if partition.task.buffered_bytes(partition):
            return False
        mean_bytes = partition.mean_bytes if partition.measured else self._largest_mean_bytes()
        return mean_bytes <= self._item_bytes // len(self._partitions)

    def _largest_mean_bytes(self) -> float:
        means = (each.mean_bytes for each in self._partitions if each.measured)
        return max(means, default=inf)

    def _share(self, partition: Partition, share: int) -> Share | None:
        """What the partition may get; None: it has no room."""
        buffered = partition.task.buffered_bytes(partition)
        room = max(0, share - buffered)
        records = int(room / partition.mean_bytes)
        if not records and buffered:
            return None
        if not partition.measured:
            return Share(max(1, min(records, FIRST_RECORDS)), room // FIRST_GROWTH)
        return Share(max(1, min(records, MAX_RECORDS)), room // GROWTH)

    def can_read(self, partition: Partition, partitions: int) -> bool:
        """Whether a partition that was not read can be read again; `partitions`: how many share the
        budget."""
        if self._all_full:
            freed = self._buffered_bytes() <= self._item_bytes * FREE_AGAIN
            return freed or self._may_take_one(partition)
        share = self._item_bytes // max(1, partitions)
        buffered = partition.task.buffered_bytes(partition)
        return partition in self._full and buffered <= share * FREE_SHARE

    def presses(self, partition: Partition, partitions: int) -> bool:
        """Whether a partition needs its memory back; `partitions`: how many share the budget."""
        share = self._item_bytes // max(1, partitions)
        buffered = partition.task.buffered_bytes(partition)
        part = FREE_SHARE if partition in self._full else PRESSING_SHARE
        return self._all_full or buffered > share * part

    def has(self, partition: Partition) -> bool:
        """Whether more of the partition may be read."""
        return partition not in self._full and (not self._all_full or self._may_take_one(partition))

    def forget(self) -> None:
        """All partitions are gone."""
        self._full.clear()
        self._partitions, self._all_full = (), False


class Arrivals:
    """Takes rounds of records into the tasks, a little in each turn of the loop, so that no reply
    or acknowledgement waits for a whole round. `on_empty()`: all records are taken, or their
    partitions are closed."""

    def __init__(self, on_empty: Callable[[], None]) -> None:
        self._on_empty = on_empty
        self._waiting: deque[tuple[Partition, Sequence[Any], int]] = deque()

    def put(self, lists: Round) -> None:
        """Take these records, the first of them now."""
        idle = not self._waiting  # else `_take` is scheduled already
        for partition, records, position in lists:
            while len(records) > MAX_AT_ONCE:
                part, records = records[:MAX_AT_ONCE], records[MAX_AT_ONCE:]
                self._waiting.append((partition, part, part[-1].offset + 1))
            self._waiting.append((partition, records, position))
        if idle:
            self._take()

    def clear(self) -> None:
        """Drop what is not taken yet: it is read again, by us or by another worker."""
        self._waiting.clear()

    def _take(self) -> None:
        if not self._waiting:
            return  # cleared in the meantime: nobody waits for the answer
        partition, records, position = self._waiting.popleft()
        if partition.open:
            partition.task.arrived(partition, records, position)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._take)
        else:
            self._on_empty()
