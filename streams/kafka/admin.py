"""An admin client that asks another node when one does not answer."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, NotControllerError

from streams.errors import BrokerError
from streams.kafka.client import broker_answer
from streams.kafka.nodes import STAGGER_S, adopt
from streams.kafka.remedies import Entry, unreachable

ANSWER_WITHIN_S = 8.0
CONTROLLER_WITHIN_S = 5.0
"""How long the controller may take before another node is asked to pass the request on. A request
to create topics may then be carried out twice; the second finds them."""

HANDED_OVER_WITHIN_S = 45.0
"""How long requests to the controller take at most after it froze: a node that passed one on to it
waits 30 s before it asks the next controller."""

RETRY_INTERVAL_S = 0.1


class Admin(AIOKafkaAdminClient):
    """A request has `ANSWER_WITHIN_S`, one to the controller `HANDED_OVER_WITHIN_S` while nodes
    answer. Raises BrokerError with the reason of each address where none answers."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        nodes = adopt(self)
        assert nodes is not None
        self._nodes = nodes

    @property
    def entry(self) -> Entry:
        """How it asks to come in."""
        return self._nodes.entry

    async def _send_request(self, request: Any, node_id: Any = None) -> Any:
        if node_id is not None:
            return await super()._send_request(request, node_id)
        nodes = self._nodes
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._ask(request, STAGGER_S)
        except TimeoutError:
            raise BrokerError(unreachable(nodes.servers, nodes.unreachable, nodes.entry)) from None

    async def _send_to_controller(self, request: Any) -> Any:
        if self._nodes.cluster.controller is None:
            await self._nodes.force_metadata_update()
        controller = self._nodes.cluster.controller
        if controller is None:
            raise NotControllerError("no node says which one is the controller")
        asking = self._ask(request, CONTROLLER_WITHIN_S, first=controller.nodeId)
        return await broker_answer(asking, self, HANDED_OVER_WITHIN_S)

    async def _ask(self, request: Any, stagger_s: float, first: Any = None) -> Any:
        while True:
            try:
                return await self._nodes.ask_any(request, first=first, stagger_s=stagger_s)
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_INTERVAL_S)
