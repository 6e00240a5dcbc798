"""What Faust and its consumer are told, whatever Faust would choose."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.app import App
from streams.kafka.consume.thread import MAX_POLL_INTERVAL_S, ConsumerThread
from streams.settings import load_settings
from streams.worker.handover import REVOKE_WITHIN_S

VARIABLES = {"STREAMS_WORKER__ID": "reviews", "STREAMS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}


def _app(**more: str) -> App:
    return App(load_settings(None, {**VARIABLES, **more}, need_tasks=False), environ={})


async def _told(app: App) -> Any:
    """The aiokafka consumer that the app's consumer thread makes; it connects to nothing."""
    thread = SimpleNamespace(app=app, host=app.record_host)
    client = ConsumerThread._create_worker_consumer(thread, None)  # type: ignore[arg-type]
    await client.stop()
    return client


async def test_the_poll_interval_is_out_of_reach():
    """23 days; aiokafka would leave the group for ever when it is over."""
    told = await _told(_app())
    assert told._max_poll_interval_ms == MAX_POLL_INTERVAL_S * 1000 == 2_000_000_000


async def test_a_revocation_ends_before_the_group_gives_the_worker_up():
    assert (await _told(_app()))._rebalance_timeout_ms > REVOKE_WITHIN_S * 1000


async def test_aborted_records_are_not_read():
    assert (await _told(_app()))._isolation_level == "read_committed"


async def test_offsets_are_committed_by_us_and_out_of_range_is_an_error():
    told = await _told(_app())
    assert told._enable_auto_commit is False
    assert told._auto_offset_reset == "none"


@pytest.mark.parametrize(
    ("buffered_mb", "fetch", "partition"),
    [("1", 1_000_000, 1_000_000), ("16", 1_000_000, 1_000_000), ("64", 4_000_000, 1_048_576)],
)
async def test_one_fetch_brings_a_sixteenth_of_the_budget(buffered_mb, fetch, partition):
    """But never less than 1 MB."""
    told = await _told(_app(STREAMS_WORKER__MAX_BUFFERED_MB=buffered_mb))
    assert told._fetch_max_bytes == fetch
    assert told._max_partition_fetch_bytes == partition


async def test_the_session_is_the_configured_one():
    told = await _told(_app(STREAMS_KAFKA__SESSION_TIMEOUT_S="30"))
    assert told._session_timeout_ms == 30_000
    assert told._heartbeat_interval_ms == 1_000


async def test_fausts_unprefixed_variables_do_not_reach_the_app(monkeypatch):
    """They would override explicit keywords."""
    for name, value in {
        "BROKER_URL": "kafka://elsewhere:9092",
        "PROCESSING_GUARANTEE": "exactly_once",
        "WEB_PORT": "1",
        "APP_DATADIR": "/elsewhere",
        "CONSUMER_AUTO_OFFSET_RESET": "latest",
    }.items():
        monkeypatch.setenv(name, value)
    conf = _app().conf
    assert [str(url) for url in conf.broker] == ["streams://127.0.0.1:9"]
    assert conf.processing_guarantee.value == "at_least_once"
    assert conf.web_port != 1
    assert "elsewhere" not in str(conf.datadir)
    assert conf.consumer_auto_offset_reset == "earliest"


async def test_faust_waits_for_tables_only_where_agents_may_name_some():
    """A second of every start: a worker of tasks alone has none to wait for."""
    app = _app()
    await asyncio.wait_for(app.tables.sleep(3600), 5)

    @app.agent(app.topic("orders"))
    async def count(orders: Any) -> None: ...

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(app.tables.sleep(3600), 0.01)


def test_the_consumers_thread_keeps_no_process_whose_loop_has_ended():
    """Under `faust -A` and in a program of one's own: it waited for the thread for ever."""
    assert ConsumerThread.Worker(service=None).daemon
