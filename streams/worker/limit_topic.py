"""The compacted topic `{worker id}.limits`: where workers tell what they use of a limit.

It is made, and read from its end, when a worker has company for the first time. All that counts in
it is seconds old, so it is deleted after an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.codec.limit_records import LimitRecord, decode_limit, encode_limit
from streams.kafka.admin import Admin
from streams.kafka.client import connected
from streams.kafka.topics import TopicSpec, prepare_with_retries
from streams.settings.values import limit_topic
from streams.worker.group_topic import GroupTopic, RecordCodec

SETTINGS: Final = (
    ("cleanup.policy", "compact,delete"),
    ("min.compaction.lag.ms", "0"),
    ("retention.ms", "3600000"),
    ("retention.bytes", "-1"),
    ("segment.ms", "3600000"),
    ("message.timestamp.type", "LogAppendTime"),
)
"""Whatever the source has."""

MEANWHILE: Final = "Each worker keeps to its own part of the limits meanwhile"


async def start_limit_topic(
    worker_id: str,
    source: str,
    keywords: Mapping[str, Any],
    on_record: Callable[[LimitRecord], None],
) -> GroupTopic[LimitRecord]:
    """The topic, made like `source` if it is missing; its records from now on. `keywords`: of
    Kafka's clients. Raises BrokerError, KafkaError."""
    name, servers = limit_topic(worker_id), keywords["bootstrap_servers"]
    spec = TopicSpec(name, source, compacts=True, settings=SETTINGS, partitions=1)
    async with connected(Admin(**keywords), servers) as admin:
        await prepare_with_retries(admin, [source], [spec])
    codec = RecordCodec(encode_limit, decode_limit)
    topic = GroupTopic(name, keywords, codec, on_record, meanwhile=MEANWHILE)
    try:
        await topic.start(history=False)
    except BaseException:
        await topic.stop()
        raise
    return topic
