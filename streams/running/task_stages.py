"""Which pipelines a task of Kafka takes, and how their stages run in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Final

from streams.core.limits import Order
from streams.errors import ConfigError
from streams.running.parts import Step
from streams.running.pipeline import Part, Pipeline
from streams.running.stages import Stage
from streams.running.work import OwnWork
from streams.user_code import contained

NO_LEDGER: Final = (
    "worker.ledger: must be false with a pipeline: a ledger has the answer to an item as a whole, "
    "not what each stage has paid for"
)


def pipeline_of(stages: Pipeline | Sequence[Part]) -> Pipeline:
    """The pipeline of a task. Raises ConfigError for one that cannot be a task's."""
    try:
        pipeline = stages if isinstance(stages, Pipeline) else Pipeline(stages)
    except (TypeError, ValueError) as error:
        raise ConfigError([f"stages: {error}"]) from None
    problems = [
        f"stages: {stage.name}: max_wait_ms must be finite: the topic never ends"
        for stage, _ in pipeline.stages
        if stage.options.max_wait_s == inf
    ]
    if not pipeline.gives_one_each:
        problems.append(
            "stages: an item's parts are not gathered, and each record has one result: add "
            "streams.gather()"
        )
    if problems:
        raise ConfigError(problems)
    return pipeline


def connections_of(pipeline: Pipeline) -> int:
    """How many calls of APIs it makes at once, at most."""
    return sum(
        stage.options.max_in_flight
        for stage, _ in pipeline.stages
        if isinstance(stage.process, OwnWork)
    )


def stages_of_task(
    pipeline: Pipeline, order: Order, priority: int
) -> list[tuple[Stage, Sequence[Step]]]:
    """The stages as they run. Behind the last one the task restores the order itself."""
    *before, (last, steps) = pipeline.stages
    stages = [(_stage_of_task(stage, order, priority), steps) for stage, steps in before]
    return [*stages, (_stage_of_task(last, "none", priority), steps)]


def _stage_of_task(stage: Stage, order: Order, priority: int) -> Stage:
    """The stage keeps the order that its task keeps. Its function is treated as a task's: one that
    raises is halved down to the item that causes it, and a `sys.exit()` is an error, too."""
    options = replace(stage.options, priority=priority)
    if options.order == "partition":
        options = replace(options, order=order)
    if isinstance(stage.process, OwnWork):
        return replace(stage, options=options)
    if options.split is None:
        options = replace(options, split=True)
    return replace(stage, options=options, process=contained(stage.process))
