"""What both modes make of a run's task: its codecs and caller, its topics, its sink."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from streams.jobs.replay.run_context import RunContext
from streams.kafka.client import connect
from streams.kafka.produce.producers import Producers
from streams.kafka.produce.sink import Sink
from streams.open_files import need_files
from streams.plans import caller_of, parts_of, route_of
from streams.running.pipeline_caller import PipelineCaller
from streams.worker.output import Route
from streams.worker.task_parts import TaskParts

OnDefect = Callable[[BaseException], None]


async def open_parts(
    context: RunContext, stack: contextlib.AsyncExitStack, on_defect: OnDefect, stage_bytes: int
) -> TaskParts:
    """Closed with the stack. Raises ConfigError."""
    need_files(context.plan.connections)
    caller = caller_of(
        context.plan,
        context.settings,
        context.environ,
        stage_bytes=stage_bytes,
        on_defect=on_defect,
    )
    stack.push_async_callback(caller.aclose)
    if isinstance(caller, PipelineCaller):
        await caller.start()
    return parts_of(context.plan, caller, context.settings, run=context.facts.run)


async def open_sink(
    context: RunContext, stack: contextlib.AsyncExitStack, on_defect: OnDefect
) -> Sink:
    """Closed with the stack. It writes only while this process has the run. Raises BrokerError."""
    keywords = {
        **context.arguments,
        "enable_idempotence": not context.embedded,
        "metadata_max_age_ms": 30_000,
    }
    producers = Producers(keywords, may_send=context.may_write)
    sink = Sink(producers, on_defect=on_defect, may_write=context.may_write)
    await connect(sink, context.kafka.bootstrap_servers)
    stack.push_async_callback(sink.stop)
    return sink


def route_of_run(context: RunContext) -> Route:
    """The task's, but into the run's topics."""
    facts = context.facts
    into = {"sink": facts.sink, "dead_letter": facts.dead_letter}
    return route_of(context.plan.task.model_copy(update=into), context.topics)
