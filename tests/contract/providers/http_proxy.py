"""A real, tiny HTTP proxy: absolute-form and CONNECT. It logs who passed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.serving import serving

CERTIFICATE = Path(__file__).parent / "tls" / "certificate.pem"
"""Of api.example.test, signed by itself."""


class HttpProxy:
    """`port`: where it listens. `log`: the first line of every request. `credentials`: the
    Proxy-Authorization of each; "": none. `keys`: what each says to the API, if it can be read.
    All hosts are `target`, a port of this machine. `refuses`: the status of every answer; None: it
    lets everybody pass. `right_key`: who says another to the API gets a 401; None: nobody does."""

    def __init__(self, target: int, refuses: int | None) -> None:
        self.port = 0
        self.log: list[str] = []
        self.credentials: list[str] = []
        self.keys: list[str] = []
        self._target = target
        self._refuses = refuses
        self.right_key: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *headers = head.decode("latin-1").split("\r\n")
        self.log.append(line)
        pairs = [header.split(": ", 1) for header in headers if header]
        named = {name.lower(): value for name, value in pairs}
        self.credentials.append(named.get("proxy-authorization", ""))
        self.keys.append(named.get("authorization", "").removeprefix("Bearer "))
        refuses = self._refuses
        if self.right_key is not None and self.keys[-1] != self.right_key:
            refuses = 401
        if refuses is not None:
            writer.write(f"HTTP/1.1 {refuses} No\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        inside, outside = await asyncio.open_connection("127.0.0.1", self._target)
        method, url, version = line.split(" ")
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            # One request a connection: the next one has to be logged, too.
            path = urlsplit(url).path
            rest = "\r\n".join([*(h for h in headers if h), "Connection: close", "", ""])
            outside.write(f"{method} {path} {version}\r\n{rest}".encode("latin-1"))
        await asyncio.gather(pump(reader, outside), pump(inside, writer))


def _tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
    return context


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def http_proxy(
    target: int, refuses: int | None = None, *, tls: bool = False
) -> AsyncIterator[HttpProxy]:
    """`tls`: whether it is spoken to by TLS itself."""
    proxy = HttpProxy(target, refuses)
    context = _tls_context() if tls else None
    async with serving(proxy.serve, ssl=context) as proxy.port:
        yield proxy


@asynccontextmanager
async def tls_door(target: int) -> AsyncIterator[int]:
    """A port that speaks TLS for api.example.test and passes on to `target`."""

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, outside), pump(inside, writer))

    async with serving(passed, ssl=_tls_context()) as port:
        yield port
