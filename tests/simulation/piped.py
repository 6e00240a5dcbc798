"""A task that is a pipeline: parts that are gathered again, then the API, as stages of one run.

item ─► parts ─► a function, out of order ─► gather ─► the item ─► API
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streams.codec.records import estimate_tokens, text_bytes
from streams.core.engine import Engine
from streams.core.limits import Limits
from streams.errors import Retry
from streams.model import Item, Reply
from streams.running.pipeline import Pipeline
from streams.running.pipeline_caller import MAX_INSIDE, PipelineCaller, PipelineTask
from streams.running.stages import expand, gather, stage
from streams.running.work import Options, OwnWork

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.parameters import Parameters
    from tests.simulation.world import World

API = "api"
"""The name of the stage that calls it."""

Part = tuple[Item, int]


class ApiStage(OwnWork):
    """The API behind one stage, with the limits that a task of its own would have."""

    name = "api"
    has_price = True
    account = None
    money = None

    def __init__(self, world: World, member: Member, limits: Limits) -> None:
        self.__name__ = API
        self.limits = limits
        self.timeout_s = world.parameters.timeout_s
        self._world = world
        self._member = member

    def check(self, options: Options) -> None: ...

    def work(self, options: Options) -> Any:
        return self

    async def caller(self, items: list[Item]) -> Reply:
        return await self._world.api.call(self._member, items)

    def weigh(self, slots: Sequence[Any]) -> None:
        for slot in slots:
            slot.tokens = estimate_tokens(slot.item.text)
            slot.size = text_bytes(slot.item.text)

    def results(self, slots: Sequence[Any]) -> list[Any]:
        return [slot.outcome for slot in slots]

    def describe(self) -> None:
        return None

    async def close(self) -> None: ...


class PipedCaller(PipelineCaller):
    """Each item knows the lane that it came from: the API asks which owner it answers to."""

    def __init__(self, world: World, member: Member, limits: Limits) -> None:
        self._member = member
        given = world.parameters
        task = PipelineTask("task", "source", given.order, "", given.buffered_bytes // 4)
        super().__init__(_pipeline(world, member, limits), task, member.worker.on_defect)

    async def __call__(self, items: Sequence[Item]) -> Reply:
        (item,) = items
        return await super().__call__([item._replace(value=self._member.lanes[item.partition])])

    @property
    def inside(self) -> int:
        """Items in its stages, also those that nobody waits for."""
        return self._load._trips

    def engine_of(self, name: str) -> Engine:
        (found,) = (each for each in self._run.stages if each.name == name)
        return found.runner.engine

    def cancel(self) -> None:
        """End it in the middle of whatever it does."""
        for each in self._run.stages:
            each.runner.cancel()


def _pipeline(world: World, member: Member, limits: Limits) -> Pipeline:
    async def split(items: Sequence[Item]) -> list[list[Part]]:
        return [[(item, n) for n in range(1 + item.offset % 3)] for item in items]

    async def look(parts: Sequence[Part]) -> list[Part]:
        await asyncio.sleep(world.soon() * 10)
        if world.faulty(given.faulty_calls / 4):
            raise Retry(0.1)
        return list(parts)

    async def join(lists: Sequence[list[Part]]) -> list[Item]:
        assert all([n for _, n in parts] == [*range(len(parts))] for parts in lists)
        return [parts[0][0] for parts in lists]

    given: Parameters = world.parameters
    return Pipeline(
        [
            expand(split, max_items=2),
            stage(look, max_items=3, max_in_flight=2),
            gather(),
            join,
            ApiStage(world, member, limits),
        ]
    )


def limits_of_pipeline(given: Parameters) -> Limits:
    """Of the task: a call takes one item through all stages (`streams.plans`)."""
    return Limits(
        max_items=1,
        max_wait_s=0,
        max_in_flight=MAX_INSIDE,
        order=given.order,
        max_beyond_bytes=given.beyond_bytes,
    )
