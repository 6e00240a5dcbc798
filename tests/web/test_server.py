"""The server answers over real HTTP, takes another port where it must, and stops at once."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import aiohttp
import pytest
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from streams.errors import ConfigError
from streams.kafka.broker.tansu import free_port
from streams.model import Item
from streams.observe.web.reading import STUCK_AFTER_S
from streams.observe.web.web_server import PAGE, START_WITHIN_S, WebServer
from tests.web.assembly import Played

pytestmark = pytest.mark.timeout(30)


async def good(items: Sequence[Item]) -> list[Any]:
    return [{"label": "good"}] * len(items)


@asynccontextmanager
async def serving(address: str | None = None) -> AsyncIterator[tuple[Played, WebServer]]:
    """A worker and its server."""
    async with Played(good) as played:
        server = WebServer(
            played.worker, worker_id="reviews", address=address or f"127.0.0.1:{free_port()}"
        )
        await server.start()
        try:
            yield played, server
        finally:
            await server.stop()


async def get(server: WebServer, path: str, method: str = "GET") -> tuple[int, str, Any]:
    """Status, content type and text of an answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{server.url}{path}") as answer,
    ):
        return answer.status, answer.headers.get("Content-Type", ""), await answer.text()


async def get_json(server: WebServer, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}{path}") as answer:
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.json()


async def test_ready_is_503_before_partitions_are_assigned_200_after_and_503_while_stopping() -> (
    None
):
    async with serving() as (played, server):
        assert await get_json(server, "/ready") == (503, {"ready": False, "state": "starting"})
        played.assign(0)
        assert await get_json(server, "/ready") == (200, {"ready": True, "state": "running"})
        await played.worker.drain(1)
        assert await get_json(server, "/ready") == (503, {"ready": False, "state": "stopping"})


async def test_health_is_200_from_the_start_and_while_stopping() -> None:
    async with serving() as (played, server):
        assert await get_json(server, "/health") == (
            200,
            {"status": "ok", "state": "starting", "stuck": []},
        )
        await played.worker.drain(1)
        status, health = await get_json(server, "/health")
        assert (status, health["status"], health["state"]) == (200, "ok", "stopping")


async def test_health_is_503_after_a_minute_without_an_assignment_and_says_what_it_waits_for():
    async with serving() as (played, server):
        server._began -= START_WITHIN_S - 5
        assert (await get_json(server, "/health"))[0] == 200
        server._began -= 5
        played.consumer.waits = "no node coordinates group reviews"
        status, health = await get_json(server, "/health")
        assert (status, health["status"], health["state"]) == (503, "stuck", "starting")
        assert health["waits_for"] == "no node coordinates group reviews"
        played.worker.on_reader_error(KafkaError("something that may pass"))
        assert "something that may pass" in (await get_json(server, "/health"))[1]["waits_for"]
        played.assign(0)
        assert (await get_json(server, "/health"))[0] == 200


async def test_health_is_503_and_names_the_partition_when_reading_is_stuck() -> None:
    async with serving() as (played, server):
        (lane,) = played.assign(2)
        played.arrive(lane, "a", end=9)
        now = asyncio.get_running_loop().time()
        server._reading.look(now - STUCK_AFTER_S)
        status, health = await get_json(server, "/health")
        assert (status, health["status"]) == (503, "stuck")
        (stuck,) = health["stuck"]
        assert (stuck["topic"], stuck["partition"], stuck["position"], stuck["end"]) == (
            "reviews",
            2,
            1,
            9,
        )


async def test_the_server_looks_by_itself_whether_reading_is_stuck() -> None:
    async with serving() as (played, server):
        (lane,) = played.assign(2)
        played.arrive(lane, "a", end=9)
        assert server._looking is not None
        server._looking._run()  # type: ignore[attr-defined]
        assert lane in server._reading._starving


async def test_metrics_are_prometheus_text() -> None:
    async with serving() as (played, server):
        (lane,) = played.assign(0)
        played.arrive(lane, "a", "b", "c")
        await played.until_settled(3)
        status, content_type, text = await get(server, "/metrics")
    assert status == 200
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["streams_items_total", "result"] == 3.0


async def test_state_is_json() -> None:
    async with serving() as (played, server):
        played.assign(0, 1)
        status, state = await get_json(server, "/state")
    assert (status, state["worker"], state["state"]) == (200, "reviews", "running")
    assert [each["partition"] for each in state["tasks"][0]["partitions"]] == [0, 1]


async def test_every_view_is_read_only() -> None:
    async with serving() as (_, server):
        for path in ("/", "/health", "/ready", "/metrics", "/state"):
            for method in ("POST", "PUT", "DELETE"):
                status, _, _ = await get(server, path, method)
                assert status == 405, (method, path)
            status, _, body = await get(server, path, "HEAD")
            assert body == ""
        assert (await get(server, "/nothing"))[0] == 404


# -- the page --------------------------------------------------------------------------------------


