"""A TCP server in a test; it leaves nothing open at its end, not even what has just connected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, port: int = 0, **keywords: Any) -> AsyncIterator[int]:
    """A server on 127.0.0.1; the port, `port` or a free one. `handler` is called for each
    connection, which is closed when it returns; at the end it is cancelled. `keywords`: of
    `asyncio.start_server`."""
    writers: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        writers[task] = writer
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port, **keywords)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_listening(server)
        for task in writers:
            task.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        for writer in writers.values():
            writer.transport.abort()
        await rounds()  # an aborted transport closes its socket in a later one


async def stop_listening(server: asyncio.Server) -> None:
    """What has just connected has come to its handler when this returns. Closed at once, it stays a
    socket that nobody owns: its transport may not be of a closed server (asyncio 3.11). The server
    is not waited for: in 3.12 that waits for every connection."""
    for socket in server.sockets:
        server.get_loop().remove_reader(socket.fileno())
    await rounds()
    server.close()


async def rounds() -> None:
    """Some rounds of the loop, for what asyncio does in several steps."""
    for _ in range(5):
        await asyncio.sleep(0)
