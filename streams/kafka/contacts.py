"""The first contact of a client with a cluster: all hosts side by side, the first answer counts.

aiokafka 0.14 asks the hosts of `bootstrap_servers` one after the other, each for 40 s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka.remedies import Entry

HOSTS_STAGGER_S = 0.2

T = TypeVar("T")

CONNECTING: ContextVar[list[Contacts] | None] = ContextVar("CONNECTING", default=None)
"""The clients that began to connect within `streams.kafka.client.connect`, which explains why they
could not."""


async def first_answer(attempts: Sequence[Callable[[], Awaitable[T]]], stagger_s: float) -> T:
    """The first answer. The next attempt begins after `stagger_s`, or at once where all before it
    have failed; those that are late are cancelled. Raises the last error if all fail."""
    waiting, running = deque(attempts), set[asyncio.Future[T]]()
    error: BaseException = NodeNotReadyError("there is no node to ask")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(waiting.popleft()()))
            done, running = await asyncio.wait(
                running,
                timeout=stagger_s if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            failures = {each: each.exception() for each in done}
            for each, failure in failures.items():
                if failure is None:
                    return each.result()
                error = failure
        raise error
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Contacts(AIOKafkaClient):
    """`unreachable`: the last error of each address that could not be used; None where an answer is
    still awaited. `answered_at`: when a node answered last, in the loop's seconds."""

    unreachable: dict[str, BaseException | None]
    answered_at: float
    _sync_task: asyncio.Future[None] | None

    @property
    def entry(self) -> Entry:
        sasl = self._security_protocol.startswith("SASL_")
        return Entry(
            self._security_protocol,
            self._sasl_mechanism if sasl else None,
            self._sasl_plain_username if sasl else None,
        )

    @property
    def servers(self) -> str:
        given = self._bootstrap_servers
        return given if isinstance(given, str) else ",".join(given)

    async def bootstrap(self) -> None:
        """Raises KafkaConnectionError where no host answers."""
        if (connecting := CONNECTING.get()) is not None:
            connecting.append(self)
        attempts = [partial(self._ask_host, host, port) for host, port, _ in self.hosts]
        try:
            metadata = await first_answer(attempts, HOSTS_STAGGER_S)
        except Exception as error:
            raise KafkaConnectionError(f"no host of {self.servers} answers") from error
        self.cluster.update_metadata(metadata)
        self.answered_at = self._loop.time()
        self.unreachable.clear()
        if self._sync_task is None:
            self._sync_task = asyncio.ensure_future(self._md_synchronizer())

    async def _ask_host(self, host: str, port: int) -> Any:
        with self._reported(address_of(host, port)):
            connection = await self._open(host, port, self._request_timeout_ms / 1000)
            try:
                metadata = await connection.send(MetadataRequest([]))
            except BaseException:
                connection.close()
                raise
        if metadata.brokers:
            connection.close()
        else:  # a cluster without topics may name no node: go on with this connection until it does
            self._conns[("bootstrap", ConnectionGroup.DEFAULT)] = connection
        return metadata

    async def _open(
        self, host: str, port: int, within_s: float, on_close: Callable[..., None] | None = None
    ) -> Any:
        async with asyncio.timeout(within_s):
            return await create_conn(
                host,
                port,
                client_id=self._client_id,
                request_timeout_ms=self._request_timeout_ms,
                ssl_context=self._ssl_context,
                security_protocol=self._security_protocol,
                on_close=on_close,
                max_idle_ms=self._connections_max_idle_ms,
                sasl_mechanism=self._sasl_mechanism,
                sasl_plain_username=self._sasl_plain_username,
                sasl_plain_password=self._sasl_plain_password,
                sasl_kerberos_service_name=self._sasl_kerberos_service_name,
                sasl_kerberos_domain_name=self._sasl_kerberos_domain_name,
                sasl_oauth_token_provider=self._sasl_oauth_token_provider,
            )

    @contextmanager
    def _reported(self, address: str) -> Iterator[None]:
        self.unreachable.setdefault(address, None)
        try:
            yield
        except Exception as error:
            self.unreachable[address] = error
            raise
        self.unreachable.pop(address, None)


def address_of(host: str, port: int) -> str:
    """As in `bootstrap_servers`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
