"""An `AIOKafkaClient` that one silent node does not hold up.

aiokafka 0.14 picks any node for what every node can answer, and connects to one node at a time,
with one time limit of 40 s for all. One frozen node of three keeps everybody waiting. Rules here:
1. What any node can answer (metadata, a coordinator, an admin's request) is asked of a second
   node when the first has not answered for `STAGGER_S`, and so on. A node that owes an answer
   comes last.
2. Each node is connected to on its own, for `CONTACT_WITHIN_S` at first, and twice as long after
   each time that it was silent.
3. While a node owes an answer for `WATCH_EVERY_S`, the others are asked whether it still belongs
   to the cluster. When they say no, its connection is closed, so that its requests go to the new
   leader or coordinator at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter, defaultdict
from functools import partial
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    StaleMetadata,
    for_code,
)
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka.contacts import Contacts, address_of, first_answer
from streams.kafka.remedies import Entry

logger = logging.getLogger("aiokafka")

CONTACT_WITHIN_S = 3.0
STAGGER_S = 1.0
WATCH_EVERY_S = 3.0
PROBE = "probe"
"""A group of connections beside aiokafka's own."""


class _Watch:
    """Over one request: asks about its node every `WATCH_EVERY_S`."""

    def __init__(self, nodes: Nodes, place: tuple[Any, Any]) -> None:
        self._nodes, self._place = nodes, place
        self._timer = nodes._loop.call_later(WATCH_EVERY_S, self._look)

    def _look(self) -> None:
        self._timer = self._nodes._loop.call_later(WATCH_EVERY_S, self._look)
        self._nodes.ask_about(self._place)

    def end(self) -> None:
        self._timer.cancel()


