"""Notices fetches that the broker answers with an error that aiokafka only logs.

aiokafka would fetch again at once, and for ever: a partition whose log is damaged on the broker's
disk would stand still without a word, and keep its node busy.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, UnknownError, for_code
from aiokafka.protocol.fetch import FetchRequest

from streams.kafka.consume.fetched_records import UnreadableError

UNKNOWN_TRIES = 10
"""The broker may be in trouble for some seconds."""

TRIES = {CorruptRecordException: UnreadableError.tries, UnknownError: UNKNOWN_TRIES}
"""`UnknownError` stands for any code that aiokafka does not know, as KAFKA_STORAGE_ERROR."""


def report_refused_fetches(consumer: AIOKafkaConsumer) -> None:
    """Let a started consumer have an UnreadableError for such a partition, until it is taken."""
    client = consumer._client
    send = client.send

    async def sending(node_id: Any, request: Any, *args: Any, **keywords: Any) -> Any:
        response = await send(node_id, request, *args, **keywords)
        if isinstance(request, FetchRequest):
            for topic, partitions in response.topics:
                for number, code, *_ in partitions:
                    if for_code(code) in TRIES:
                        _report(consumer, TopicPartition(topic, number), code)
        return response

    client.send = sending


def _report(consumer: AIOKafkaConsumer, partition: TopicPartition, code: int) -> None:
    fetcher, subscription = consumer._fetcher, consumer._subscription
    if partition in fetcher._records or not subscription.is_assigned(partition):
        return
    position = subscription.subscription.assignment.state_value(partition)._position
    error = UnreadableError(partition, position, f"the broker cannot read it (error {code})")
    error.tries = TRIES[for_code(code)]
    fetcher._set_error(partition, error)
    for waiter in fetcher._fetch_waiters:
        fetcher._notify(waiter)
