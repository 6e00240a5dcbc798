"""Puts a worker's parts together at start, and takes them apart again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.committed import MAX_BEYOND_BYTES
from streams.core.limits import Limits
from streams.errors import BrokerError
from streams.fingerprint import fingerprint
from streams.kafka.client import client_arguments, connect, connected
from streams.kafka.process import free_port
from streams.kafka.sink import Sink
from streams.kafka.topics import TopicFacts, Wanted, prepare
from streams.providers import function_caller, make_caller
from streams.records import Decoder
from streams.results import Encoder
from streams.settings import Settings, TaskSettings
from streams.shells.outcomes import Route
from streams.shells.task import TaskParts, TaskShell
from streams.shells.worker import Worker
from streams.web import WebServer

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"


class Plan(NamedTuple):
    """A task to run; `function`: of a custom task, else None."""

    task: TaskSettings
    function: Callable[..., Any] | None


class Assembly:
    """Everything a worker needs that is not Faust's. `kafka`: how to reach the broker, also the
    embedded one, which has its port from the beginning."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self.embedded = settings.kafka.bootstrap_servers == EMBEDDED
        self._port = free_port() if self.embedded else 0
        self.kafka = settings.kafka
        if self.embedded:
            address = {"bootstrap_servers": f"127.0.0.1:{self._port}"}
            self.kafka = settings.kafka.model_copy(update=address)
        self._broker: Any = None
        self._callers: list[Any] = []
        self._worker: Worker | None = None
        self._sink: Sink | None = None
        self._web: WebServer | None = None

    async def start(self, plans: Sequence[Plan], worker: Worker) -> None:
        """Check and create topics, connect sink and providers, hand the tasks to the worker.

        Raises BrokerError, ConfigError.
        """
        self._worker = worker
        if self.embedded:
            from streams.kafka.broker import EmbeddedBroker

            self._broker = EmbeddedBroker(port=self._port)
            await asyncio.to_thread(self._broker.start)
        callers = [self._caller(plan) for plan in plans]
        facts = await self._topics([plan.task for plan in plans])
        sink = self._sink = Sink(
            self._producer_keywords(facts),
            on_delivered=worker.on_delivered,
            on_too_large=worker.on_too_large,
            on_defect=worker.on_defect,
        )
        await connect(sink, self.kafka.bootstrap_servers)
        worker.checks_log_end = sink.idempotent  # the embedded broker's end offsets are wrong, too
        shells = {
            plan.task.source: TaskShell(
                self._parts(plan, caller), _route(plan.task, facts), sink, worker.on_room
            )
            for plan, caller in zip(plans, callers, strict=True)
        }
        worker.begin(shells, sink)
        if address := self._settings.worker.web:
            self._web = WebServer(worker, worker_id=self._settings.worker.id, address=address)
            await self._web.start()

    async def stop(self) -> None:
        """Close everything that was begun; also after a start that failed half-way."""
        if self._web is not None:
            await self._web.stop()
        if self._worker is not None:
            await self._worker.close()
        if self._sink is not None:
            await self._sink.stop()
        while self._callers:
            await self._callers.pop().aclose()
        if self._broker is not None:
            await asyncio.to_thread(self._broker.stop)

    async def _topics(self, tasks: Sequence[TaskSettings]) -> dict[str, TopicFacts]:
        wanted = []
        for task in tasks:
            wanted.append(Wanted(task.sink, task.source, compacts=True))
            wanted.append(Wanted(task.dead_letter, task.source, compacts=False))
        sources = [task.source for task in tasks]
        admin = AIOKafkaAdminClient(**client_arguments(self.kafka))
        try:
            async with connected(admin, self.kafka.bootstrap_servers):
                facts, created = await prepare(admin, sources, list(dict.fromkeys(wanted)))
        except KafkaError as error:
            raise BrokerError(
                f"the broker refuses to describe or create topics: {error}"
            ) from error
        if created:
            logger.info("created %s", ", ".join(created))
        return facts

    def _producer_keywords(self, facts: Mapping[str, TopicFacts]) -> dict[str, Any]:
        return {
            **client_arguments(self.kafka),
            "enable_idempotence": not self.embedded,
            "metadata_max_age_ms": 30_000,
        }

    def _caller(self, plan: Plan) -> Any:
        if plan.function is not None:
            task = plan.task
            caller: Any = function_caller(
                plan.function, version=task.version, max_in_flight=task.calls.max_in_flight
            )
        else:
            provider = self._settings.provider.get(plan.task.provider)
            caller = make_caller(plan.task, provider, environ=self._environ)
        self._callers.append(caller)
        return caller

    def _parts(self, plan: Plan, caller: Any) -> TaskParts:
        task = plan.task
        batch, calls = task.batch, task.calls
        described: dict[str, Any] = {"provider": "custom", "version": task.version}
        if plan.function is None:
            described = caller.describe()
        return TaskParts(
            name=task.name,
            source=task.source,
            limits=Limits(
                max_items=batch.max_items,
                max_wait_s=batch.max_wait_ms / 1000,
                max_tokens=batch.max_tokens,
                max_bytes=batch.max_bytes,
                max_in_flight=calls.max_in_flight,
                max_attempts=calls.max_attempts,
                order=task.order,
                max_beyond_bytes=MAX_BEYOND_BYTES,
            ),
            timeout_s=calls.timeout_s,
            decoder=Decoder(text=task.text, id=task.id, tombstones=task.tombstones),
            encoder=Encoder(
                task=task.name,
                model=task.model or None,
                fingerprint=fingerprint(**described),
                mode=task.output.mode,
                embedding=task.output.embedding,
            ),
            caller=caller,
        )


def _route(task: TaskSettings, facts: Mapping[str, TopicFacts]) -> Route:
    source, sink, dead = facts[task.source], facts[task.sink], facts[task.dead_letter]
    return Route(
        sink=task.sink,
        dead_letter=task.dead_letter,
        source_partitions=source.partitions,
        sink_partitions=sink.partitions,
        dead_letter_partitions=dead.partitions,
        sink_bytes=sink.max_message_bytes,
        dead_letter_bytes=dead.max_message_bytes,
    )
