"""A run in batch mode: carries out what the machine decides, until it is over.

    machine.decide ─► actions ─► the API, the bench, the state ─► done | failed ─► machine.decide

Rules of this file:
1. Every decision is the machine's. Each action is a task, and ends in one answer to the machine.
2. What an action has to write first, it writes first (`Submit`, `GoLive`, `Emit`).
3. Ended in any way (a cancellation, an error), the run leaves its batches at work, and its state
   knows them: the same run goes on in another process, on another day.
4. An error that is no CallError is a defect, or the door's, the state's or the user's: it ends the
   run as it is.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from streams.batches.batch_door import BatchDoor
from streams.batches.batch_operation import BatchOperation
from streams.batches.bench import Bench
from streams.batches.core.batch_machine import BatchMachine
from streams.batches.core.chunk_record import CHUNK_KEY, Chunk
from streams.batches.core.run_actions import (
    Canary,
    Cancel,
    Draw,
    Drawn,
    Emit,
    Find,
    Fold,
    GoLive,
    Prove,
    Retrieve,
    RunAction,
    Save,
    Submit,
)
from streams.batches.core.run_terms import Mode, RunTerms
from streams.batches.live_calls import LiveCalls
from streams.batches.live_records import LiveRecords
from streams.batches.result_store import ResultStore
from streams.batches.run_head import HEAD_KEY, RunHead
from streams.batches.run_report import BatchProgress, RunSummary, progress_of, summary_of
from streams.batches.state_port import RunState
from streams.core.events import Paused, Resumed
from streams.errors import CallError, StreamsError
from streams.providers.batch_port import BatchApi

OnProgress = Callable[[BatchProgress], object]


class BatchRun:
    """One process's part of a run. `head`: as it is written; `records`: what the state has besides
    (`RunState.load`). `on_progress`: called after each step. `cancels`: give up (`--cancel`)."""

    def __init__(
        self,
        head: RunHead,
        task: BatchOperation,
        door: BatchDoor,
        api: BatchApi,
        state: RunState,
        records: Mapping[str, bytes],
        terms: RunTerms,
        *,
        on_progress: OnProgress | None = None,
        cancels: bool = False,
    ) -> None:
        self._head = head
        self._task = task
        self._door = door
        self._api = api
        self._state = state
        self._on_progress = on_progress
        self._records = LiveRecords(state, records)
        self._machine = BatchMachine(
            replace(terms, deadline_at_ms=head.deadline_at_ms),
            [Chunk.read(key, records[key]) for key in records if key.startswith(CHUNK_KEY)],
            head.canary,
            count=door.count,
            max_items=task.limits.max_items,
            max_in_flight=task.limits.max_in_flight,
            now_ms=_now_ms(),
        )
        if cancels or head.state == "cancelled":
            self._machine.cancel()
        self._terms = terms
        self._tasks: dict[asyncio.Task[Any], RunAction] = {}
        self._ended: deque[asyncio.Task[Any]] = deque()
        self._changed = asyncio.Event()
        self._pause = ""

    def cancel(self) -> None:
        """Give up: batches are cancelled, and what has an answer goes to the door."""
        self._machine.cancel()
        self._changed.set()

    async def run(self) -> RunSummary:
        """Until every outcome is at the door, or the run is stopped or cancelled; once. Raises
        StreamsError where a person has to look at something first."""
        with tempfile.TemporaryDirectory(prefix="streams-batches-") as directory:
            self._store = ResultStore(self._api, Path(directory))
            self._bench = Bench(
                self._head.run, self._task, self._door, self._terms.bounds, self._records,
                self._store,
            )  # fmt: skip
            try:
                await self._write_head("cancelled" if self._is_cancelled else "running")
                await self._go_on()
            finally:
                await self._stop()
                await self._bench.aclose()
                self._store.close()
        machine = self._machine
        state = {Mode.STOP: "stopped", Mode.CANCEL: "cancelled"}.get(machine.mode, "done")
        await self._write_head(state)
        return summary_of(self._head.run, state, machine.chunks)

    @property
    def _is_cancelled(self) -> bool:
        return self._machine.mode is Mode.CANCEL

    async def _write_head(self, state: str) -> None:
        self._head.state = state
        await self._state.put(HEAD_KEY, self._head.record())

    # -- the loop ----------------------------------------------------------------------------------

    async def _go_on(self) -> None:
        machine = self._machine
        while True:
            now_ms = _now_ms()
            for action in machine.decide(now_ms):
                self._begin(action)
            if machine.error is not None:
                raise StreamsError(machine.error)
            if not self._tasks and machine.is_idle:
                return
            self._tell()
            await self._wait(machine.next_at(now_ms) - now_ms)
            while self._ended:
                self._end(self._ended.popleft())

    def _begin(self, action: RunAction) -> None:
        task = asyncio.get_running_loop().create_task(self._carry_out(action))
        self._tasks[task] = action
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._ended.append(task)
        self._changed.set()

    async def _wait(self, wait_ms: float) -> None:
        """Until an action has ended, or so long."""
        assert self._tasks or wait_ms < float("inf"), "nothing would ever happen"
        try:
            async with asyncio.timeout(None if wait_ms == float("inf") else wait_ms / 1000):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def _end(self, task: asyncio.Task[Any]) -> None:
        action = self._tasks.pop(task)
        try:
            result = task.result()
        except CallError as error:
            self._machine.failed(action, error, _now_ms())
        else:
            self._machine.done(action, result, _now_ms())

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- actions -----------------------------------------------------------------------------------

    async def _carry_out(self, action: RunAction) -> Any:
        match action:
            case Save(number, record):
                await self._write(number, record)
            case Emit(number, record, partial):
                await self._bench.emit(partial=partial)
                await self._write(number, record)
                await self._forget(number)
            case Retrieve() | Cancel() | Find() | Prove():
                return await self._ask(action)
            case Draw(number, after):
                return await self._bench.draw(number, after)
            case Canary(number):
                return await self._call_canary(number)
            case Fold(number):
                return await self._bench.load(self._machine.chunks[number])
            case Submit(number, record):
                await self._write(number, record)
                return await self._api.create(await self._bench.bodies())
            case GoLive(number, record):
                await self._write(number, record)
                return await self._bench.go_live(self._live_calls(number))
        return None

    async def _ask(self, action: Retrieve | Cancel | Find | Prove) -> Any:
        match action:
            case Retrieve(_, batch):
                status = await self._api.retrieve(batch)
                if status.ended:
                    self._store.has_ended(status)
                return status
            case Cancel(_, batch):
                return await self._api.cancel(batch)
            case Find(_, since_ms):
                return await self._api.list(since_ms)
            case Prove(number, round_number, status):
                self._store.has_ended(status)
                file = await self._store.get(status.id)
                return file.has_round(self._head.run, number, round_number)

    async def _write(self, number: int, record: bytes) -> None:
        await self._state.put(f"{CHUNK_KEY}{number}", record)

    async def _call_canary(self, number: int) -> Drawn:
        drawn = await self._bench.canary(number)
        self._head.canary = drawn.canary
        await self._state.put(HEAD_KEY, self._head.record())
        return drawn

    def _live_calls(self, number: int) -> LiveCalls:
        async def record(slots: list[Any]) -> None:
            await self._records.put(number, slots)

        return LiveCalls(
            self._task,
            f"{self._head.run}-{number}-live{self._records.count(number)}",
            record,
            on_pause=self._paused,
            on_answered=self._answered,
        )

    async def _forget(self, number: int) -> None:
        """The chunk has left: neither its live answers nor its results are needed again."""
        await self._records.forget(number)
        for each in self._machine.chunks[number].rounds:
            if each.batch is not None:
                self._store.drop(each.batch)

    # -- news --------------------------------------------------------------------------------------

    def _paused(self, pause: Paused | Resumed, _now: float) -> None:
        self._pause = f"{pause.reason}: {pause.message}" if isinstance(pause, Paused) else ""
        self._tell()

    def _answered(self, _count: int) -> None:
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(progress_of(self._machine, self._door.count, self._pause))


def _now_ms() -> int:
    return int(time.time() * 1000)
