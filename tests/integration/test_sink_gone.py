"""A sink that is gone under a worker: nothing is committed past it, nothing is lost by it."""

from __future__ import annotations

import pytest

from tests.integration.harness import committed, create_topic, eventually, publish, read, verdict
from tests.integration.running import done, group_of, item, worker
from tests.integration.topics import delete_topic

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]


async def test_a_sink_that_is_gone_holds_the_task_until_it_is_back(broker, topic):
    """The worker lives on and says so; it commits nothing whose result is not written; when the
    sink is there again, every result that came meanwhile is in it, in order."""
    source = await topic(partitions=2)
    sink = f"{source}.out"
    await publish(broker.bootstrap, source, [(None, item(n), n % 2) for n in range(40)])
    with worker(broker, source) as process:
        await done(broker, process, source, [20, 20])
        begun = len(process.log)  # the worker has said that it created the sink
        await delete_topic(broker.bootstrap, sink)
        late = [(None, item(n), n % 2) for n in range(40, 240)]
        positions = await publish(broker.bootstrap, source, late)

        async def is_missed() -> bool:
            return sink in process.log[begun:]

        await eventually(is_missed, 60, lambda: process.log)
        assert await committed(broker.bootstrap, group_of(source), source, 2) == [20, 20]
        assert process.process.poll() is None, process.log

        async def is_back() -> bool:
            try:
                await create_topic(broker.bootstrap, sink, 2)
            except AssertionError:  # it is still being deleted
                return False
            return True

        await eventually(is_back, 60, lambda: process.log)
        await done(broker, process, source, [120, 120])
        assert process.stop() == 0, process.log
        assert process.summary["dead_letters"] == 0
        assert "Traceback" not in process.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert len(await read(broker.bootstrap, [sink])) == 200
