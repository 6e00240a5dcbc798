"""The proxy does to a connection what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streams.kafka.broker.child import free_port
from tests.faults.proxy import Network, proxied
from tests.serving import serving


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Network, int]]:
    """A server that says everything again, behind a proxy; the network and the proxy's port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)

    listen = free_port()
    async with serving(echo) as target:
        with proxied(listen, target) as network:
            yield network, listen


async def test_what_is_said_comes_through_and_a_delay_makes_it_later():
    async with echoing() as (network, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        network.delay(0.2)
        began = time.monotonic()
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        assert time.monotonic() - began >= 0.4  # there and back
        writer.close()


async def test_a_cut_holds_everything_back_and_tells_nobody_until_it_is_healed():
    async with echoing() as (network, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        network.cut()
        await asyncio.sleep(0.05)  # for the proxy's thread
        writer.write(b"one")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(3), 0.3)
        network.heal()
        assert await asyncio.wait_for(reader.readexactly(3), 5) == b"one"
        writer.close()


async def test_a_reset_ends_what_is_open_and_lets_new_connections_through():
    async with echoing() as (network, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"one")
        await reader.readexactly(3)
        network.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        assert network.connections == 2
        writer.close()


async def test_refused_means_that_nobody_listens_until_it_is_healed():
    async with echoing() as (network, port):
        network.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        network.heal()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
