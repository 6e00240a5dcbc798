"""The port between Faust and the worker: what the transport asks of the taker of lists
(`RecordHost`), and what that one may ask of the transport (`RecordSource`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Any, Protocol

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.kafka.consume.lease import Lease
from streams.kafka.consume.reader import Allowance, Round


class RecordSource(Protocol):
    """Where the lists come from: `streams.kafka.consume.transport.Consumer`."""

    def allow(self, allowance: Allowance) -> None:
        """Answer a round."""
        ...

    def set_allowance(self, allowance: Allowance) -> None:
        """A lane has room again between two rounds."""
        ...

    def close_reader(self) -> None:
        """Stop reading for good (a graceful stop began)."""
        ...

    def waits_for(self) -> str:
        """What the first assignment waits for."""
        ...

    def join_again(self) -> None:
        """Ask for a new assignment."""
        ...

    async def commit_watermarks(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        """Commit; False: nothing was committed. Raises KafkaError."""
        ...

    async def committed(self, partition: TopicPartition) -> Committed | None:
        """What the group has committed for a partition; None: nothing. Raises KafkaError."""
        ...

    def inflated_bytes(self) -> int:
        """The size of the largest recent batch after decompression, in bytes."""
        ...

    def position_of(self, partition: TopicPartition) -> int | None:
        """The offset that is read next; None: the partition is not read."""
        ...

    def end_of(self, partition: TopicPartition) -> int | None:
        """The partition's end at its last fetch; None: not fetched yet."""
        ...


class RecordHost(Protocol):
    """The taker of the lists: `streams.worker.worker.Worker`. Called in the worker's loop."""

    @property
    def sources(self) -> frozenset[str]:
        """Topics that come as lists."""
        ...

    @property
    def consumer_keywords(self) -> Mapping[str, Any]:
        """Keywords of `AIOKafkaConsumer`: the connection, timeouts, fetch sizes."""
        ...

    @property
    def start(self) -> str:
        """`earliest` or `latest`: where a group begins without committed offsets of a source."""
        ...

    @property
    def transactional(self) -> bool:
        """Whether outcomes and offsets leave in transactions."""
        ...

    @property
    def checks_log_end(self) -> bool:
        """False where the broker's end offsets are wrong (the embedded one)."""
        ...

    @property
    def lease(self) -> Lease:
        """Extended whenever the group treats this worker as alive."""
        ...

    @property
    def draining(self) -> bool:
        """Whether a graceful stop has begun."""
        ...

    def attach(self, consumer: RecordSource) -> None:
        """The consumer of this host, once it exists."""
        ...

    async def on_revoked(self) -> None:
        """Drain, commit and suspend every lane."""
        ...

    async def before_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """These partitions are about to be assigned. Raises BrokerError where they cannot be."""
        ...

    async def before_lanes(self, starts: Mapping[TopicPartition, Committed]) -> None:
        """Lanes for these partitions follow; their earlier owners no longer write."""
        ...

    def on_assigned(
        self,
        starts: Mapping[TopicPartition, Committed],
        missing: Set[TopicPartition] = frozenset(),
    ) -> Mapping[TopicPartition, tuple[Any, int]]:
        """A lane for each partition, and the offset to read it from; `starts`: the last commit, or
        where a partition without a commit begins. `missing`: partitions that are ours too, but
        cannot be read now."""
        ...

    def allowance(self) -> Allowance:
        """What the next round may bring."""
        ...

    def on_records(self, lists: Round) -> None:
        """Take one round; must be answered with `RecordSource.allow`."""
        ...

    def on_reader_error(self, error: BaseException) -> bool:
        """Reading failed. True: it cannot go on; False: it is tried again."""
        ...

    def on_rebalance_error(self, error: BaseException) -> None:
        """A rebalance failed in an unexpected way: nothing would be read."""
        ...
