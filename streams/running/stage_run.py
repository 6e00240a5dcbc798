"""One stage of a pipeline at work: a runner, what waits before it, and how busy it is.

What a stage holds has two limits of its own: what waits for a call (`buffer`), and results that
wait for their turn or for the next stage (`ROOM_CALLS`). So a slow item at the head of the order
holds no call back as long as there is room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from typing import Any, NamedTuple

from streams.core.call import PENDING, Call, Slot
from streams.core.events import (
    Arrived,
    Closed,
    Delivered,
    Flush,
    LimitsChanged,
    Opened,
    Paused,
    Resumed,
)
from streams.errors import ItemError
from streams.providers.threads import Threads
from streams.running.expanding import Intake
from streams.running.logs import PauseLog
from streams.running.parts import EMPTY, Element, hold_outcomes, lanes_of
from streams.running.runner import Runner
from streams.running.stages import Stage
from streams.running.trips import Load
from streams.running.work import OwnWork, Work, work_of
from streams.user_code import raised_at

BUFFER_CALLS = 2
"""The default of `buffer`, as a multiple of what `max_in_flight` calls hold."""

ROOM_CALLS = 16
"""Limit of results that wait for their turn or for the next stage, as the same multiple."""

MAX_THREADS = 1_024


class StageStatistics(NamedTuple):
    """One moment of a stage. `items`: outcomes so far, of which `failed` are `ItemError`s of its
    own. `waiting`: items before it. `reordering`: results that wait for their turn. `busy`: from 0
    to 1, the share of its calls' time and items that was in use, or could not be for a pause."""

    name: str
    items: int
    failed: int
    waiting: int
    in_flight: int
    reordering: int
    calls: int
    max_in_flight_seen: int
    mean_batch_items: float
    busy: float


