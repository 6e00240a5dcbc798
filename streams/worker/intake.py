"""What may come in, and taking it in: memory bounded by one budget and shared evenly (contract G8).

    max_buffered_mb  | items and their results | waiting       | copies | on its way |
                               1/2                 1/4            1/8       1/8
    with a ledger              3/8                 1/8            1/8       1/8      | 2 x 1/8 |

- *Items* that are not settled, by their memory once they are decoded, with room for their results.
  Each partition may hold its share. One without room is not read, and is read again when half its
  share is free; a backlog in one partition takes nothing from another.
- *Waiting*: fetched and not taken, an open batch with its inflated bytes; also what items leave
  unused, up to half.
- *Copies* while something is sent, and while a batch is inflated: twice the largest one of late,
  which others give up where that is more than an eighth, down to an eighth for items.
- *On its way* from the broker: one fetch, there twice while it is taken apart.
- *Ledger*: what waits to be written, and what was read at the assignment.

A partition that holds nothing may take one record whatever its size, as long as all together have
room: records larger than a share pass, a few at a time, and their partitions wait for each other.
Those whose records fit do not wait, not even while others hold all there is room for (after a
rebalance a partition may hold much more than its new share): what is kept free is shared by them.
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
"""How much larger than its bytes in Kafka a record is taken to be in memory: while nothing is known
of the partition's records, and after that, where the mean of those before would say less. A text is
there twice, as bytes and as characters."""

PRESSING_SHARE = 0.75
"""What a partition may hold before it wants to be delivered at once. The rest is for what arrives
while that is under way."""

FREE_SHARE = 0.5
"""What a partition without room holds at most when it is read again."""

FREE_AGAIN = 0.9
"""Of the items' budget: below it partitions are read again that had to wait for others. As much as
the rest of it is for those that do not wait."""

MIN_FETCH_BYTES = 1_000_000


class Budget:
    """`max_buffered_mb` in shares, in bytes. `fetch_bytes`: what one fetch may bring.
    `ledger_bytes`: what may wait to be written, and what may be kept of what was read."""

    def __init__(self, total: int, *, ledger: bool = False) -> None:
        self.fetch_bytes = max(MIN_FETCH_BYTES, total // 16)
        self.ledger_bytes = total // 8
        self._total = total
        self._ledgers = 2 * self.ledger_bytes if ledger else 0

    def item_bytes(self, inflated_bytes: int = 0) -> int:
        """What items may take. `inflated_bytes`: what a batch inflates to."""
        most = (self._total - self._ledgers) // 2
        return max(self._total // 8, min(most, self._shared(inflated_bytes)))

    def waiting_bytes(self, item_bytes: int, inflated_bytes: int = 0) -> int:
        """What may wait, fetched and not taken, beside items of so many bytes."""
        free = self._shared(inflated_bytes) - item_bytes
        return max(self._total // 16, min(self._total // 2, free))

    def _shared(self, inflated_bytes: int) -> int:
        """For items and what waits. A batch is there twice while it is inflated; at other times
        calls and the sink copy what they send."""
        copies = max(self._total // 8, 2 * inflated_bytes)
        return self._total * 7 // 8 - self._ledgers - copies


class Room:
    """Shares the items' part of the budget out to partitions."""

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
        """What the next round may bring. `others`: partitions that hold items, and are not read.
        `inflated_bytes`: what the largest batch took of late."""
        self._item_bytes = self._budget.item_bytes(inflated_bytes)
        self._full.clear()
        self._partitions = (*partitions, *others)
        held = self._held()
        free = self._item_bytes - held
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
                if not self._passes(partition):
                    continue
                share = self._share(partition, int(share_bytes * (1 - FREE_AGAIN)))
            if share is not None:
                shares[partition] = share
                granted += share.records * partition.mean_bytes
        waiting_bytes = self._budget.waiting_bytes(
            held + int(min(granted, max(0, free))), inflated_bytes
        )
        return Allowance(shares, max(1, free // GROWTH), waiting_bytes)

    def _held(self) -> int:
        return sum(partition.task.held(partition) for partition in self._partitions)

    def _passes(self, partition: Partition) -> bool:
        """Whether a partition may be read though others hold more than their share: it holds
        nothing, and its records fit. One of which nothing is known is like the others."""
        if partition.task.held(partition):
            return False
        means = [each.mean_bytes for each in self._partitions if each.measured]
        mean_bytes = partition.mean_bytes if partition.measured else max(means, default=inf)
        return mean_bytes <= self._item_bytes // len(self._partitions)

    def _share(self, partition: Partition, share: int) -> Share | None:
        """What the partition may get; None: it has no room."""
        held = partition.task.held(partition)
        room = max(0, share - held)
        records = int(room / partition.mean_bytes)
        if not records and held:
            return None
        if not partition.measured:
            return Share(max(1, min(records, FIRST_RECORDS)), room // FIRST_GROWTH)
        return Share(max(1, min(records, MAX_RECORDS)), room // GROWTH)

    def came_back(self, partition: Partition, partitions: int) -> bool:
        """Whether a partition that was not read can be read again; `partitions`: how many share."""
        if self._all_full:
            return self._held() <= self._item_bytes * FREE_AGAIN or self._passes(partition)
        share = self._item_bytes // max(1, partitions)
        return partition in self._full and partition.task.held(partition) <= share * FREE_SHARE

    def presses(self, partition: Partition, partitions: int) -> bool:
        """Whether a partition needs back what it holds; `partitions`: how many share."""
        share, held = self._item_bytes // max(1, partitions), partition.task.held(partition)
        part = FREE_SHARE if partition in self._full else PRESSING_SHARE
        return self._all_full or held > share * part

    def has(self, partition: Partition) -> bool:
        """Whether more of the partition may be read."""
        return partition not in self._full and (not self._all_full or self._passes(partition))

    def forget(self) -> None:
        """All partitions are gone."""
        self._full.clear()
        self._partitions, self._all_full = (), False


class Arrivals:
    """Takes rounds of records into the tasks, a little in each turn of the loop, so that no reply
    or acknowledgement waits for a whole round. `on_taken()`: all that had come is taken, or its
    partitions are gone."""

    def __init__(self, on_taken: Callable[[], None]) -> None:
        self._on_taken = on_taken
        self._waiting: deque[tuple[Partition, Sequence[Any], int]] = deque()

    def put(self, lists: Round) -> None:
        """Take these records, the first of them now."""
        idle = not self._waiting  # else `_take` is called anyway
        for partition, records, position in lists:
            while len(records) > MAX_AT_ONCE:
                part, records = records[:MAX_AT_ONCE], records[MAX_AT_ONCE:]
                self._waiting.append((partition, part, part[-1].offset + 1))
            self._waiting.append((partition, records, position))
        if idle:
            self._take()

    def clear(self) -> None:
        """Forget what was not taken yet: it is read again, or by somebody else."""
        self._waiting.clear()

    def _take(self) -> None:
        if not self._waiting:
            return  # cleared meanwhile: nobody waits for the answer
        partition, records, position = self._waiting.popleft()
        if partition.open:
            partition.task.arrived(partition, records, position)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._take)
        else:
            self._on_taken()
