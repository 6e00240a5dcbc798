"""The composition root: settings -> a `faust.App` with its tasks. The only module that names
concrete classes of every room.

`streams.app.app` is made from the environment at its first use, so that
`faust -A streams.app worker` runs the configured tasks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import faust
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.types.settings import Settings as FaustSettings
from mode import Seconds
from yarl import URL

from streams.assembly import Assembly
from streams.errors import ConfigError
from streams.kafka.client import client_arguments
from streams.kafka.consume.lease import Lease
from streams.kafka.consume.thread import MAX_POLL_INTERVAL_S
from streams.kafka.credentials import faust_credentials
from streams.plans import Plan
from streams.running.exits import contain_exits
from streams.running.pipeline import Part, Pipeline
from streams.running.task_stages import NO_LEDGER, pipeline_of
from streams.settings import Settings as StreamsSettings
from streams.settings import (
    TaskSettings,
    load_settings,
    refuse_keys_of_stages,
    task_from_keywords,
)
from streams.worker.intake import Budget
from streams.worker.worker import Worker

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


def heartbeat_s(session_timeout_s: float) -> float:
    """How often a member sends a heartbeat, and so how soon it hears of a rebalance."""
    return min(1.0, session_timeout_s / 6)


class OwnSettings(FaustSettings):
    """Faust's settings, without Faust's own unprefixed environment variables: `BROKER_URL` and the
    like would override the configuration."""

    def getenv(self, env_name: str) -> Any:
        return None


class Boot(BootStrategy):
    """Starts Faust's own web server only where `faust worker --web-port` gives it a port of its
    own: `[worker] web` is where the worker shows itself (`streams.observe.web`)."""

    def _should_enable_web(self) -> bool:
        conf = self.app.conf
        return bool(conf.web_enabled and conf.web_port != self.app.own_web_port)


class Tables(TableManager):
    """Does not wait a second for agents to name their tables where the app has neither."""

    async def sleep(self, n: Seconds) -> None:
        if self.app.agents or self:
            await super().sleep(n)


class App(faust.App):
    """A Faust app whose tasks run as microbatches; agents, topics and timers work as usual.

    Made by `from_config`. Raises ConfigError for settings that cannot be used.
    """

    Settings = OwnSettings
    BootStrategy = Boot
    mundane_level = "debug"

    def __init__(
        self, settings: StreamsSettings, *, environ: Mapping[str, str] | None = None
    ) -> None:
        self.streams_settings = settings
        self._environ = os.environ if environ is None else environ
        self._plans = [Plan(task) for task in settings.tasks if task.operation != "custom"]
        self._custom = {task.name: task for task in settings.tasks if task.operation == "custom"}
        self._assembly = Assembly(settings, self._environ)
        self._record_host: Worker | None = None
        self.fatal: BaseException | None = None
        self.on_fatal: Callable[[BaseException], None] | None = None
        if not settings.worker.id:
            raise ConfigError(["worker.id: is missing; it names the consumer group"])
        super().__init__(settings.worker.id, **self._faust_keywords())

    @classmethod
    def from_config(
        cls, path: str | os.PathLike[str] | None = None, *, broker: str | None = None
    ) -> Self:
        """The app of a configuration file; None: `STREAMS_CONFIG`, else `./streams.toml`, else the
        environment alone. `broker`: replaces `bootstrap_servers`. Raises ConfigError."""
        file = None if path is None else Path(path)
        settings = load_settings(file, os.environ, broker=broker, need_tasks=False)
        return cls(settings)

    def _faust_keywords(self) -> dict[str, Any]:
        settings = self.streams_settings
        kafka, worker = settings.kafka, settings.worker
        host, _, port = (worker.web or "127.0.0.1:6066").rpartition(":")
        servers = self._assembly.kafka.bootstrap_servers
        self.own_web_port = int(port)
        return {
            "broker": [URL(f"streams://{server}") for server in servers.split(",")],
            "broker_credentials": faust_credentials(kafka),
            "broker_session_timeout": kafka.session_timeout_s,
            "broker_heartbeat_interval": heartbeat_s(kafka.session_timeout_s),
            "broker_request_timeout": max(90.0, kafka.session_timeout_s),
            "broker_max_poll_interval": MAX_POLL_INTERVAL_S,
            "consumer_auto_offset_reset": worker.start,
            "consumer_metadata_max_age_ms": 30_000,
            "datadir": Path(tempfile.gettempdir()) / f"streams-{worker.id}",
            "topic_disable_leader": True,
            "TableManager": Tables,
            "web_enabled": False,
            "web_bind": host.strip("[]"),
            "web_port": self.own_web_port,
            "autodiscover": False,
        }

    # -- tasks ---------------------------------------------------------------------------------

    def microbatch(self, **keywords: Any) -> Callable[[Function], Function]:
        """Make a function a task: one call per microbatch, one answer per item, in their order.

        `async def (items: Sequence[Item]) -> Sequence[dict | ItemError | None]`; None drops the
        item, `ItemError` sends it to the dead letters. A plain function runs in a thread. Keywords:
        the keys of `[[task]]` and its tables by their last name (`source`, `sink`, `max_items`,
        `mode`, ...), and `name` (default: the function's) and `version`. Without keywords, the
        `[[task]]` of that name with `operation = "custom"`. Raises ConfigError.
        """

        def register(function: Function) -> Function:
            name = keywords.pop("name", function.__name__)
            self._add(Plan(self._task(name, keywords, pipeline=False), function))
            return function

        return register

    def pipeline(self, *, name: str, stages: Pipeline | Sequence[Part], **keywords: Any) -> None:
        """Make a chain of stages a task: each record of its source goes through all of them.

        `stages`: as of `streams.Pipeline`, or one. The first stage gets `Item`s; the last one's
        outcome, any JSON value, is the record's result, None drops it, an `ItemError` of any stage
        sends it to the dead letters. All parts have to be gathered. Keywords: as for `microbatch`,
        but without those of calls and microbatches, which each stage has of its own; without any,
        the `[[task]]` of that name with `operation = "custom"`. Raises ConfigError.
        """
        pipeline = pipeline_of(stages)
        if self.streams_settings.worker.ledger:
            raise ConfigError([NO_LEDGER])
        self._add(Plan(self._task(name, keywords, pipeline=True), pipeline=pipeline))

    def _task(self, name: str, keywords: dict[str, Any], *, pipeline: bool) -> TaskSettings:
        """From the keywords, or from the file where there are none."""
        task = self._custom.pop(name, None)
        if task is None:
            return task_from_keywords(name, pipeline=pipeline, **keywords)
        if keywords:
            raise ConfigError([f"task.{name}: is configured in the file: give no keywords here"])
        if pipeline:
            refuse_keys_of_stages(task)
        return task

    def _add(self, plan: Plan) -> None:
        if self._record_host is not None:
            raise ConfigError([f"task.{plan.task.name}: the worker has started already"])
        for other in self._plans:
            if other.task.source == plan.task.source:
                raise ConfigError(
                    [
                        f"task.{plan.task.name}.source: {plan.task.source} is the source of "
                        f"{other.task.name} already; a second worker with its own id can read it"
                    ]
                )
        self._plans.append(plan)

    @property
    def plans(self) -> list[Plan]:
        """The tasks that this app runs, with their functions and pipelines."""
        return list(self._plans)

    @property
    def tasks(self) -> list[TaskSettings]:
        """The settings of the tasks that this app runs."""
        return [plan.task for plan in self._plans]

    # -- running -------------------------------------------------------------------------------

    def begin_anyway(self) -> None:
        """The worker may begin with a long history of a paid provider."""
        self._assembly.begins_anyway = True

    @property
    def record_host(self) -> Worker:
        """The taker of the source records (`streams.kafka.consume.host.RecordHost`)."""
        if self._record_host is None:
            settings = self.streams_settings
            budget = Budget(
                settings.worker.max_buffered_mb * 1_000_000,
                ledger=settings.worker.ledger,
                pipelines=any(plan.pipeline is not None for plan in self._plans),
            )
            self._record_host = Worker(
                sources=(task.source for task in self.tasks),
                consumer_keywords=self._consumer_keywords(budget),
                start=settings.worker.start,
                checks_log_end=not self._assembly.embedded,
                commit_interval_s=settings.worker.commit_interval_ms / 1000,
                drain_s=settings.worker.drain_s,
                budget=budget,
                lease=Lease(settings.kafka.session_timeout_s),
                on_fatal=self.stop_for,
            )
        return self._record_host

    def _consumer_keywords(self, budget: Budget) -> dict[str, Any]:
        kafka = self.streams_settings.kafka
        alone = not self.agents and not self.tables
        return {
            **client_arguments(self._assembly.kafka),
            "session_timeout_ms": int(kafka.session_timeout_s * 1000),
            "heartbeat_interval_ms": int(heartbeat_s(kafka.session_timeout_s) * 1000),
            # A node gets one fetch at a time, without the partitions whose records wait here. While
            # it waits for more of a partition at its end, the others cannot be fetched.
            "fetch_max_wait_ms": 100,
            "fetch_max_bytes": budget.fetch_bytes,
            "max_partition_fetch_bytes": min(1_048_576, budget.fetch_bytes),
            # Records of an aborted transaction do not count, and those of a pending one do not
            # count yet.
            "isolation_level": "read_committed",
            # Offsets out of range must be an error; only agents need Faust's reset.
            "auto_offset_reset": "none" if alone else self.conf.consumer_auto_offset_reset,
        }

    def stop_for(self, error: BaseException) -> None:
        """The worker cannot go on: its process ends with exit code 1. Only the first error
        counts."""
        if self.fatal is None:
            self.fatal = error
            logger.error("%s", error)
            if self.on_fatal is not None:
                self.on_fatal(error)

    async def on_start(self) -> None:
        if self._custom:
            raise ConfigError(
                [
                    f"task.{name}: its operation is custom, and no function of that name is "
                    "registered; run it with --app MODULE:ATTR"
                    for name in self._custom
                ]
            )
        contain_exits(asyncio.get_running_loop())
        for task in self.tasks:
            self.topics.add(self.topic(task.source, value_type=bytes, acks=False))
        try:
            await self._assembly.start(self._plans, self.record_host)
        except BaseException:
            await self._assembly.stop()
            raise
        await super().on_start()

    async def on_stop(self) -> None:
        if not self.record_host.draining:
            await self.record_host.drain(self.streams_settings.worker.shutdown_timeout_s)
        await super().on_stop()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await self._assembly.stop()


def __getattr__(name: str) -> Any:
    """`app`, made from the environment at its first use."""
    if name == "app":
        made = App.from_config()
        globals()["app"] = made
        return made
    raise AttributeError(name)