class Nodes(Contacts):
    """See above. Made of a client that has not started yet by `adopt`. `lookup_error`: of the last
    look for a coordinator."""

    lookup_error: KafkaError | None = None
    _owing: set[Any]
    _silences: Counter[Any]
    _locks: defaultdict[Any, asyncio.Lock]

    # -- nodes ---------------------------------------------------------------------------------

    async def _get_conn(
        self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> Any:
        place = (node_id, group)
        async with self._locks[place]:
            connection = self._conns.get(place)
            if connection is not None and connection.connected():
                return connection
            self._conns.pop(place, None)
            try:
                connection = await self._contact(node_id)
            except Exception as error:
                logger.error("Unable to connect to node with id %s: %r", node_id, error)
                self.force_metadata_update()
                return None
            self._conns[place] = connection
            return connection

    async def _contact(self, node_id: Any) -> Any:
        broker = self.cluster.broker_metadata(node_id)
        if broker is None:
            raise StaleMetadata(f"node {node_id} is not in the metadata")
        within_s = min(
            CONTACT_WITHIN_S * 2.0 ** self._silences[node_id], self._request_timeout_ms / 1000
        )
        self._owing.add(node_id)
        with self._reported(address_of(broker.host, broker.port)):
            try:
                connection = await self._open(
                    broker.host, broker.port, within_s, self._on_connection_closed
                )
            except TimeoutError:
                self._silences[node_id] += 1
                raise
        self._answered(node_id)
        del self._silences[node_id]
        return connection

    def get_random_node(self) -> Any:
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        ready = [node for node in nodes if node not in self._owing]
        return random.choice(ready or nodes) if nodes else None

    async def send(
        self, node_id: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT
    ) -> Any:
        watch = _Watch(self, (node_id, group))
        try:
            answer = await super().send(node_id, request, group=group)
        finally:
            watch.end()
        self._answered(node_id)
        return answer

    def _answered(self, node_id: Any) -> None:
        self._owing.discard(node_id)
        self.answered_at = self._loop.time()

    def answered_within(self, seconds: float) -> bool:
        """Whether any node has answered in this time."""
        now: float = self._loop.time()
        return now - self.answered_at < seconds

    def ask_about(self, place: tuple[Any, Any]) -> None:
        """The node owes an answer on this connection (rule 3)."""

        def asked(_updated: asyncio.Future[Any]) -> None:
            connection = self._conns.get(place)
            if connection is not None and self.cluster.broker_metadata(place[0]) is None:
                connection.close(reason=CloseReason.CONNECTION_TIMEOUT)

        self._owing.add(place[0])
        self.force_metadata_update().add_done_callback(asked)

    # -- what any node can answer --------------------------------------------------------------

    async def ask_any(
        self,
        request: Any,
        *,
        first: Any = None,
        stagger_s: float = STAGGER_S,
        group: Any = ConnectionGroup.DEFAULT,
    ) -> Any:
        """The answer of the node that gives one first. `first`: the node to begin with. `group`: of
        the connections to use. Raises KafkaError where no node answers."""
        nodes = [broker.nodeId for broker in self.cluster.brokers()]
        if ("bootstrap", ConnectionGroup.DEFAULT) in self._conns:
            nodes.append("bootstrap")
        random.shuffle(nodes)
        nodes.sort(key=lambda node: (node != first, node in self._owing))
        attempts = [partial(self._ask, node, request, group) for node in nodes]
        return await first_answer(attempts, stagger_s)

    async def _ask(self, node_id: Any, request: Any, group: Any) -> Any:
        if node_id == "bootstrap":  # it has one connection
            group = ConnectionGroup.DEFAULT
        connection = await self._get_conn(node_id, group=group)
        if connection is None:
            raise NodeNotReadyError(f"node {node_id} is not reached")
        self._owing.add(node_id)
        try:
            answer = await connection.send(request)
        except TimeoutError as error:
            raise RequestTimedOutError(f"node {node_id} does not answer") from error
        except KafkaConnectionError as error:
            raise NodeNotReadyError(f"node {node_id} has closed the connection") from error
        self._answered(node_id)
        return answer

    async def answers(self, within_s: float) -> bool:
        """Whether any node answers in time. Asked on connections of their own: on the others a node
        may still work at a request, and answers the next one after it."""
        try:
            async with asyncio.timeout(within_s):
                await self.ask_any(MetadataRequest([]), group=PROBE)
        except (KafkaError, TimeoutError):
            return False
        return True

    async def _metadata_update(self, cluster: Any, topics: Any) -> bool:
        request = MetadataRequest(list(topics) if topics else None)
        try:
            async with asyncio.timeout(self._request_timeout_ms / 1000):
                metadata = await self.ask_any(request)
        except (KafkaError, TimeoutError) as error:
            logger.error("Unable to update metadata: %r", error)
            cluster.failed_update(None)
            return False
        if not metadata.brokers:
            return False
        cluster.update_metadata(metadata)
        bootstrap = ("bootstrap", ConnectionGroup.DEFAULT)
        if bootstrap in self._conns and self.cluster.brokers():
            self._conns.pop(bootstrap).close()
        return True

    async def coordinator_lookup(self, coordinator_type: Any, coordinator_key: str) -> Any:
        request = FindCoordinatorRequest(coordinator_key, coordinator_type)
        try:
            answer = await self.ask_any(request)
            if answer.error_code:
                raise for_code(answer.error_code)()
        except KafkaError as error:
            self.lookup_error = error
            raise
        self.lookup_error = None
        return answer.coordinator_id


def entry_of(client: Any) -> Entry:
    """How an aiokafka client asks to come in."""
    nodes = adopt(client)
    return Entry() if nodes is None else nodes.entry


def adopt(client: Any) -> Nodes | None:
    """Give an aiokafka producer, consumer or admin client that has not started the rules above;
    None: it is none of these."""
    for name in ("_client", "client"):
        inner: Any = getattr(client, name, None)
        if isinstance(inner, AIOKafkaClient):
            if not isinstance(inner, Nodes):
                inner.__class__ = Nodes
                inner.unreachable, inner._owing, inner.answered_at = {}, set(), -math.inf
                inner._silences, inner._locks = Counter(), defaultdict(asyncio.Lock)
            nodes: Nodes = inner
            return nodes
    return None
