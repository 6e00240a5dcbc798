"""A group that cannot be joined, or only later."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer

from tests.integration.harness import publish
from tests.integration.running import done, group_of, item, logged, worker

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]


async def test_a_group_with_members_of_another_kind_is_joined_when_they_are_gone(broker, topic):
    """Until then the worker says why it reads nothing."""
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, [(None, item(n), n % 2) for n in range(20)])
    other = AIOKafkaConsumer(  # assigns by another protocol: round robin
        source,
        bootstrap_servers=broker.bootstrap,
        group_id=group_of(source),
        enable_auto_commit=False,
    )
    await other.start()
    try:
        with worker(broker, source) as process:
            await logged(process, "cannot be joined")
            assert process.process.poll() is None, process.log
            await other.stop()
            await done(broker, process, source, [10, 10], within_s=30)
            assert process.log.count("cannot be joined") == 1, process.log
            assert process.stop() == 0, process.log
    finally:
        await other.stop()
