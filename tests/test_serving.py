"""What the servers of tests leave behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from tests.serving import serving


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)


async def test_a_connection_is_served_until_the_end() -> None:
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("rounds", range(8))
async def test_a_server_that_ends_while_somebody_connects_leaves_no_socket(rounds: int) -> None:
    """asyncio takes a connection in several rounds of its loop. A socket that nobody owns is an
    error of whatever test runs when it is collected."""
    async with serving(echo) as port:
        client = socket.create_connection(("127.0.0.1", port))
        for _ in range(rounds):
            await asyncio.sleep(0)
    client.close()
    gc.collect()