class StageRun:
    """`on_release(slots, values)`: outcomes in order; answered with `delivered`. `on_ended()`: a
    call ended, and there may be room. `on_defect`: a function raised what ends the run. `pauses`:
    is told of its account's. In the running loop; raises what `work_of` raises.

    `load`: that of a task, which has a limit of its own for results that wait; None: `capacity`,
    items in it that are not delivered, is their limit. `holds`: the limit of those in its calls.
    `intake`: what a task's stage may take if it expands.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        *,
        on_release: Callable[[list[Element], list[Any]], None],
        on_ended: Callable[[], None],
        on_defect: Callable[[BaseException], None],
        pauses: PauseLog,
        load: Load | None = None,
    ) -> None:
        self.name = name
        self.expands = stage.expands
        self._threads: Threads | None = None
        self.work = self._work_of(stage)
        limits = self.work.limits
        self.holds = holds = limits.max_items * limits.max_in_flight
        self._buffer = BUFFER_CALLS * holds if stage.buffer is None else stage.buffer
        self.capacity = self._buffer + (1 + ROOM_CALLS) * holds
        self._load = load
        self._on_release, self._on_ended = on_release, on_ended
        self._seq = self._failed = self._released = 0
        self._open: Counter[Hashable] = Counter()  # not delivered, by lane
        self._busy_s = self._paused_s = 0.0
        self._paused_since: float | None = None
        self._flushed = False
        self._pauses = pauses
        limits = replace(limits, max_items=min(limits.max_items, self._buffer))
        self.intake = None if load is None or not stage.expands else Intake(load, limits)
        self.runner = Runner(
            self.work.caller,
            limits if self.intake is None else self.intake.limits,
            timeout_s=self.work.timeout_s,
            account=self.work.account,
            money=self.work.money,
            has_price=self.work.has_price,
            on_release=self._release,
            on_ended=self._ended,
            on_defect=on_defect,
            on_pause=self._pause,
        )

    def _work_of(self, stage: Stage) -> Work:
        process, options = stage.process, stage.options
        if isinstance(process, OwnWork):
            return work_of(process, options)
        if options.max_items is None:
            options = replace(options, max_items=1)
        if stage.in_thread:
            self._threads = Threads(min(options.max_in_flight, MAX_THREADS), "streams-stage")
            return work_of(partial(_in_thread, self._threads, process), options)
        return work_of(process, options)  # type: ignore[arg-type]

    # -- what goes through -----------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more items it takes now."""
        room = self._buffer - self.runner.engine.windows.count
        if self._load is None:
            room = min(room, self.capacity - self._open.total())
        elif self.intake is not None:
            room = min(room, self.intake.room)
        return max(0, room)

    @property
    def room_alone(self) -> int:
        """The same while nothing is in it or behind it."""
        return self.room if self.intake is None else min(self._buffer, self.intake.room_alone)

    @property
    def is_empty(self) -> bool:
        """Whether each of its outcomes is delivered."""
        return not self._open.total()

    def put(self, elements: Sequence[Element]) -> None:
        now, seq = self.runner.now(), self._seq
        for seq, element in enumerate(elements, seq):  # noqa: B020
            element.seq = seq
            element.arrived_at = now
        self._seq = seq + 1
        to_call = [each for each in elements if each.outcome is PENDING]
        self._weigh(to_call)
        if self.intake is not None:
            self.intake.take(to_call)
        for lane, slots in lanes_of(elements):
            if lane not in self.runner.engine.lanes:
                self.runner.handle(Opened(lane))
            self._open[lane] += len(slots)
            self.runner.handle(Arrived(slots))

    def _weigh(self, elements: Sequence[Element]) -> None:
        """What `tokens` raises is the error of its item."""
        try:
            self.work.weigh(elements)
        except Exception:
            for element in elements:
                try:
                    self.work.weigh([element])
                except Exception as error:
                    message = f"tokens: {type(error).__name__}{raised_at(error)}"
                    element.outcome = ItemError("function_error", message)
                    element.outcome.__cause__ = error

    def delivered(self, elements: Sequence[Element]) -> None:
        for lane, slots in lanes_of(elements):
            if lane in self.runner.engine.lanes:
                self._open[lane] -= len(slots)
                self.runner.handle(Delivered(lane, slots))

    def close_lane(self, lane: Hashable) -> None:
        """Nobody waits for its items any more: what waits leaves, and a call that answers nobody
        else is cancelled."""
        self._open.pop(lane, None)
        if self.intake is not None:
            self.intake.close_lane(lane)
        self.runner.handle(Closed(lane))

    def flush(self) -> None:
        """No more items come."""
        if not self._flushed:
            self._flushed = True
            self.runner.handle(Flush())

    def _release(self, lane: Any, slots: list[Any]) -> None:
        for slot in slots:
            slot.item = None  # let go, however long its result waits
            if slot.call is not None and isinstance(slot.outcome, ItemError):
                self._failed += 1
        if slots[0].trip is not None:
            for slot in slots:
                slot.trip.let_go(slot.memory + slot.growth)
                slot.trip.add(slot)
        if any(slot.outcome is EMPTY for slot in slots):
            values = [EMPTY if slot.outcome is EMPTY else self._result(slot) for slot in slots]
        else:
            values = self.work.results(slots)
        self._released += len(slots)
        self._on_release(slots, values)

    def _result(self, slot: Slot) -> Any:
        return self.work.results([slot])[0]

    # -- how busy it is --------------------------------------------------------------------------

    def _ended(self, call: Call, slots: Sequence[Slot], event: Any) -> None:
        self._busy_s += self._used_s(call)
        if self._load is not None:
            waiting = hold_outcomes(slots)
            if self.intake is not None:
                self._resize(self.intake, waiting)
        self._on_ended()

    def _resize(self, intake: Intake, waiting: Sequence[Element]) -> None:
        """`waiting`: what the call became and has not gone on."""
        intake.measure(waiting, sum(each.memory + each.growth for each in waiting))
        max_items = intake.limits.max_items
        if max_items != self.runner.engine.limits.max_items:
            self.runner.handle(LimitsChanged(max_items=max_items))

    def _used_s(self, call: Call) -> float:
        """How long a call was in use, by how full it was. A repeated one was no less full, for want
        of more that may join it; it is in use from the failure before it on."""
        if call.cause != "new":
            return self.runner.now() - call.failed_at
        max_items = self.runner.engine.limits.max_items
        fill = 1.0 if call.reason in ("tokens", "bytes", "answers") else call.size / max_items
        return fill * (self.runner.now() - call.started_at)

    def _pause(self, news: Paused | Resumed, now: float) -> None:
        self._pauses.tell(news, now)
        if self._paused_since is not None:
            self._paused_s += now - self._paused_since
        self._paused_since = now if isinstance(news, Paused) else None

    def _busy(self, elapsed_s: float) -> float:
        engine, admission = self.runner.engine, self.runner.engine.admission
        calls = [*admission.calls.values(), *admission.retries()]
        busy_s = self._busy_s + sum(map(self._used_s, calls))
        paused_s = self._paused_s
        if self._paused_since is not None:
            paused_s += self.runner.now() - self._paused_since
        return min(1.0, (busy_s / engine.limits.max_in_flight + paused_s) / elapsed_s)

    def statistics(self, elapsed_s: float) -> StageStatistics:
        engine, items = self.runner.engine.statistics(), self.runner.tally.called_items
        return StageStatistics(
            name=self.name,
            items=self._released,
            failed=self._failed,
            waiting=engine.waiting,
            in_flight=engine.in_flight,
            reordering=engine.reordering,
            calls=engine.calls,
            max_in_flight_seen=engine.max_in_flight_seen,
            mean_batch_items=round(items / engine.calls, 2) if engine.calls else 0.0,
            busy=round(self._busy(elapsed_s), 4),
        )

    async def close(self) -> None:
        """Cancels its calls, and returns when they have ended."""
        try:
            await self.runner.stop()
        finally:
            await self._close()

    async def abandon(self) -> int:
        """As `close`, but leaves calls behind that do not end soon; returns their number."""
        try:
            return await self.runner.abandon()
        finally:
            await self._close()

    async def _close(self) -> None:
        if self._threads is not None:
            self._threads.close()
        await self.work.close()


async def _in_thread(threads: Threads, function: Callable[..., Any], items: list[Any]) -> Any:
    returned = await threads.call(function, items)
    return await returned if isawaitable(returned) else returned
