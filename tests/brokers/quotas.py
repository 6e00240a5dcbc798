"""Client quotas, which aiokafka's admin client cannot set (AlterClientQuotas, version 0)."""

from __future__ import annotations

import asyncio
import struct

ALTER_CLIENT_QUOTAS = 49


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


async def set_quota(
    bootstrap: str, client_id: str, bytes_per_s: float | None, name: str = "producer_byte_rate"
) -> None:
    """How many bytes a second producers with this client id may send; None: no limit."""
    entity = struct.pack(">i", 1) + _string("client-id") + _string(client_id)
    change = struct.pack(">i", 1) + _string(name)
    change += struct.pack(">d?", bytes_per_s or 0.0, bytes_per_s is None)
    header = struct.pack(">hhi", ALTER_CLIENT_QUOTAS, 0, 1) + _string("tests")
    request = header + struct.pack(">i", 1) + entity + change + b"\0"
    host, _, port = bootstrap.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        answer = await reader.readexactly(size)
    finally:
        writer.close()
    _, _, _, code = struct.unpack_from(">iiih", answer)
    assert code == 0, answer
