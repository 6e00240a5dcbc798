"""A TCP proxy between a client and a server, in a thread with a loop of its own.

with proxied(listen, target) as network:
    network.delay(0.3)     each piece of data comes later by that, in order
    network.cut()          nothing gets through any more, and nobody is told: a cable is out
    network.reset()        every connection is reset now; new ones are let through
    network.refuse()       the same, and nobody listens
    network.heal()         as at the start; what was held back by `cut` gets through
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from tests.serving import rounds, stop_listening

PIECE_BYTES = 64 * 1024
RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends RST."""


class Network:
    """`connections`: made so far. Every method may be called in any thread."""

    def __init__(self, listen: int, target: int, loop: asyncio.AbstractEventLoop) -> None:
        self._listen = listen
        self._target = target
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._through = asyncio.Event()
        self._through.set()
        self._delay_s = 0.0
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0

    def delay(self, seconds: float) -> None:
        self._delay_s = seconds

    def cut(self) -> None:
        self._call(self._through.clear)

    def reset(self) -> None:
        self._call(self._reset_all)

    def refuse(self) -> None:
        self._wait(self._close())
        self._call(self._reset_all)

    def heal(self) -> None:
        self._delay_s = 0.0
        self._call(self._through.set)
        self._wait(self._serve())

    def _call(self, what: Callable[[], Any]) -> None:
        self._loop.call_soon_threadsafe(what)

    def _wait(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _serve(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._listen)

    async def _close(self) -> None:
        if self._server is not None:
            await stop_listening(self._server)
            self._server = None

    async def stop(self) -> None:
        """Leaves nothing open, not even what was just being accepted, connected or closed."""
        await self._close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reset_all()
        await rounds()  # an aborted transport closes its socket in a later one

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._open.add(back)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(PIECE_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._through.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
        with suppress(OSError):
            await sink.wait_closed()  # what nobody reads stays open for ever
        self._open.discard(sink)

    def _reset_all(self) -> None:
        for writer in self._open:
            with suppress(OSError):  # it has just been closed
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            writer.transport.abort()
        self._open.clear()


@contextmanager
def proxied(listen: int, target: int) -> Iterator[Network]:
    """A proxy that listens on 127.0.0.1:`listen` and connects to 127.0.0.1:`target`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    network = Network(listen, target, loop)
    try:
        network.heal()
        yield network
    finally:
        try:
            asyncio.run_coroutine_threadsafe(network.stop(), loop).result(10)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()
