"""Claude's Message Batches through the official SDK's client: its way out, key and errors are those
of `anthropic`.

The SDK's typed methods would hold the loop for a third of a second with 5,000 requests. So bodies
go out as pieces of bytes, and results come in as lines of bytes. `results_url` is not followed:
behind a gateway it leads past it, and wherever it leads it would be given the key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import aiohttp

from streams.errors import CallError, Fault
from streams.providers.anthropic import Line, line_to
from streams.providers.batch_port import BatchGone, BatchStatus, UnclearCreation
from streams.providers.batch_status import page_of, status_of
from streams.providers.port import ProviderSettings, TaskModel, json_of, kind_of
from streams.providers.result_lines import ResultLines
from streams.providers.sdk_faults import no_message
from streams.providers.secrecy import reworded

if TYPE_CHECKING:
    from httpx2 import Response

_PATH: Final = "/v1/messages/batches"
_PAGE: Final = 1_000
_PIECE_BYTES: Final = 256 * 1024
"""Of a body that is sent: joining one takes a fraction of a millisecond."""
_SLOWEST_BYTES_PER_S: Final = 100_000
"""A body that is sent more slowly is given up."""
_READS: Final = 3
_ID: Final = re.compile(r"[\w-]{1,200}")
_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,  # refused, no such host, no proxy, no trust in the certificate
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)

Read = TypeVar("Read")


class _Body:
    """`{"requests": [...]}` in pieces; a redirect within the host reads it once more."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self.size = len(b'{"requests":[]}') + sum(map(len, requests)) + len(requests) - 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece, size = [b'{"requests":['], 0
        for place, request in enumerate(self._requests):
            piece += [b",", request] if place else [request]
            size += len(request)
            if size >= _PIECE_BYTES:
                yield b"".join(piece)
                piece, size = [], 0
        yield b"".join([*piece, b"]}"])


class _Request(NamedTuple):
    """`timeout_s`: for the whole answer, or for its next piece."""

    method: str
    path: str
    timeout_s: float
    query: Mapping[str, Any] | None = None
    body: _Body | None = None


class AnthropicBatches:
    """The batches of the workspace that the key belongs to: carries out `BatchApi`.

    `timeout_s`: for an answer, beside the time that a body takes to be sent, and for the next piece
    of results. `results` also raises OSError where the file cannot be written.
    """

    def __init__(self, line: Line, timeout_s: float) -> None:
        self._line = line
        self._timeout_s = timeout_s

    async def create(self, requests: Sequence[bytes]) -> BatchStatus:
        body = _Body(requests)
        timeout_s = self._timeout_s + body.size / _SLOWEST_BYTES_PER_S
        return await self._ask(_Request("POST", _PATH, timeout_s, body=body), status_of)

    async def retrieve(self, batch_id: str) -> BatchStatus:
        return await self._ask(_Request("GET", _path(batch_id), self._timeout_s), status_of)

    async def list(self, since_ms: int) -> list[BatchStatus]:
        found: list[BatchStatus] = []
        query: dict[str, Any] = {"limit": _PAGE}
        while True:
            request = _Request("GET", _PATH, self._timeout_s, query)
            page, last = await self._ask(request, page_of)
            found += [status for status in page if status.created_at_ms >= since_ms]
            # Pages come with the newest batches first; the order within one is not relied on.
            if last is None or max(status.created_at_ms for status in page) < since_ms:
                return found
            query = {"limit": _PAGE, "after_id": last}

    async def results(self, status: BatchStatus, path: Path) -> None:
        with path.open("wb", buffering=1 << 20) as file:
            lines = ResultLines(file)
            for read in range(1, _READS + 1):
                lines.begin()
                try:
                    async with aclosing(self._pieces(f"{_path(status.id)}/results")) as pieces:
                        async for piece in pieces:
                            lines.add(piece)
                    lines.end()
                except CallError:
                    # Nothing came: it is no cut stream, and the caller knows when to ask again.
                    if read == _READS or not lines.count:
                        raise
                if lines.count >= status.requests:
                    return

    async def cancel(self, batch_id: str) -> None:
        path = f"{_path(batch_id)}/cancel"
        await self._ask(_Request("POST", path, self._timeout_s), status_of)

    async def aclose(self) -> None:
        await self._line.client.close()

    async def _ask(self, request: _Request, read: Callable[[Any], Read | None]) -> Read:
        """One request, and its answer as `read` reads it; that gives None for what is not the
        API's."""
        try:
            async with asyncio.timeout(request.timeout_s):
                response = await self._send(request)
        except Exception as error:
            failure = self._failure(error, request)
        else:
            content, now = response.content, datetime.now(UTC)
            reply = json_of(content)
            found = read(reply)
            if found is not None:
                return found
            what = kind_of(content)
            failure = no_message(response.status_code, response.headers, reply, now=now, what=what)
            if request.body is not None:  # the answer may have been cut on its way
                failure = reworded(failure, failure.message, UnclearCreation)
        raise failure

    async def _pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        """The body of a response, as it arrives."""
        request = _Request("GET", path, self._timeout_s)
        failure, broke_off = None, ""
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._send(request, stream=True)
        except Exception as error:
            failure = self._failure(error, request)
        if failure is not None:
            raise failure
        try:
            async with aclosing(response.aiter_bytes()) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception as error:
            broke_off = type(error).__name__
        finally:
            await response.aclose()
        if broke_off:
            raise CallError(Fault.CONNECTION, f"the results broke off ({broke_off})")

    async def _send(self, request: _Request, *, stream: bool = False) -> Response:
        import httpx2

        client, path, body = self._line.ready(), request.path, request.body
        options: Any = {"timeout": self._line.timeout(request.timeout_s)}
        if request.query is not None:
            options["params"] = request.query
        if request.method == "GET":
            return await client.get(path, cast_to=httpx2.Response, options=options, stream=stream)
        if body is not None:
            options["headers"] = {"Content-Length": str(body.size)}
        return await client.post(path, cast_to=httpx2.Response, content=body, options=options)

    def _failure(self, error: Exception, request: _Request) -> CallError:
        if isinstance(error, TimeoutError):
            failure = CallError(Fault.TIMEOUT, "no reply in time")
        else:
            failure = self._line.failure(error)
        if request.body is not None:
            if _is_certain(error, failure):
                return failure
            return reworded(failure, failure.message, UnclearCreation)
        if failure.status == 404 and request.path != _PATH:
            return reworded(failure, failure.message, BatchGone)
        return failure


def _is_certain(error: Exception, failure: CallError) -> bool:
    """Whether there is surely no batch after this."""
    if any(isinstance(cause, _NEVER_SENT) for cause in _causes(error)):
        return True
    return failure.status is not None and failure.status < 500 and failure.status != 408


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _path(batch_id: str) -> str:
    if not _ID.fullmatch(batch_id):
        raise CallError(Fault.REJECTED, "the id of a batch is not of the API's form")
    return f"{_PATH}/{batch_id}"


def make_anthropic_batches(
    task: TaskModel,
    settings: ProviderSettings | None,
    environ: Mapping[str, str],
    timeout_s: float,
) -> AnthropicBatches:
    """The batches of a task's account. Raises ConfigError as `line_to`."""
    return AnthropicBatches(line_to(task, settings, environ), timeout_s)
