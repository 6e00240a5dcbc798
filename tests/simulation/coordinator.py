"""Transactions as Kafka's coordinator and the leaders of the sink keep them, as far as one reader
with `isolation.level=read_committed` can tell.

Rules of this file:
1. A transactional id has one producer id. `init` raises its epoch: whoever has an older one is
   fenced. What was open is aborted; until that has reached everybody `init` is to be asked again.
2. `end` decides; the decision stands from then on, whoever dies. It is carried out a little later:
   where a leader stands still, when it goes on. Till then nothing else happens under this id.
3. A transaction that is open for longer than its time limit is aborted, and its producer fenced.
4. A leader takes a batch only of a transaction that is open and has this partition, and each
   sequence number once.
5. A reader sees the records of a partition in the log's order, up to the first of a transaction
   that is still open. Its offsets are the group's from the moment its records are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.errors import (
    ConcurrentTransactions,
    InvalidProducerEpoch,
    InvalidTxnState,
    KafkaError,
    OutOfOrderSequenceNumber,
)

from streams.codec.committed import Committed
from tests.simulation.ledger import Item, Tenure
from tests.simulation.sinks import Parcel

if TYPE_CHECKING:
    from tests.simulation.world import World

Where = tuple[str, int]
NONE: type[KafkaError] | None = None


class State(Enum):
    EMPTY = "nothing was begun"
    OPEN = "open"
    DECIDED = "decided, and not carried out"
    DONE = "carried out"


class Entry(NamedTuple):
    """A record in the log of a sink partition."""

    transaction: Transaction
    parcel: Parcel
    tenure: Tenure
    item: Item


class Transaction:
    """`partitions`: those that were added; `offsets`: of source partitions, with their metadata and
    who asked for them, once `grouped`. `committed`: how it was decided; None: it was not."""

    def __init__(self) -> None:
        self.state = State.EMPTY
        self.partitions: set[Where] = set()
        self.grouped = False
        self.offsets: dict[int, tuple[int, str, Tenure]] = {}
        self.items: list[Item] = []
        self.committed: bool | None = None


class Owner:
    """A transactional id, as the coordinator knows it."""

    def __init__(self, number: int) -> None:
        self.producer_id = number
        self.epoch = -1
        self.transaction = Transaction()
        self.sequences: dict[Where, int] = {}  # the next one, in this epoch


class Coordinator:
    """`owners`: by transactional id. `aborted`: transactions that came to nothing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.owners: dict[str, Owner] = {}
        self.aborted = 0
        self._logs: dict[Where, list[Entry]] = defaultdict(list)
        self._seen: dict[Where, int] = defaultdict(int)

    @property
    def at_rest(self) -> bool:
        """Nothing is open, and everything that was decided is carried out."""
        states = (owner.transaction.state for owner in self.owners.values())
        return all(state in (State.EMPTY, State.DONE) for state in states)

    # -- what producers ask for ------------------------------------------------------------------

    def init(self, name: str) -> tuple[type[KafkaError] | None, int, int]:
        owner = self.owners.setdefault(name, Owner(len(self.owners)))
        transaction = owner.transaction
        if transaction.state is State.OPEN:
            owner.epoch += 1
            self._decide(owner, committed=False)
        if transaction.state is State.DECIDED:
            return ConcurrentTransactions, -1, -1
        owner.epoch += 1
        owner.transaction = Transaction()
        owner.sequences.clear()
        return NONE, owner.producer_id, owner.epoch

    def add_partitions(
        self, name: str, epoch: int, partitions: Iterable[Where]
    ) -> type[KafkaError] | None:
        error, transaction = self._begun(name, epoch)
        if transaction is not None:
            transaction.partitions |= set(partitions)
        return error

    def add_group(self, name: str, epoch: int) -> type[KafkaError] | None:
        error, transaction = self._begun(name, epoch)
        if transaction is not None:
            transaction.grouped = True
        return error

    def add_offsets(
        self, name: str, epoch: int, offsets: Mapping[int, tuple[int, str, Tenure]]
    ) -> type[KafkaError] | None:
        owner = self.owners[name]
        if epoch != owner.epoch:
            return InvalidProducerEpoch
        if owner.transaction.state is not State.OPEN or not owner.transaction.grouped:
            return InvalidTxnState
        owner.transaction.offsets.update(offsets)
        return NONE

    def end(self, name: str, epoch: int, *, committed: bool) -> type[KafkaError] | None:
        owner = self.owners[name]
        transaction = owner.transaction
        if epoch != owner.epoch:
            return InvalidProducerEpoch
        if transaction.state is State.OPEN:
            self._decide(owner, committed=committed)
            return NONE
        if transaction.committed is not committed:
            return InvalidTxnState
        return ConcurrentTransactions if transaction.state is State.DECIDED else NONE

    def write(
        self,
        name: str,
        epoch: int,
        sequence: int,
        where: Where,
        records: list[tuple[Parcel, Tenure, Item]],
    ) -> type[KafkaError] | None:
        owner = self.owners[name]
        transaction = owner.transaction
        if epoch != owner.epoch:
            return InvalidProducerEpoch
        if transaction.state is not State.OPEN or where not in transaction.partitions:
            return InvalidTxnState
        expected = owner.sequences.get(where, 0)
        if sequence < expected:  # it has been written, and the answer was lost
            return NONE
        if sequence > expected:
            return OutOfOrderSequenceNumber
        owner.sequences[where] = sequence + len(records)
        for parcel, tenure, item in records:
            self._logs[where].append(Entry(transaction, parcel, tenure, item))
            transaction.items.append(item)
        return NONE

    # -- how transactions begin and end ----------------------------------------------------------

    def _begun(self, name: str, epoch: int) -> tuple[type[KafkaError] | None, Transaction | None]:
        """The transaction that is open, or a new one."""
        owner = self.owners[name]
        if epoch != owner.epoch:
            return InvalidProducerEpoch, None
        if owner.transaction.state is State.DECIDED:
            return ConcurrentTransactions, None
        if owner.transaction.state is not State.OPEN:
            owner.transaction = Transaction()
            owner.transaction.state = State.OPEN
            limit_s = self._world.parameters.transaction_s
            self._world.loop.call_later(limit_s, self._out_of_time, owner, owner.transaction)
        return NONE, owner.transaction

    def _out_of_time(self, owner: Owner, transaction: Transaction) -> None:
        if transaction.state is State.OPEN:
            owner.epoch += 1
            self._world.note(f"a transaction of producer {owner.producer_id} is out of time")
            self._decide(owner, committed=False)

    def _decide(self, owner: Owner, *, committed: bool) -> None:
        owner.transaction.state = State.DECIDED
        owner.transaction.committed = committed
        self.aborted += not committed
        wait_s = 1.0 if self._world.faulty(0.1) else self._world.soon()
        self._world.loop.call_later(wait_s, self._carry_out, owner.transaction)

    def _carry_out(self, transaction: Transaction) -> None:
        world = self._world
        until = max(
            (world.weather.until("freeze", partition) for _, partition in transaction.partitions),
            default=0.0,
        )
        until = max(until, world.weather.until("commits hang", 0))
        if until > world.now():
            world.loop.call_at(until, self._carry_out, transaction)
            return
        transaction.state = State.DONE
        with world.guard():
            if transaction.committed:
                self._commit(transaction)
            for where in transaction.partitions:
                self._read(where)

    def _commit(self, transaction: Transaction) -> None:
        """Records and offsets are there at one moment."""
        world = self._world
        for item in transaction.items:
            item.durable = True
        for partition, (offset, text, tenure) in transaction.offsets.items():
            world.ledger.commit(tenure, Committed.read(offset, text))
            world.group.offsets[partition] = offset, text
        world.ledger.check_committed(transaction.items)

    def _read(self, where: Where) -> None:
        """A reader goes on as far as it may."""
        log = self._logs[where]
        while self._seen[where] < len(log):
            entry = log[self._seen[where]]
            if entry.transaction.state is not State.DONE:
                return
            self._seen[where] += 1
            if entry.transaction.committed:
                self._world.broker.written += 1
                self._world.wrote(entry.parcel, entry.tenure, entry.item, *where)
