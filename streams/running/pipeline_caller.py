"""A pipeline as the caller of a task: every call brings one item, all of them share one run.

    task's call ─► waiting ─► PipelineRun: stage ─► ... ─► stage ─► taker ─► reply of the call
                     ▲                                       │
                     └─────────── room in memory ◄───────────┘

Rules:
1. A call is over when the last stage has the outcome of its item. What the task knows of order,
   watermarks, stops and kills holds for a pipeline without a word about it.
2. A partition may become another worker's: then its calls are cancelled, and all that the stages
   hold of it is dropped, as a task without stages drops it.
3. Calls, retries and money are those of the stages, counted at their replies.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from streams.core.inspect import Statistics
from streams.core.limits import Order
from streams.core.rate_line import RateLine
from streams.errors import ItemError
from streams.model import DROP, Item, Reply
from streams.running.item_texts import plain_json
from streams.running.logs import PauseLog
from streams.running.pipeline import Pipeline
from streams.running.pipeline_run import PipelineRun, PipelineStatistics
from streams.running.tally import CallTally
from streams.running.task_stages import stages_of_task
from streams.running.trips import Load, TaskLane, Trip

logger = logging.getLogger(__name__)

CALL_BYTES: Final = 3_000
"""Memory of a call under way with its trip, measured on CPython 3.11."""

MAX_INSIDE: Final = 10_000
"""Limit of items in a pipeline. Mostly memory limits them first: the task's, which each partition
has its share of, so that one whose head is slow holds no other back; and that of the stages."""


@dataclass(frozen=True, slots=True)
class PipelineTask:
    """The task that a pipeline belongs to. `room_bytes`: the limit of what its stages made and no
    later one has taken."""

    name: str
    source: str
    order: Order
    version: str
    room_bytes: int
    priority: int = 0


class PipelineCaller:
    """Runs the items of one task through a pipeline, in the running loop; `start` comes first.

    `on_defect(error)`: the run ended by what no rule covers.
    """

    account: Final = None
    """Its stages have accounts of their own."""

    def __init__(
        self,
        pipeline: Pipeline,
        task: PipelineTask,
        on_defect: Callable[[BaseException], None],
    ) -> None:
        self._task = task
        self._on_defect = on_defect
        self._waiting: deque[Trip] = deque()
        self._more = asyncio.Event()
        self._lanes: dict[int, TaskLane] = {}
        self._load = Load(task.room_bytes)
        self._taking: asyncio.Task[None] | None = None
        self._run = PipelineRun(
            stages_of_task(pipeline, task.order, task.priority),
            self._trips(),
            pauses=self._pauses,
            load=self._load,
        )

    async def start(self) -> None:
        """Raises what a stage's work raises, such as ConfigError for a missing key."""
        await self._run.__aenter__()
        self._taking = asyncio.create_task(self._take(), name=f"streams-{self._task.name}")
        self._taking.add_done_callback(self._tell_defect)
        for stage in self._run.stages:
            if not stage.work.has_price:
                logger.warning(
                    "task %s: the price of stage %s is not known: cost_usd is null in results and "
                    "summary, and streams_cost_usd_total has no sample of it",
                    self._task.name, stage.name,
                )  # fmt: skip

    async def __call__(self, items: Sequence[Item]) -> Reply:
        """The outcome of one item, with what the stages' calls took for it."""
        (item,) = items
        key = item.key if self._task.order == "key" else None
        lane = self._lanes.get(item.partition)
        if lane is None:
            lane = self._lanes[item.partition] = TaskLane()
        trip = Trip(item, lane, key, self._load)
        self._waiting.append(trip)
        self._more.set()
        try:
            return Reply([_answer(await trip.outcome)], trip.usage)
        except asyncio.CancelledError:
            self._close(item.partition, lane)
            raise

    async def aclose(self) -> None:
        """Ends the calls under way; those that do not end are left behind."""
        if self._taking is None:
            return
        self._taking.cancel()
        await asyncio.wait([self._taking])
        if left := await self._run.abandon():
            logger.warning("task %s: %d calls do not end; left behind", self._task.name, left)

    def _close(self, partition: int, lane: TaskLane) -> None:
        """Its calls are cancelled, all in one turn of the loop; the first one finds it open."""
        if not lane.is_open:
            return
        lane.is_open = False
        if self._lanes.get(partition) is lane:
            del self._lanes[partition]
        self._run.close_lane(lane)
        for trip in [*lane.trips]:
            self._load.end(trip)
        self._more.set()

    # -- what goes through -----------------------------------------------------------------------

    async def _trips(self) -> AsyncIterator[Trip]:
        """The run's input, which never ends; it waits while there is no room in memory."""
        while True:
            while self._waiting and self._load.has_room:
                trip = self._waiting.popleft()
                if trip.lane.is_open:
                    self._load.begin(trip)
                    yield trip
            self._more.clear()
            await self._more.wait()

    async def _take(self) -> None:
        while (taken := await self._run.take()) is not None:
            for element in taken:
                trip = element.trip
                assert trip is not None
                self._load.end(trip)
                if not trip.outcome.done():
                    trip.outcome.set_result(element.value)
            self._more.set()

    def _tell_defect(self, taking: asyncio.Task[None]) -> None:
        if not taking.cancelled() and (error := taking.exception()) is not None:
            self._on_defect(error)

    def _pauses(self, stage: str) -> PauseLog:
        return PauseLog(f"task {self._task.name} (stage {stage})", self._task.source)

    # -- what its task needs to know -------------------------------------------------------------

    @property
    def round_items(self) -> int:
        """How many items the calls of one stage hold at once, at most."""
        return max(stage.holds for stage in self._run.stages)

    @property
    def max_in_flight(self) -> int:
        """The limit of calls, of all stages together."""
        return sum(stage.runner.engine.limits.max_in_flight for stage in self._run.stages)

    @property
    def rate_lines(self) -> Mapping[str, RateLine]:
        """The limits per minute that hold the stages' calls back, by name."""
        found = [
            (each.name, each.runner.engine.admission.seat.account) for each in self._run.stages
        ]
        return {
            account.rates.name or f"task/{self._task.name}/{stage}": account.rates
            for stage, account in found
            if account.rates is not None
        }

    def describe(self) -> dict[str, Any]:
        """The keywords of `streams.codec.fingerprint.fingerprint`: the operations among the stages
        and the version, which stands for the functions."""
        described = [stage.work.describe() for stage in self._run.stages]
        operations = [each for each in described if each is not None]
        settings = {"stages": operations}
        return {"provider": "pipeline", "version": self._task.version, "settings": settings}

    @property
    def tally(self) -> CallTally:
        """The calls of all stages so far."""
        return self._run.tally

    def stages(self) -> PipelineStatistics:
        """Each stage as it is now, and which one holds the others up."""
        return self._run.statistics()

    def with_stages(self, task: Statistics) -> Statistics:
        """The counts of the task's items, with the calls and pauses of the stages. The most calls
        in flight are those of each stage, together; the error of estimates is that of the worst."""
        engines = [(stage.name, stage.runner.engine.statistics()) for stage in self._run.stages]
        counts = [each for _, each in engines]
        errors = [error for each in counts if (error := each.token_estimate_error) is not None]
        reasons: Counter[str] = Counter()
        for each in counts:
            reasons.update(each.calls_by_reason)
        merged = replace(
            task,
            in_flight=sum(each.in_flight for each in counts),
            calls=sum(each.calls for each in counts),
            retries=sum(each.retries for each in counts),
            splits=sum(each.splits for each in counts),
            max_in_flight_seen=sum(each.max_in_flight_seen for each in counts),
            buffered_bytes=task.buffered_bytes + self._load.bytes,
            calls_by_reason=reasons,
            token_estimate_error=max(errors, default=None),
        )
        for name, each in engines:
            if each.paused_reason is not None and task.paused_reason is None:
                return replace(
                    merged,
                    paused_reason=each.paused_reason,
                    paused_until=each.paused_until,
                    paused_message=f"stage {name}: {each.paused_message}",
                )
        return merged


_PLAIN: Final = frozenset({type(None), bool, str, int, float, list, dict})
"""A list may be a vector of a thousand numbers: looked at by their types alone."""


def _answer(value: Any) -> Any:
    """None drops the item. In a list, models of pydantic become what JSON has, and an error that
    `gather(errors="keep")` left there an object with its code and message."""
    if value is None:
        return DROP
    if isinstance(value, list):
        return value if _PLAIN.issuperset(map(type, value)) else list(map(_member, value))
    return value if _is_plain(value) else plain_json(value)


def _member(value: Any) -> Any:
    if isinstance(value, ItemError):
        return {"error": {"code": value.code, "message": value.message}}
    return value if _is_plain(value) else plain_json(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | list | dict)
