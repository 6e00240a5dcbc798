"""The batches of a run that are at the API: asked about, cancelled, looked up, proved.

A chunk is in one of these for its last round: watched (its batch is known and has not ended), in
doubt (`adoption`), late (its batch has ended, and its results cannot be read yet), or none of them.
One question for each chunk at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streams.batches.core.adoption import SKEW_MS, Doubt
from streams.batches.core.chunk_record import Chunk
from streams.batches.core.open_chunks import OpenChunks
from streams.batches.core.polling import Missing, PollTimes, Watch, wait_ms
from streams.batches.core.run_actions import Cancel, Find, Prove, Retrieve, Save
from streams.errors import CallError
from streams.providers.batch_port import BatchStatus

ApiAction = Retrieve | Cancel | Find | Prove


class UnderWay:
    """`chunks`: those of the run, which others add and take out. `changed`: chunks whose record is
    no longer what is written. `gone`: why results can never be read; None: they can."""

    def __init__(self, chunks: OpenChunks, times: PollTimes) -> None:
        self._chunks = chunks
        self._times = times
        self._watches: dict[int, Watch] = {}
        self._doubts: dict[int, Doubt] = {}
        self._late: dict[int, Watch] = {}
        self._asking: set[int] = set()
        self._cancelled: dict[int, int] = {}  # when to cancel, inf once it is done
        self._look_ups: set[int] = set()
        self._failures: Counter[int] = Counter()
        self.changed: list[Chunk] = []
        self.gone: str | None = None

    # -- what is tracked ---------------------------------------------------------------------------

    def resume(self, chunk: Chunk, now_ms: int) -> None:
        """A chunk of an earlier process."""
        last = chunk.last
        if last is None or last.ended or last.abandoned:
            return
        if last.batch is None:
            self.doubt(chunk, now_ms)
        else:
            self.watch(chunk, now_ms).next_at_ms = now_ms

    def watch(self, chunk: Chunk, now_ms: int) -> Watch:
        last = chunk.current
        watch = self._watches[chunk.number] = Watch(self._times, last.planned_at_ms, now_ms)
        return watch

    def doubt(self, chunk: Chunk, now_ms: int) -> None:
        self._doubts[chunk.number] = Doubt(now_ms)

    def abandon(self) -> None:
        """The time is up: results that are not here do not count."""
        for number in [*self._watches, *self._doubts, *self._late]:
            last = self._chunks[number].current
            last.abandoned = not last.ended or number in self._late
        for tracked in (self._watches, self._doubts, self._late, self._look_ups):
            tracked.clear()

    def holds(self, number: int, now_ms: int) -> bool:
        """Whether there is nothing to be done for this chunk but to wait."""
        late = self._late.get(number)
        is_late = late is not None and (number in self._look_ups or now_ms < late.next_at_ms)
        return number in self._watches or number in self._doubts or is_late

    @property
    def watches(self) -> int:
        """How many batches are at work."""
        return len(self._watches)

    @property
    def doubts(self) -> int:
        return len(self._doubts)

    @property
    def is_idle(self) -> bool:
        return not (self._watches or self._doubts or self._late or self._asking)

    def times(self, *, cancels: bool) -> list[float]:
        """When the next questions are due, in ms; some may have passed."""
        times: list[float] = [watch.next_at_ms for watch in self._late.values()]
        times += [doubt.next_at_ms for doubt in self._doubts.values()]
        times += [watch.next_at_ms for watch in self._watches.values()]
        return [*times, *self._cancelled.values()] if cancels else times

    # -- questions ---------------------------------------------------------------------------------

    def decide(self, now_ms: int, *, cancels: bool) -> Sequence[ApiAction]:
        """`cancels`: whether batches are to end at once."""
        actions: list[ApiAction] = []
        for number in [*self._watches, *self._doubts, *self._late]:
            if number not in self._asking:
                action = self._ask(number, now_ms, cancels)
                if action is not None:
                    self._asking.add(number)
                    actions.append(action)
        return actions

    def _ask(self, number: int, now_ms: int, cancels: bool) -> ApiAction | None:
        chunk = self._chunks[number]
        last = chunk.current
        since_ms = min(each.planned_at_ms for each in chunk.rounds) - SKEW_MS
        watch, doubt = self._watches.get(number), self._doubts.get(number)
        if number in self._look_ups:
            at = (watch or self._late[number]).next_at_ms
            return Find(number, since_ms) if now_ms >= at else None
        if watch is not None and last.batch is not None:
            if cancels and now_ms >= self._cancelled.get(number, 0):
                return Cancel(number, last.batch)
            return Retrieve(number, last.batch) if now_ms >= watch.next_at_ms else None
        if doubt is not None and now_ms >= doubt.next_at_ms:
            if doubt.candidate is not None:
                return Prove(number, len(chunk.rounds) - 1, doubt.candidate)
            return Find(number, since_ms)
        return None

    # -- answers -----------------------------------------------------------------------------------

    def done(self, action: ApiAction | Save, result: object, now_ms: int) -> None:
        if isinstance(action, Save):
            return
        number = action.number
        self._asking.discard(number)
        self._failures.pop(number, None)
        chunk = self._chunks.get(number)
        if chunk is None or chunk.current.abandoned:
            return  # abandoned in the meantime
        if isinstance(action, Retrieve) and isinstance(result, BatchStatus):
            self._retrieved(chunk, result, now_ms)
        elif isinstance(action, Cancel):
            self._cancelled[number] = 2**62
            self._watches[number].soon(now_ms)
        elif isinstance(action, Find) and isinstance(result, list):
            if number in self._look_ups:
                self._looked_up(chunk, result, now_ms)
            else:
                self._searched(chunk, result, now_ms)
        elif isinstance(action, Prove):
            self._proved(chunk, action.status, result is True, now_ms)

    def _retrieved(self, chunk: Chunk, status: BatchStatus, now_ms: int) -> None:
        if status.ended:
            self._end(chunk, status)
        else:
            self._watches[chunk.number].answered(now_ms)

    def _end(self, chunk: Chunk, status: BatchStatus) -> None:
        last = chunk.current
        last.ended = True
        last.unanswered = status.errored + status.canceled + status.expired
        chunk.state = "ended"
        self._watches.pop(chunk.number, None)
        self._cancelled.pop(chunk.number, None)
        self.changed.append(chunk)

    def _searched(self, chunk: Chunk, found: Sequence[BatchStatus], now_ms: int) -> None:
        doubt = self._doubts[chunk.number]
        if not doubt.listed(found, chunk.current, self._chunks.batch_ids, now_ms, self._times):
            del self._doubts[chunk.number]

    def _proved(self, chunk: Chunk, status: BatchStatus, is_ours: bool, now_ms: int) -> None:
        if not is_ours:
            self._doubts[chunk.number].disproved(now_ms)
            return
        del self._doubts[chunk.number]
        chunk.current.batch = status.id
        self._chunks.batch_ids.add(status.id)
        self._end(chunk, status)

    def _looked_up(self, chunk: Chunk, found: Sequence[BatchStatus], now_ms: int) -> None:
        self._look_ups.discard(chunk.number)
        by_id = {status.id: status for status in found}
        for each in chunk.rounds:
            if not each.abandoned and each.batch not in by_id:
                self.gone = f"batch {each.batch} is in no list of the API"
                return
        status = by_id.get(chunk.current.batch or "")
        if chunk.number in self._watches and status is not None and status.ended:
            self._end(chunk, status)
            return
        (self._watches.get(chunk.number) or self._late[chunk.number]).found(now_ms)

    def failed(self, action: ApiAction | Save, error: CallError, now_ms: int) -> None:
        if isinstance(action, Save):
            raise error  # a state knows no API
        number = action.number
        self._asking.discard(number)
        self._failures[number] += 1
        later_ms = now_ms + wait_ms(error, self._failures[number])
        watch, doubt = self._watches.get(number), self._doubts.get(number)
        if doubt is not None:
            doubt.next_at_ms = later_ms
        elif isinstance(action, Cancel):
            self._cancelled[number] = later_ms
        elif isinstance(action, Retrieve) and watch is not None:
            self._miss(number, watch.failed(error, now_ms))
        elif watch := watch or self._late.get(number):
            watch.next_at_ms = later_ms

    def unreadable(self, chunk: Chunk, error: CallError, now_ms: int) -> None:
        """The results of its batches cannot be read now."""
        late = self._late.get(chunk.number)
        if late is None:
            late = self._late[chunk.number] = Watch(self._times, now_ms, now_ms)
        self._miss(chunk.number, late.failed(error, now_ms))

    def readable(self, number: int) -> None:
        self._late.pop(number, None)

    def _miss(self, number: int, missing: Missing) -> None:
        if missing is Missing.LOOK_UP:
            self._look_ups.add(number)
        elif missing is Missing.GONE:
            batch = self._chunks[number].current.batch
            self.gone = f"the API does not find batch {batch} or its results, though it lists it"
