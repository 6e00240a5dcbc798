"""The one chunk that is in memory: its slots, its requests, its results.

    draw | load ─► fold ─► bodies of the next batch | live calls ─► emit

What a chunk was is not kept: `load` reads it again from the door, and its results from the disk or
the API, and the fold gives the same as before. All of it runs in slices of 10 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from streams.batches.batch_door import BatchDoor, Cursor
from streams.batches.batch_operation import BatchOperation
from streams.batches.core.batch_packing import ChunkBounds, ChunkBuilder
from streams.batches.core.chunk_fold import MAX_ROUNDS, ChunkFold, Restore, sums_of
from streams.batches.core.chunk_record import Chunk, Sums, covers, packed_calls
from streams.batches.core.run_actions import CanaryFacts, Drawn, Folded
from streams.batches.live_calls import LiveCalls
from streams.batches.live_records import LiveRecords
from streams.batches.result_file import ResultFile
from streams.batches.result_store import ResultStore
from streams.batches.slices import forget, in_slices
from streams.codec.strict_json import write
from streams.core.call import PENDING, Call, Slot, State
from streams.core.cut import screen
from streams.errors import CallError, Fault
from streams.model import Reply

DRAWN_AT_ONCE: Final = 1_000
SUMMED_AT_ONCE: Final = 4_000

READ_IN_VAIN: Final = frozenset({Fault.REFUSED, Fault.TRUNCATED, Fault.BAD_REPLY})
"""The API has taken the parameters; what the model made of the items is for the batch."""


class Bench:
    """`run`: the id in the names of requests. `records`: of live calls. `store`: of results."""

    def __init__(
        self,
        run: str,
        task: BatchOperation,
        door: BatchDoor,
        bounds: ChunkBounds,
        records: LiveRecords,
        store: ResultStore,
    ) -> None:
        self._run = run
        self._task = task
        self._door = door
        self._bounds = bounds
        self._records = records
        self._store = store
        self._input: AsyncIterator[list[Slot]] | None = None
        self._rest: list[Slot] = []
        self._frame_bytes: int | None = None
        self._on: tuple[Chunk, ChunkFold] | None = None
        self._live_items = 0
        self._has_canary = False

    @property
    def _chunk(self) -> Chunk:
        assert self._on is not None
        return self._on[0]

    @property
    def _fold(self) -> ChunkFold:
        assert self._on is not None
        return self._on[1]

    async def aclose(self) -> None:
        self._on = None
        close = getattr(self._input, "aclose", None)  # a door's generator, in the middle
        if close is not None:
            await close()

    # -- a new chunk -------------------------------------------------------------------------------

    async def draw(self, number: int, after: Cursor | None) -> Drawn | None:
        """The items behind `after`, as many as a chunk takes; None: there are no more."""
        await self._clear()
        slots = await self._draw_slots(after)
        if not slots:
            return None
        fold = self._fold_of(number, slots)
        fold.begin()
        await asyncio.sleep(0)
        return await self._drawn(number, fold)

    async def _draw_slots(self, after: Cursor | None) -> list[Slot]:
        if self._input is None:
            self._input = aiter(self._door.slots(after))
        builder: ChunkBuilder | None = None
        rest, self._rest = self._rest, []
        while not self._rest and (rest or (rest := await anext(self._input, []))):
            if builder is None:
                frame_bytes = self._frame(rest)
                builder = ChunkBuilder(self._task.limits, self._bounds, frame_bytes)
            drawn = self._prepared(rest[:DRAWN_AT_ONCE])
            left = builder.add(drawn)
            rest = left + rest[DRAWN_AT_ONCE:]
            self._rest = rest if left else []
            await asyncio.sleep(0)
        return [] if builder is None else builder.slots

    def _frame(self, slots: Sequence[Slot]) -> int:
        """The bytes of a request beside its items."""
        if self._frame_bytes is None:
            slot = next((each for each in slots if each.outcome is PENDING), None)
            if slot is None:
                return 0
            body = write(self._task.request([slot.item]))
            self._frame_bytes = max(0, len(body) - slot.size)
        return self._frame_bytes

    def _tokens(self, calls: Sequence[Call]) -> int:
        """An estimate for these requests, with what is beside their items."""
        frame_tokens = (self._frame_bytes or 0) // 4
        return sum(call.tokens + frame_tokens for call in calls)

    async def _drawn(
        self, number: int, fold: ChunkFold, canary: CanaryFacts | None = None
    ) -> Drawn:
        ranges = covers(fold.slots)
        calls: dict[int, list[Call]] = {at.lane: [] for at in ranges}
        for call in fold.requests:
            lane: Any = call.slots[0].lane
            calls[lane].append(call)
        packed = [packed_calls(calls[at.lane]) for at in ranges]
        chunk = Chunk(number, ranges, packed, len(fold.slots), self._tokens(fold.requests))
        self._on = chunk, fold
        return Drawn(chunk, await self._folded(), canary)

    async def canary(self, number: int) -> Drawn:
        """Raises CallError where the call fails in a way that says nothing of its parameters, or
        something bad."""
        fold = self._fold
        call = fold.requests[0]
        call.id = f"{self._run}-canary"
        tokens = self._tokens([call])
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._task.timeout_s):
                reply = await self._task.call(call.items)
        except TimeoutError:
            raise CallError(Fault.TIMEOUT, "no reply in time") from None
        except CallError as error:
            if error.fault not in READ_IN_VAIN:
                raise
            reply = Reply([], error.usage)  # its items are asked again in the batch
        call_s = loop.time() - began
        answered = fold.canary(call, reply)
        self._live_items += len(answered)
        self._has_canary = True
        if answered:
            await self._records.put_canary(answered)
        cost = None if reply.usage is None else reply.usage.cost_nano_usd
        per_token = None if cost is None or not tokens else cost / tokens
        return await self._drawn(number, fold, CanaryFacts(call_s, per_token, cost or 0))

    # -- a chunk of before -------------------------------------------------------------------------

    async def load(self, chunk: Chunk) -> Folded:
        """Raises CallError where results cannot be read now."""
        await self._clear()
        results: list[ResultFile | None] = []
        for each in chunk.rounds:
            reads = each.ended and not each.abandoned and each.batch is not None
            results.append(await self._store.get(each.batch) if reads and each.batch else None)
        slots: list[Slot] = []
        async for arrived in self._door.again(chunk.ranges):
            self._frame(arrived)
            for start in range(0, len(arrived), DRAWN_AT_ONCE):
                slots += self._prepared(arrived[start : start + DRAWN_AT_ONCE])
                await asyncio.sleep(0)
        fold = self._fold_of(chunk.number, slots)
        await in_slices(fold.begin_as(chunk))
        await in_slices(_rounds(fold, chunk, results))
        await asyncio.sleep(0)
        self._on = chunk, fold
        if chunk.live or (len(chunk.rounds) >= MAX_ROUNDS and not chunk.waits_for_creation):
            self._go_live()
        return await self._folded()

    async def _clear(self) -> None:
        if self._on is not None:
            slots, self._on = self._fold.slots, None
            await forget(slots)
        self._live_items = 0
        self._has_canary = False

    def _fold_of(self, number: int, slots: list[Slot]) -> ChunkFold:
        return ChunkFold(self._run, number, slots, self._task.limits, self._task.read)

    def _prepared(self, slots: list[Slot]) -> list[Slot]:
        """Screened; those that the canary has answered have its outcome."""
        screen(slots, self._task.limits)
        if self._records.canary:
            restore = self._restoring(self._records.canary.restore)
            for slot in slots:
                if slot.state is State.WAITING and restore(slot):
                    slot.state, self._has_canary = State.ANSWERED, True
        return slots

    def _restoring(self, restore: Restore) -> Restore:
        def counting(slot: Slot) -> bool:
            restored = restore(slot)
            self._live_items += restored
            return restored

        return counting

    # -- what becomes of it ------------------------------------------------------------------------

    async def bodies(self) -> list[bytes]:
        """The requests of its last round."""
        chunk, fold = self._chunk, self._fold
        assert chunk.last is not None
        names = fold.names(len(chunk.rounds) - 1, chunk.last.requests)
        bodies: list[bytes] = []

        def write_each() -> Iterator[None]:
            for name, call in zip(names, fold.requests, strict=False):
                params = write(self._task.request(call.items))
                bodies.append(b'{"custom_id":"%b","params":%b}' % (str(name).encode(), params))
                yield

        await in_slices(write_each())
        return bodies

    async def go_live(self, live: LiveCalls) -> Folded:
        """Calls what is left; nothing is afterwards."""
        self._go_live()
        calls, self._fold.live = self._fold.live, []
        self._live_items += sum(call.size for call in calls)
        await live.run(calls)
        return await self._folded()

    def _go_live(self) -> None:
        answers = self._records.of_chunk(self._chunk.number)
        self._fold.go_live(self._restoring(answers.restore))

    async def emit(self, *, partial: bool) -> None:
        slots = self._fold.slots
        if partial:
            slots = [slot for slot in slots if slot.outcome is not PENDING]
        self._on = None
        await self._door.emit(slots)
        await forget(slots)

    async def _folded(self) -> Folded:
        chunk, fold = self._chunk, self._fold
        sums = Sums(
            items=chunk.items,
            vanished=chunk.items - len(fold.slots),
            live_items=self._live_items,
            calls=chunk.requests + self._records.count(chunk.number) + self._has_canary,
        )
        for start in range(0, len(fold.slots), SUMMED_AT_ONCE):
            sums = sums.plus(sums_of(fold.slots[start : start + SUMMED_AT_ONCE]))
            await asyncio.sleep(0)
        count = self._next_count()
        left = [*fold.requests, *fold.live]
        return Folded(
            requests=count,
            tokens=self._tokens(fold.requests[:count]),
            live=len(left),
            live_tokens=self._tokens(left),
            is_complete=not left,
            sums=sums,
        )

    def _next_count(self) -> int:
        """How many requests the next batch takes."""
        chunk, requests = self._chunk, self._fold.requests
        if chunk.waits_for_creation and chunk.last is not None:
            return chunk.last.requests
        body_bytes = 0
        for count, call in enumerate(requests):
            body_bytes += (self._frame_bytes or 0) + sum(slot.size for slot in call.slots)
            full = count >= self._bounds.max_requests or body_bytes > self._bounds.max_body_bytes
            if full and count:
                return count
        return len(requests)


def _rounds(fold: ChunkFold, chunk: Chunk, results: Sequence[ResultFile | None]) -> Iterator[None]:
    for number, (each, file) in enumerate(zip(chunk.rounds, results, strict=True)):
        if file is not None:
            yield from fold.take(number, each, file.result)
