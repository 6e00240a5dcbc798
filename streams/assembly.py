"""Connects a worker's parts at the start, and closes them at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError

from streams.codec.answers import TOPIC_SETTINGS
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.broker.child import free_port
from streams.kafka.broker.tansu import refuse_on_embedded, warn_of_order
from streams.kafka.client import broker_error, client_arguments, connect, connected
from streams.kafka.consume.fetched_records import expect_no_gaps
from streams.kafka.produce.producers import Producers
from streams.kafka.produce.sink import Sink
from streams.kafka.produce.transactions import Transactions
from streams.kafka.remedies import hidden_settings
from streams.kafka.topics import TopicFacts, TopicSpec, prepare_with_retries
from streams.observe.web import WebServer
from streams.open_files import need_files
from streams.plans import Plan, caller_of, parts_of, route_of
from streams.providers import task_price
from streams.running.pipeline_caller import PipelineCaller
from streams.settings import Settings, TaskSettings
from streams.settings.values import ledger_topic
from streams.worker.budget_topic import budget_spec, make_budget_topic
from streams.worker.call_ledger import Ledger, LedgerTask
from streams.worker.intake import Budget
from streams.worker.limit_shares import LimitShares
from streams.worker.limit_topic import start_limit_topic
from streams.worker.task import TaskShell
from streams.worker.task_budgets import TaskBudgets
from streams.worker.task_parts import TaskParts
from streams.worker.worker import Worker

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"


class Assembly:
    """Everything a worker needs besides Faust. `kafka`: how to reach the broker, also the embedded
    one, whose port is known from the start. `begins_anyway`: history is paid for without a yes."""

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
        self._transactions: Transactions | None = None
        self._ledger: Ledger | None = None
        self._budgets: TaskBudgets | None = None
        self._limits: LimitShares | None = None
        self._web: WebServer | None = None
        self.begins_anyway = False

    async def start(self, plans: Sequence[Plan], worker: Worker) -> None:
        """Check and create topics, connect sink and providers, hand the tasks to the worker.

        Raises BrokerError, ConfigError, StreamsError.
        """
        self._worker = worker
        need_files(sum(plan.connections for plan in plans))
        if self.embedded:
            from streams.kafka.broker.tansu import EmbeddedBroker

            self._broker = EmbeddedBroker(port=self._port)
            await asyncio.to_thread(self._broker.start)
        callers = await self._start_callers(plans, worker)
        facts = await self._topics([plan.task for plan in plans])
        producers = Producers(self._producer_keywords())
        on_defect, holds = worker.on_defect, worker.lease.holds
        sink = self._sink = Sink(producers, on_defect=on_defect, may_write=holds)
        await connect(sink, self.kafka.bootstrap_servers)
        # The embedded broker's end offsets are wrong, too.
        worker.checks_log_end = producers.idempotent
        if not producers.idempotent:
            warn_of_order(plan.task for plan in plans)
        transactions = self._transactions = self._make_transactions(worker, sink)
        pairs = zip(plans, callers, strict=True)
        parts = [parts_of(plan, caller, self._settings) for plan, caller in pairs]
        parts = await self._with_budgets(worker, plans, parts, shared=producers.idempotent)
        if self._settings.worker.ledger:
            await self._begin_ledger(worker, parts, facts, sink)
        shells = {}
        for plan, each in zip(plans, parts, strict=True):
            route, outlet = route_of(plan.task, facts), transactions or sink
            shells[each.source] = TaskShell(each, route, outlet, worker.on_room, self._ledger)
        worker.begin(shells, sink, transactions, self._ledger)
        self._share_limits(worker, shared=producers.idempotent)
        if address := self._settings.worker.web:
            self._web = WebServer(worker, worker_id=self._settings.worker.id, address=address)
            await self._web.start()

    async def _ask_first(self, plans: Sequence[Plan], callers: Sequence[Any]) -> None:
        """Raises StreamsError where there is much to pay for that nobody has said yes to."""
        if self.embedded or self.begins_anyway:
            return
        from streams.jobs.replay.first_start import check_first_start

        planned = list(zip(plans, callers, strict=True))
        await check_first_start(self._settings, self._environ, self.kafka, planned)

    async def stop(self) -> None:
        """Close everything that was started; also after a start that failed half-way."""
        if self._web is not None:
            await self._web.stop()
        if self._worker is not None:
            await self._worker.close()
        parts = self._transactions, self._sink, self._ledger, self._budgets, self._limits
        for part in parts:
            if part is not None:
                await part.stop()
        while self._callers:
            await self._callers.pop().aclose()
        if self._broker is not None:
            await asyncio.to_thread(self._broker.stop)

    async def _start_callers(self, plans: Sequence[Plan], worker: Worker) -> list[Any]:
        pipelines = sum(plan.pipeline is not None for plan in plans)
        budget = Budget(self._settings.worker.max_buffered_mb * 1_000_000)
        callers = self._callers
        for plan in plans:
            caller = caller_of(
                plan,
                self._settings,
                self._environ,
                stage_bytes=budget.stage_bytes // max(1, pipelines),
                on_defect=worker.on_defect,
            )
            callers.append(caller)
            if isinstance(caller, PipelineCaller):
                await caller.start()
        await self._ask_first(plans, callers)
        return list(callers)

    async def _topics(self, tasks: Sequence[TaskSettings]) -> dict[str, TopicFacts]:
        specs = []
        for task in tasks:
            specs.append(TopicSpec(task.sink, task.source, compacts=True))
            specs.append(TopicSpec(task.dead_letter, task.source, compacts=False))
            if self._settings.worker.ledger:
                specs.append(self._ledger_spec(task.source))
            if task.limits.has_budget:
                specs.append(budget_spec(self._settings.worker.id, task.source))
        sources = [task.source for task in tasks]
        admin = Admin(**client_arguments(self.kafka))
        try:
            async with connected(admin, self.kafka.bootstrap_servers):
                facts, created = await prepare_with_retries(
                    admin, sources, list(dict.fromkeys(specs))
                )
        except KafkaError as error:
            raise broker_error(error, self.kafka.bootstrap_servers, admin) from error
        if created:
            logger.info("created %s", ", ".join(created))
        settings = {name: facts[name] for name in sources}
        expect_no_gaps(n for n, each in settings.items() if not (each.compacted or each.hidden))
        if hidden := sorted(name for name, each in facts.items() if each.hidden):
            logger.warning(
                "%s. Until then their size limits and whether they are compacted are a guess",
                hidden_settings(hidden, admin.entry),
            )
        return facts

    def _ledger_spec(self, source: str) -> TopicSpec:
        name = ledger_topic(self._settings.worker.id, source)
        return TopicSpec(name, source, compacts=True, settings=TOPIC_SETTINGS)

    async def _begin_ledger(
        self,
        worker: Worker,
        parts: Sequence[TaskParts],
        facts: Mapping[str, TopicFacts],
        sink: Sink,
    ) -> None:
        if not sink.producers.idempotent:
            refuse_on_embedded("end_offsets", "worker.ledger")
        names = [self._ledger_spec(each.source).name for each in parts]
        self._ledger = Ledger(
            self._settings.worker.id,
            {each.source: _ledger_task(each) for each in parts},
            client_arguments(self.kafka),
            end_of=worker.end,
            room_bytes=Budget(self._settings.worker.max_buffered_mb * 1_000_000).ledger_bytes,
            batch_bytes=min(facts[name].max_message_bytes for name in names),
        )
        await self._ledger.start()

    async def _with_budgets(
        self, worker: Worker, plans: Sequence[Plan], parts: list[TaskParts], *, shared: bool
    ) -> list[TaskParts]:
        """The parts with what their calls may cost. `shared`: by the group's workers."""
        limited = [plan.task for plan in plans if plan.task.limits.has_budget]
        if not limited:
            return parts
        if not shared and not self.embedded:
            refuse_on_embedded("end_offsets", f"task.{limited[0].name}.limits: a budget")
        budgets = self._budgets = TaskBudgets(worker.on_defect)
        money = {}
        for task in limited:
            price = task_price(task)
            assert price is not None, "a budget without a price has been refused"
            money[task.name] = budgets.add(task, price, shared=shared)
        identity, keywords = self._settings.worker.id, client_arguments(self.kafka)
        await budgets.start(partial(make_budget_topic, identity, keywords) if shared else None)
        return [replace(each, money=money.get(each.name)) for each in parts]

    def _share_limits(self, worker: Worker, *, shared: bool) -> None:
        """`shared`: with other workers of the group, should there be any."""
        tasks, start_topic = worker.tasks, None
        if shared:
            identity, keywords = self._settings.worker.id, client_arguments(self.kafka)
            source = tasks[0].parts.source
            start_topic = partial(start_limit_topic, identity, source, keywords)
        self._limits = LimitShares(tasks, lambda: worker.partitions, start_topic, worker.on_defect)
        self._limits.start()

    def _producer_keywords(self) -> dict[str, Any]:
        return {
            **client_arguments(self.kafka),
            "enable_idempotence": not self.embedded,
            "metadata_max_age_ms": 30_000,
        }

    def _make_transactions(self, worker: Worker, sink: Sink) -> Transactions | None:
        """The transactional writers in exactly_once; None: outcomes go to the sink."""
        settings = self._settings.worker
        if settings.guarantee != "exactly_once":
            return None
        if not sink.producers.idempotent:
            raise BrokerError(
                "this broker has no transactions, which exactly_once needs: use Apache Kafka, or "
                'guarantee = "at_least_once"'
            )
        return Transactions(
            self._producer_keywords(),
            worker_id=settings.id,
            interval_s=settings.commit_interval_ms / 1000,
            committed=worker.committed,
            progress=lambda lane, slots: lane.task.progress(lane, slots),
            presses=worker.presses,
            on_lost=worker.on_lost,
            on_defect=worker.on_defect,
            nodes=lambda: sink.producers.nodes,
        )


def _ledger_task(parts: TaskParts) -> LedgerTask:
    assert parts.timeout_s is not None, "a pipeline has no ledger"
    return LedgerTask(parts.fingerprint, parts.timeout_s)
