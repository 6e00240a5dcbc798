"""Batches for records whose headers have names that are not UTF-8, which Kafka allows.

aiokafka's quick builder takes only UTF-8. Its builder in Python asks the name itself for its bytes,
so that a name can answer for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class AnyName(str):
    """The name of a header, whose bytes need not be UTF-8."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> bytes:
        return super().encode(encoding, errors)


class AnyNameBatch(BatchBuilder):
    """An empty batch of this producer that takes any names."""

    _builder: Any

    def __init__(self, producer: AIOKafkaProducer) -> None:
        accumulator, manager = producer._message_accumulator, producer._txn_manager
        size, compression = accumulator._batch_size, accumulator._compression_type
        super().__init__(size, compression)
        transactional = manager is not None and manager.transactional_id is not None
        self._builder = _DefaultRecordBatchBuilderPy(2, compression, transactional, -1, -1, 0, size)

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Any:
        names = [(AnyName(name), content) for name, content in headers]
        return super().append(timestamp=timestamp, key=key, value=value, headers=names)

    def _set_producer_state(self, *state: int) -> None:
        self._builder.set_producer_state(*state)
