"""Functions that print, exit, cancel and raise whatever there is, in a worker whose sinks are
new."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests import forked
from tests.integration.harness import CHECKOUT, publish, verdict
from tests.integration.running import done, item, worker

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

UNRULY = "tests.integration.unruly_apps:app"
TEXTS = ["exit", "generator exit", "memory", "base", "cancel"]


async def test_whatever_a_function_does_costs_its_item_alone_and_stdout_is_one_object(
    broker, topic
):
    """`sys.exit()` in a part ended the loop; asyncio's cancellations reached the Kafka client, and
    "has not acknowledged results for 5 s" came of every partition of the new sink."""
    source = await topic(partitions=2)
    texts = [TEXTS[n // 8] if n % 8 == 3 else "retry" if n == 6 else "fine" for n in range(40)]
    positions = await publish(
        broker.bootstrap, source, [(None, item(n, text), n % 2) for n, text in enumerate(texts)]
    )
    with worker(broker, source, app=UNRULY, TEST_SOURCE=source) as process:
        await done(broker, process, source, [20, 20], within_s=60)
        assert process.stop() == 0, process.log
        summary, log = process.summary, process.log  # the summary is all of stdout
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert (summary["results"], summary["dead_letters"]) == (35, 5)
    dead = [dict(each.headers) for each in found if each.topic.endswith(".dead")]
    assert {each["streams-error-code"] for each in dead} == {b"function_error"}
    for words in ("at the import", "a print", "C code", "a child"):
        assert words in log
    assert "not acknowledged" not in log


async def test_a_keyboard_interrupt_in_a_function_ends_the_worker_at_once_with_130(broker, topic):
    """It left a process with a closed loop, no page, and no exit before the watchdog's."""
    source = await topic()
    await publish(broker.bootstrap, source, [(None, item(0, "interrupt"), 0)])
    with worker(broker, source, app=UNRULY, TEST_SOURCE=source) as process:
        assert process.wait(40) == 130, process.log
        *_, line = [each for each in process.log.splitlines() if " ERROR " in each]
        assert "the worker ends at once" in line
        assert "KeyboardInterrupt at unruly_apps.py:" in line
        assert "Traceback" not in process.log


async def test_a_worker_that_has_committed_everything_ends_with_0_though_nobody_reads_it(
    broker, topic, tmp_path
):
    source = await topic()
    await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(3)])
    config = tmp_path / "streams.toml"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{broker.bootstrap}"\n'
        f'[worker]\nid = "{source}-group"\nweb = ""\n'
    )
    reading, writing = os.pipe()
    os.close(reading)
    environ = {**os.environ, "STREAMS_CONFIG": str(config), "TEST_SOURCES": source}
    command = ["streams", "worker", "--json", "--app", "tests.integration.trap_apps:app"]
    process: Any = forked.started(
        *command, cwd=CHECKOUT, env=environ, stdout=writing, stderr=writing
    )
    os.close(writing)

    class Watched:
        log = "nobody reads it"

    watched: Any = Watched()
    watched.process = process
    try:
        await done(broker, watched, source, [3], within_s=60)
        process.terminate()
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()
