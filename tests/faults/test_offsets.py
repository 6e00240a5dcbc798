"""A node that is not the group's coordinator says nothing about its offsets."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.committed import Committed
from streams.kafka.consume.offsets import fetch_committed
from tests.integration.harness import commit

pytestmark = pytest.mark.kafka


async def test_an_error_is_not_taken_for_a_group_that_has_never_committed(cluster, topic):
    """aiokafka 0.14 would: the partition would be done again from its beginning."""
    name = await topic()
    group, place = f"{name}-group", TopicPartition(name, 0)
    await commit(cluster.bootstrap, group, name, 7)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=cluster.bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        coordinator = consumer._coordinator
        assert await fetch_committed(coordinator, [place]) == {place: Committed(7)}
        assert await fetch_committed(coordinator, [TopicPartition(name, 1)]) == {}
        others = {broker.nodeId for broker in consumer._client.cluster.brokers()}
        coordinator.coordinator_id = (others - {coordinator.coordinator_id}).pop()
        assert await consumer.committed(place) is None, "aiokafka has learned it: drop ours"
        with pytest.raises(KafkaError) as raised:
            await fetch_committed(coordinator, [place])
        assert raised.value.retriable
        assert await fetch_committed(coordinator, [place]) == {place: Committed(7)}
    finally:
        await consumer.stop()
