"""One run of a pipeline: stages one after the other, a queue behind each, the taker at the end.

    input ─► stage ─► queue ─► stage ─► queue ─► ... ─► taker
               ▲        │
               └────────┘ delivered, once the next stage has taken it

Rules:
1. `_pump` moves what there is room for, from the end to the input, until nothing moves: a slow
   stage holds back the one before it, and at last the input; the taker holds back the last stage.
2. Whatever ends the run (the input's end, an error, the taker's leaving), the calls of all stages
   have ended when it is left, and the input's task, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple, Self

from streams.running.drawing import Drawing
from streams.running.logs import PauseLog
from streams.running.parts import EMPTY, Element, Queue, Step
from streams.running.stage_run import StageRun, StageStatistics
from streams.running.stages import Stage
from streams.running.tally import CallTally
from streams.running.trips import Load, Trip

SOURCE = "<source>"
TAKER = "<taker>"


class PipelineStatistics(NamedTuple):
    """One moment of a run. `bottleneck`: the name of the stage that holds the others up: the
    busiest; "<source>" if drawing items takes longer, "<taker>" if whoever takes the results does;
    None before the first call. `elapsed_s`: since the start."""

    stages: tuple[StageStatistics, ...]
    bottleneck: str | None
    elapsed_s: float


def _pauses(stage: str) -> PauseLog:
    return PauseLog(f"stage {stage}", "the input")


class PipelineRun:
    """`stages`: each with the steps of the queue behind it. `items`: of the first. Used by `async
    with`, which raises what `StageRun` raises, and leaves nothing behind. `pauses`: of a stage,
    by its name. `load`: see `StageRun`."""

    def __init__(
        self,
        stages: Sequence[tuple[Stage, Sequence[Step]]],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        pauses: Callable[[str], PauseLog] = _pauses,
        load: Load | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._pumping = False
        self._index = 0
        self._lent: list[Element] = []
        self._started = self._loop.time()
        self._last: PipelineStatistics | None = None
        self._taker_s = 0.0
        self._lent_at: float | None = None
        self._to_open = stages
        self._pauses = pauses
        self._load = load
        self.stages: list[StageRun] = []
        self._queues: list[Queue] = []
        self._stack = AsyncExitStack()
        self._drawing = Drawing(
            items,
            arrive=self._arrive,
            room=lambda: self._room(0),
            fail=self._fail,
            on_end=self._pump,
        )

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._drawing.close)
        try:
            self._open(self._to_open)
        except BaseException:
            await self._stack.aclose()
            raise
        self._started = self._loop.time()
        return self

    def _open(self, stages: Sequence[tuple[Stage, Sequence[Step]]]) -> None:
        names: Counter[str] = Counter()
        for number, (stage, steps) in enumerate(stages):
            names[stage.name] += 1
            name = stage.name if names[stage.name] == 1 else f"{stage.name}-{names[stage.name]}"
            run = StageRun(
                stage,
                name,
                on_release=partial(self._release, number),
                on_ended=self._pump,
                on_defect=self._fail,
                pauses=self._pauses(name),
                load=self._load,
            )
            self._stack.push_async_callback(run.close)
            self.stages.append(run)
            self._queues.append(Queue(steps, name))

    def _release(self, number: int, slots: list[Element], values: list[Any]) -> None:
        stage, before = self.stages[number], 0 if self._load is None else self._load.bytes
        delivered = self._queues[number].put(slots, values)
        if stage.intake is not None and self._load is not None:
            stage.intake.measure(slots, self._load.bytes - before)
        if delivered:
            stage.delivered(delivered)
        self._pump()

    # -- what moves ------------------------------------------------------------------------------

    def _arrive(self, items: list[Any]) -> None:
        elements = [_element(item, n) for n, item in enumerate(items, self._index)]
        self._index += len(items)
        if open_ones := [each for each in elements if each.trip is None or each.trip.lane.is_open]:
            self.stages[0].put(open_ones)

    def _pump(self) -> None:
        if self._pumping or self._last is not None:
            return
        self._pumping = True
        try:
            while sum(self._move(number) for number in range(len(self.stages) - 1, 0, -1)):
                pass
            self._drawing.draw()
            self._flush()
        finally:
            self._pumping = False
        self._changed.set()

    def close_lane(self, lane: Hashable) -> None:
        """Nobody waits for what is of this lane: all of it is dropped."""
        self._pumping = True
        try:
            for stage in self.stages:
                stage.close_lane(lane)
            for queue in self._queues:
                queue.drop(lane)
        finally:
            self._pumping = False
        self._pump()

    def _move(self, number: int) -> bool:
        """Moves what there is room for into the stage; whether anything moved."""
        queue, stage = self._queues[number - 1], self.stages[number]
        if not len(queue) or not (room := self._room(number)):
            return False
        elements, sources = queue.take(room)
        stage.put(elements)
        if sources:
            self.stages[number - 1].delivered(sources)
        return True

    def _room(self, number: int) -> int:
        """How many items the stage takes now: none where it expands and the next one has enough."""
        stage = self.stages[number]
        if stage.expands and number + 1 < len(self.stages):
            next_capacity = self.stages[number + 1].capacity
            if len(self._queues[number]) >= next_capacity:
                return 0
        room = stage.room
        if stage.intake is not None and not room and self._is_idle_from(number):
            return stage.room_alone
        return room

    def _is_idle_from(self, number: int) -> bool:
        """Whether nothing is in this stage or behind it."""
        stages, queues = self.stages[number:], self._queues[number:]
        return all(stage.is_empty for stage in stages) and not any(map(len, queues))

    def _flush(self) -> None:
        """A stage whose input has ended does not wait for more."""
        is_over = self._drawing.ended
        for stage in self.stages:
            if not is_over:
                break
            stage.flush()
            is_over = stage.is_empty

    def _fail(self, error: BaseException) -> None:
        """Drawing an item raised, or a function something that ends the run."""
        if self._error is None:
            self._error = error
        self._changed.set()

    # -- the taker -------------------------------------------------------------------------------

    async def take(self) -> list[Element] | None:
        """Elements with their values, those before them are taken; None: there are no more. Raises
        what drawing an item raises, and what ends the run."""
        self._take_back()
        queue = self._queues[-1]
        while not len(queue):
            if self._error is not None:
                raise self._error
            if self._drawing.ended and all(stage.is_empty for stage in self.stages):
                return None
            await self._changed.wait()
            self._changed.clear()
        taken, self._lent = queue.take(len(queue))
        self._lent_at = self._loop.time()
        return [element for element in taken if element.outcome is not EMPTY]

    def _take_back(self) -> None:
        if self._lent_at is not None:
            self._taker_s += self._loop.time() - self._lent_at
            self._lent_at = None
        lent, self._lent = self._lent, []
        if lent:
            self.stages[-1].delivered(lent)
        self._pump()

    # -- what it shows ---------------------------------------------------------------------------

    def statistics(self) -> PipelineStatistics:
        """As it is, or was at the end."""
        if self._last is not None:
            return self._last
        elapsed_s = max(1e-9, self._loop.time() - self._started)
        taker_s = self._taker_s
        if self._lent_at is not None:
            taker_s += self._loop.time() - self._lent_at
        stages = tuple(stage.statistics(elapsed_s) for stage in self.stages)
        shares = {stage.name: stage.busy for stage in stages}
        shares |= {SOURCE: self._drawing.waited_s / elapsed_s, TAKER: taker_s / elapsed_s}
        bottleneck = max(shares, key=shares.__getitem__)
        called = any(stage.calls for stage in stages)
        return PipelineStatistics(stages, bottleneck if called else None, elapsed_s)

    @property
    def tally(self) -> CallTally:
        """The calls of all stages so far."""
        return CallTally.of([stage.runner.tally for stage in self.stages])

    async def __aexit__(self, *raised: object) -> None:
        """Cancels what is under way, and returns when it has ended."""
        self._last = self.statistics()
        for stage in self.stages:
            stage.runner.cancel()
        await self._stack.aclose()

    async def abandon(self) -> int:
        """In place of leaving the `async with`: leaves calls behind that do not end soon, and
        returns their number."""
        self._last = self.statistics()
        left = await asyncio.gather(*(stage.abandon() for stage in self.stages))
        await self._drawing.close()
        return sum(left)


def _element(item: Any, number: int) -> Element:
    if isinstance(item, Trip):
        return Element(item.item, None, number, trip=item)
    return Element(item, None, number)
