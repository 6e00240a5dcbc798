"""A task that an app runs, and how it becomes the parts that a worker takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from streams.codec.call_terms import CallTerms
from streams.codec.committed import MAX_BEYOND_BYTES
from streams.codec.fingerprint import fingerprint
from streams.codec.records import Decoder, TextLimit
from streams.codec.results import Encoder
from streams.core.limits import Limits
from streams.errors import ConfigError
from streams.kafka.topics import TopicFacts
from streams.policies.breaker import BreakerLimits
from streams.providers import (
    TaskCaller,
    can_price,
    function_caller,
    make_caller,
    price_problem,
    warn_of_price,
)
from streams.running.accounts import account_of_caller
from streams.running.api_limits import limits_of_task
from streams.running.pipeline import Pipeline
from streams.running.pipeline_caller import (
    CALL_BYTES,
    MAX_INSIDE,
    PipelineCaller,
    PipelineTask,
)
from streams.running.task_stages import connections_of
from streams.settings import Settings, TaskSettings
from streams.worker.output import Route
from streams.worker.task_parts import TaskParts


class Plan(NamedTuple):
    """A task to run. `function`: of a custom task; `pipeline`: of a pipeline's; without both, its
    operation."""

    task: TaskSettings
    function: Callable[..., Any] | None = None
    pipeline: Pipeline | None = None

    @property
    def connections(self) -> int:
        """How many calls of APIs it makes at once, at most."""
        if self.pipeline is not None:
            return connections_of(self.pipeline)
        return 0 if self.function is not None else self.task.calls.max_in_flight


def caller_of(
    plan: Plan,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    stage_bytes: int,
    on_defect: Callable[[BaseException], None],
) -> Any:
    """What makes the task's calls. `stage_bytes`: see `PipelineTask.room_bytes`. `on_defect`: see
    `PipelineCaller`. Raises ConfigError."""
    task = plan.task
    if plan.pipeline is not None:
        of_task = PipelineTask(
            task.name, task.source, task.order, task.version, stage_bytes, task.priority
        )
        return PipelineCaller(plan.pipeline, of_task, on_defect)
    if plan.function is not None:
        limit = task.calls.max_in_flight
        return function_caller(plan.function, version=task.version, max_in_flight=limit)
    if task.limits.has_budget and (problem := price_problem(task)):
        raise ConfigError([problem])
    caller = make_caller(task, settings.provider.get(task.provider), environ=environ)
    warn_of_price(task)
    return caller


def parts_of(plan: Plan, caller: Any, settings: Settings, *, run: str = "") -> TaskParts:
    """`caller`: that of a pipeline has started. `run`: of a replay (`Encoder`); "": none."""
    task = plan.task
    described: dict[str, Any] = {"provider": "custom", "version": task.version}
    if plan.function is None:
        described = caller.describe()
    digest = fingerprint(**described)
    pipeline = caller if isinstance(caller, PipelineCaller) else None
    limits = _limits(task) if pipeline is None else _limits_of_pipeline(task, pipeline)
    if isinstance(caller, TaskCaller):
        limits = caller.fitted(limits)
    provider = settings.provider.get(task.provider)
    allowed = limits_of_task(task.limits, provider, settings.limit_groups)
    return TaskParts(
        name=task.name,
        source=task.source,
        limits=limits,
        timeout_s=task.calls.timeout_s if pipeline is None else None,
        decoder=decoder_of(task),
        encoder=Encoder(
            task=task.name,
            model=task.model or None,
            fingerprint=digest,
            mode=task.output.mode,
            embedding=task.output.embedding,
            run=run,
        ),
        caller=caller,
        fingerprint=digest,
        account=account_of_caller(caller.account, limits, allowed),
        has_price=can_price(task),
        call_bytes=0 if pipeline is None else CALL_BYTES,
        # What a replay does again was to be back long ago: its windows fill as those of any item.
        terms=CallTerms(task.batch.key, task.batch.flush_by, reads_flush_by=not run),
    )


def decoder_of(task: TaskSettings) -> Decoder:
    """What makes items of the records of its source."""
    truncates = task.too_large == "truncate"
    limit = TextLimit(task.batch.max_tokens, task.batch.max_bytes) if truncates else None
    return Decoder(text=task.text, id=task.id, tombstones=task.tombstones, limit=limit)


def _limits(task: TaskSettings) -> Limits:
    batch, calls = task.batch, task.calls
    return Limits(
        max_items=batch.max_items,
        max_wait_s=batch.max_wait_ms / 1000,
        max_tokens=batch.max_tokens,
        max_bytes=batch.max_bytes,
        max_in_flight=calls.max_in_flight,
        max_attempts=calls.max_attempts,
        adaptive=batch.adaptive and task.operation != "custom",
        slow_s=calls.timeout_s / 2,
        priority=task.priority,
        order=task.order,
        breaker=BreakerLimits.for_rounds_of(batch.max_items * calls.max_in_flight),
        max_beyond_bytes=MAX_BEYOND_BYTES,
    )


def _limits_of_pipeline(task: TaskSettings, pipeline: PipelineCaller) -> Limits:
    """A call takes one item through all stages: what else is limited, is limited by these."""
    return Limits(
        max_items=1,
        max_wait_s=0,
        max_in_flight=MAX_INSIDE,
        order=task.order,
        breaker=BreakerLimits.for_rounds_of(pipeline.round_items),
        max_beyond_bytes=MAX_BEYOND_BYTES,
    )


def route_of(task: TaskSettings, facts: Mapping[str, TopicFacts]) -> Route:
    source, sink, dead = facts[task.source], facts[task.sink], facts[task.dead_letter]
    return Route(
        sink=task.sink,
        dead_letter=task.dead_letter,
        source_partitions=source.partitions,
        sink_partitions=sink.partitions,
        dead_letter_partitions=dead.partitions,
        sink_bytes=sink.max_message_bytes,
        dead_letter_bytes=dead.max_message_bytes,
        sink_compacted=sink.compacted,
    )