async def test_the_page_is_one_html_file_that_loads_nothing_from_anywhere_else() -> None:
    async with (
        serving() as (_, server),
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/") as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        page = await answer.text()
    assert page == PAGE.read_text(encoding="utf-8")
    links = re.findall(r"(?:href|src|srcset|action)=\"([^\"]*)\"", page)
    assert set(links) == {"data:,", "state", "metrics", "health", "ready"}
    assert not re.findall(r"@import|url\(|<script src|<link rel=\"stylesheet", page)
    outside = set(re.findall(r"https?://[^\s\"']+", page))
    assert outside == {"http://www.w3.org/2000/svg"}  # a name space, never fetched


def test_the_page_puts_text_into_the_document_never_markup() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", page)


def test_the_page_is_light_and_dark() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in page
    assert '<meta name="color-scheme" content="light dark">' in page


async def test_the_page_reads_nothing_that_the_state_does_not_have() -> None:
    async with serving() as (played, server):
        played.sink.holding = True
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        await played.until(lambda: bool(played.sink.held))
        _, state = await get_json(server, "/state")
    (task,) = state["tasks"]
    (partition,) = task["partitions"]
    paused = {"reason", "until_ms", "message"}  # held by the tests of the state
    known = {
        "state": set(state),
        "task": set(task),
        "items": set(task["items"]),
        "calls": set(task["calls"]),
        "task.items": set(task["items"]),
        "task.paused": paused,
        "task.latency_ms": set(task["latency_ms"]),
        "task.tokens": set(task["tokens"]),
        "each": set(partition),
        "held": set(partition["blocking"]),
    }
    page = PAGE.read_text(encoding="utf-8")
    methods = {"map", "length"}
    for holder, keys in known.items():
        read = set(re.findall(rf"(?<![\w.]){re.escape(holder)}\.(\w+)", page)) - methods
        assert read, holder
        assert read <= keys, (holder, read - keys)


# -- starting and stopping -------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_it_listens_where_it_is_told_and_one_line_says_where(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    if host == "[::1]" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    caplog.set_level(logging.INFO, "streams.observe.web.web_server")
    port = free_port()
    async with serving(f"{host}:{port}") as (_, server):
        assert server.url == f"http://{host}:{port}"
        assert (await get(server, "/health"))[0] == 200
    assert [record.message for record in caplog.records] == [f"serving http://{host}:{port}"]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_where_the_port_is_taken_it_takes_the_next_free_one_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "streams.observe.web.web_server")
    async with serving() as (_, first):
        assert first.url is not None
        port = int(first.url.rpartition(":")[2])
        caplog.clear()
        async with serving(f"127.0.0.1:{port}") as (_, second):
            assert second.url is not None
            other = int(second.url.rpartition(":")[2])
            assert port < other <= port + 100
            assert (await get(second, "/health"))[0] == 200
            (line,) = [record.message for record in caplog.records]
            assert line == f"worker.web: 127.0.0.1:{port} is taken; serving {second.url}"


@pytest.mark.parametrize("address", ["192.0.2.1:6066", "no-such-host.invalid:6066"])
async def test_an_address_that_is_not_this_machines_is_an_error_of_the_configuration(
    address: str,
) -> None:
    async with Played(good) as played:
        server = WebServer(played.worker, worker_id="reviews", address=address)
        with pytest.raises(ConfigError, match=r"worker\.web: cannot serve"):
            await server.start()
        assert server.url is None


async def test_the_last_port_of_all_being_taken_is_an_error_of_the_configuration() -> None:
    with closing(socket.socket()) as taken:
        try:
            taken.bind(("127.0.0.1", 65_535))
        except OSError:
            pytest.skip("port 65535 is somebody's")
        taken.listen()
        async with Played(good) as played:
            server = WebServer(played.worker, worker_id="reviews", address="127.0.0.1:65535")
            with pytest.raises(ConfigError, match="are taken"):
                await server.start()


async def test_a_stop_waits_for_no_connection_idle_half_asked_or_unread() -> None:
    loop = asyncio.get_running_loop()
    writers = []

    def unread() -> bool:
        connections = server._runner.server.connections  # type: ignore[union-attr]
        return any(each.transport.get_write_buffer_size() > 65_536 for each in connections)

    async with serving() as (played, server):
        assert server.url is not None
        port = int(server.url.rpartition(":")[2])
        for sent in (
            b"",
            b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHo",
            b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" * 2000,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            writers.append(writer)
            if sent.endswith(b"here\r\n\r\n") and sent.count(b"GET") == 1:
                assert b"200 OK" in await reader.readline()
        await played.until(unread)
        before = loop.time()
        await server.stop()
        assert loop.time() - before < 1.0
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
    for writer in writers:
        writer.close()


async def test_a_stop_leaves_the_port_free_and_no_task_or_timer_behind() -> None:
    port = free_port()
    for _ in range(2):
        async with serving(f"127.0.0.1:{port}") as (_, server):
            assert server.url == f"http://127.0.0.1:{port}"
            await get(server, "/state")
    assert server._looking is not None
    assert server._looking.cancelled()


async def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    async with Played(good) as played:
        server = WebServer(played.worker, worker_id="reviews", address="127.0.0.1:1")
        await server.stop()
    async with serving() as (_, server):
        await server.stop()
