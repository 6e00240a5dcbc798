"""A node that a test plays: it says which nodes its cluster has, and nothing else.

async with node(advertised=("10.0.0.1", 9092)) as played:
    played.address      for `bootstrap_servers`
    played.freeze()     from now on it takes connections and requests, and is silent
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka.protocol.admin import ApiVersionRequest, ApiVersionResponse_v0, CreateTopicsRequest
from aiokafka.protocol.metadata import MetadataRequest, MetadataResponse_v1

from tests.serving import serving

VERSIONS = [
    (MetadataRequest.API_KEY, 0, 1),
    (ApiVersionRequest.API_KEY, 0, 0),
    (CreateTopicsRequest.API_KEY, 0, 0),
]


class PlayedNode:
    """`number`: its id. `nodes`: (id, host, port) of each node that it tells of; by default itself.
    `requests`: the API keys that it has been asked for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.address = ""
        self.nodes: Sequence[tuple[int, str, int]] = ()
        self.requests: list[int] = []
        self._frozen = False

    def freeze(self) -> None:
        self._frozen = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            request = await reader.readexactly(size)
            key, _version, correlation = struct.unpack(">hhi", request[:8])
            self.requests.append(key)
            answer = self._answer(key)
            if answer is None:  # it works at the request, and takes no other meanwhile
                await reader.read()
            elif not self._frozen:
                writer.write(struct.pack(">ii", len(answer) + 4, correlation) + answer)

    def _answer(self, key: int) -> bytes | None:
        if key == ApiVersionRequest.API_KEY:
            return bytes(ApiVersionResponse_v0(0, VERSIONS).encode())
        if key == MetadataRequest.API_KEY:
            nodes = [(number, host, port, None) for number, host, port in self.nodes]
            return bytes(MetadataResponse_v1(nodes, self.number, []).encode())
        return None


@asynccontextmanager
async def node(
    number: int = 0, *, advertised: tuple[str, int] | None = None
) -> AsyncIterator[PlayedNode]:
    """A node on a free port of 127.0.0.1; `advertised`: where it says that it is."""
    played = PlayedNode(number)
    async with serving(played.serve) as port:
        played.address = f"127.0.0.1:{port}"
        played.nodes = [(number, *(advertised or ("127.0.0.1", port)))]
        yield played


@asynccontextmanager
async def cluster(count: int) -> AsyncIterator[list[PlayedNode]]:
    """Nodes that tell of each other."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(node(number)) for number in range(count)]
        everybody = [each.nodes[0] for each in found]
        for each in found:
            each.nodes = everybody
        yield found
