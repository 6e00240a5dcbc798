"""The run: chunks through their states, an action for each step, given `now_ms` (time of day).

    planned ─► submitted ─► ended ─► read ─► emitted          planned, no batch known: in doubt
       ▲                      │  └─► live ─► read
       └── one more round ────┘                                cancelled: emitted in part

Rules of this file:
1. An action is returned once, and answered once, by `done` or `failed`. State changes only there
   and in `decide`, which records what it decides in the same step.
2. One action at a time uses the bench. Creations go first, since a batch takes long; then what has
   ended; then the oldest chunk that is read leaves. Chunks leave in their order.
3. A chunk's record is written before its batch is created, and after it: a resume finds every batch
   or is in doubt about one (`adoption`).
4. An outage, a limit or an account's refusal only delays. What a person has to look at ends the run
   with `error`; the state stays, and a resume goes on.
5. HURRY: the time that is left is what live calls need: batches are cancelled, what they have
   answered counts, the rest goes live. Nothing is created any more. STOP: the money is spent: what
   is under way is read, nothing new begins. CANCEL: batches are cancelled, and what has an answer
   is emitted.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import inf

from streams.batches.batch_door import Cursor
from streams.batches.core.chunk_record import Chunk, Round, Sums
from streams.batches.core.polling import Hold
from streams.batches.core.run_actions import (
    Canary,
    CanaryFacts,
    Cancel,
    Draw,
    Drawn,
    Emit,
    Find,
    Fold,
    Folded,
    GoLive,
    Prove,
    Retrieve,
    RunAction,
    Save,
    Submit,
)
from streams.batches.core.run_terms import RunTerms
from streams.batches.core.spending import Spending
from streams.batches.core.under_way import UnderWay
from streams.errors import CallError, Fault
from streams.providers.batch_port import BatchStatus, UnclearCreation


class Mode(Enum):
    RUN = "running"
    HURRY = "in a hurry"
    STOP = "stopped"
    CANCEL = "cancelled"


class BatchMachine:
    """`chunks`: those of earlier processes, as they were written. `facts`: of an earlier canary.
    `count`: about how many items the input has; None: not known. `max_items`, `max_in_flight`: of
    the task.

    `totals`: of the chunks that have left. `drawn`: items read so far. `batches`: created so far.
    `hold`: why no batch is created now. `error`: why the run cannot go on; None: it can.
    """

    def __init__(
        self,
        terms: RunTerms,
        chunks: Iterable[Chunk],
        facts: CanaryFacts | None,
        *,
        count: int | None,
        max_items: int,
        max_in_flight: int,
        now_ms: int,
    ) -> None:
        self._terms = terms
        self._count = count
        self._max_items = max_items
        self.mode = Mode.RUN
        self.error: str | None = None
        self.chunks: dict[int, Chunk] = {}
        self.spending = Spending(facts, max_in_flight)
        self.under_way = UnderWay(self.chunks, set(), terms.times)
        self.totals = Sums()
        self.drawn = 0
        self.batches = 0
        self._next = 0
        self._cursor: Cursor | None = None
        self._drawn_all = False
        self._bench: tuple[Chunk, Folded] | None = None
        self._busy = False
        self._stopped: set[int] = set()  # what is left of these costs too much
        self.hold = Hold()
        for chunk in sorted(chunks, key=lambda chunk: chunk.number):
            self._resume(chunk, now_ms)

    def _resume(self, chunk: Chunk, now_ms: int) -> None:
        self._next, self._cursor = chunk.number + 1, chunk.end
        self.drawn += chunk.items
        created = [each.batch for each in chunk.rounds if each.batch is not None]
        self.batches += len(created)
        self.under_way.known.update(created)
        if chunk.sums is not None:
            self.spending.read(chunk)
        if chunk.state in ("emitted", "cancelled"):
            assert chunk.sums is not None
            self.totals = self.totals.plus(chunk.sums)
            return
        self.chunks[chunk.number] = chunk
        self.under_way.resume(chunk, now_ms)

    def cancel(self) -> None:
        """Give up: from now on, and for good where it is written."""
        self.mode = Mode.CANCEL

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way and nothing will be: after `decide`, the run is over."""
        if self._busy or not self.under_way.is_idle:
            return False
        if self.mode is Mode.STOP:
            return True
        return not self.chunks and (self._drawn_all or self.mode is Mode.CANCEL)

    def next_at(self, now_ms: int) -> float:
        """When `decide` may have something new, in ms; inf: only an answer changes anything."""
        times = self.under_way.times(cancels=self._cancels)
        if self._terms.deadline_at_ms is not None:
            times.append(self._terms.deadline_at_ms - self._needed_ms())
        times.append(self.hold.until_ms)
        return min((at for at in times if at > now_ms), default=inf)

    # -- decisions ---------------------------------------------------------------------------------

    def decide(self, now_ms: int) -> list[RunAction]:
        """What is to begin now."""
        if self.error is not None:
            return []
        self._look_at_deadline(now_ms)
        actions: list[RunAction] = list(self.under_way.decide(now_ms, cancels=self._cancels))
        work = None if self._busy else self._work(now_ms)
        if work is not None:
            self._busy = True
            actions.append(work)
        changed, self.under_way.changed = self.under_way.changed, []
        return [*(Save(chunk.number, chunk.record()) for chunk in changed), *actions]

    @property
    def _cancels(self) -> bool:
        return self.mode in (Mode.HURRY, Mode.CANCEL)

    def _look_at_deadline(self, now_ms: int) -> None:
        if self._terms.deadline_at_ms is None or self.mode not in (Mode.RUN, Mode.HURRY):
            return
        left_ms = self._terms.deadline_at_ms - now_ms
        if left_ms <= self._needed_ms():
            if self.mode is Mode.HURRY:
                self.under_way.leave()
            self.mode = Mode.HURRY
        if self.mode is Mode.HURRY:
            for number, chunk in self.chunks.items():
                if chunk.waits_for_creation and not self.under_way.holds(number, now_ms):
                    _last(chunk).left = True  # it was never created

    def _needed_ms(self) -> int:
        """How long what is left takes live; before a hurry, with the time that its start takes."""
        undrawn = 0
        if self._count is not None and not self._drawn_all:
            undrawn = max(0, self._count - self.drawn)
        fresh = 0
        if self._bench is not None and self._bench[0].last is None:
            fresh = self._bench[1].requests
        calls = fresh + undrawn / self._max_items
        reserve_ms = self._terms.reserve_ms // (1 if self.mode is Mode.RUN else 4)
        return reserve_ms + self.spending.live_ms(self.chunks.values(), calls)

    def _work(self, now_ms: int) -> RunAction | None:
        """The next step of the chunk on the bench; if that is done, of another."""
        if self._bench is not None:
            chunk, folded = self._bench
            if self._lacks_canary(folded) and now_ms < self.hold.until_ms:
                return None
            action = self._step(chunk, folded, now_ms)
            if action is not None:
                return action
            self._bench = None
            self.under_way.changed.append(chunk)
        return self._choose(now_ms)

    def _lacks_canary(self, folded: Folded) -> bool:
        return self.mode is Mode.RUN and self.spending.facts is None and folded.requests > 0

    def _choose(self, now_ms: int) -> RunAction | None:
        head = min(self.chunks, default=None)
        draws = not self._drawn_all and self.mode in (Mode.RUN, Mode.HURRY)
        free = [
            chunk
            for number, chunk in self.chunks.items()
            if not self.under_way.holds(number, now_ms) and number not in self._stopped
        ]
        if self.mode is Mode.CANCEL:
            ready = [chunk for chunk in free if chunk.number == head]
        else:
            ready = [
                chunk
                for chunk in free
                if not chunk.waits_for_creation and (chunk.sums is None or chunk.number == head)
            ]
        if self.mode is Mode.RUN and self._may_create(now_ms):
            unsent = next((chunk for chunk in free if chunk.waits_for_creation), None)
            if unsent is not None:
                return Fold(unsent)
            if draws:
                return Draw(self._next, self._cursor)
        if ready:
            return Fold(ready[0])
        return Draw(self._next, self._cursor) if draws and self.mode is Mode.HURRY else None

    def _may_create(self, now_ms: int) -> bool:
        return now_ms >= self.hold.until_ms and not self.under_way.holds_creations

    # -- a chunk on the bench ----------------------------------------------------------------------

    def _step(self, chunk: Chunk, folded: Folded, now_ms: int) -> RunAction | None:
        """None: the bench is free."""
        if self.mode is Mode.CANCEL or folded.is_complete:
            return self._leave(chunk, folded)
        if self._lacks_canary(folded):
            return Canary(chunk.number)
        if self.mode is Mode.RUN and folded.requests:
            return self._next_round(chunk, folded, now_ms)
        if self.mode is Mode.STOP or self._is_too_dear(folded.live_tokens, batch=False):
            self._stopped.add(chunk.number)
            return None
        chunk.live = True
        return GoLive(chunk.number, chunk.record())

    def _next_round(self, chunk: Chunk, folded: Folded, now_ms: int) -> RunAction | None:
        if not chunk.waits_for_creation:
            if self._is_too_dear(folded.tokens, batch=True):
                self._stopped.add(chunk.number)
                return None
            cost = self.spending.estimate(folded.tokens, batch=True)
            chunk.rounds.append(Round(folded.requests, now_ms, cost))
            chunk.state = "planned"
        if not self._may_create(now_ms):
            return None
        return Submit(chunk.number, chunk.record())

    def _leave(self, chunk: Chunk, folded: Folded) -> RunAction | None:
        """Nothing is left to ask, or to be asked: it goes to the door, if it is its turn."""
        if chunk.sums is None:
            chunk.sums = folded.sums
            self.spending.read(chunk)
        partial = not folded.is_complete
        if chunk.number != min(self.chunks):
            chunk.state = "read"
            return None
        chunk.state = "cancelled" if partial else "emitted"
        return Emit(chunk.number, chunk.record(), partial)

    def _is_too_dear(self, tokens: int, *, batch: bool) -> bool:
        limit = self._terms.max_cost_nano_usd
        if limit is None:
            return False
        further = self.spending.estimate(tokens, batch=batch)
        if self.spending.with_further(self.chunks.values(), further) <= limit:
            return False
        self.mode = Mode.STOP
        return True

    # -- answers -----------------------------------------------------------------------------------

    def done(self, action: RunAction, result: object, now_ms: int) -> None:
        """The action ended with this result."""
        match action:
            case Retrieve() | Cancel() | Find() | Prove():
                self.under_way.done(action, result, now_ms)
                self.error = self.under_way.gone
                return
            case Save():
                return
            case Draw() | Canary():
                self._drawn_chunk(result)
            case Fold(chunk):
                self.under_way.readable(chunk.number)
                self._bench = chunk, _folded(result)
            case GoLive(number):
                self._bench = self.chunks[number], _folded(result)
            case Submit(number):
                self._submitted(self.chunks[number], result, now_ms)
            case Emit(number):
                self._bench = None
                sums = self.chunks.pop(number).sums
                assert sums is not None
                self.totals = self.totals.plus(sums)
        self._busy = False

    def _drawn_chunk(self, result: object) -> None:
        if result is None:
            self._drawn_all = True
            return
        assert isinstance(result, Drawn)
        chunk, folded, canary = result
        if chunk.number not in self.chunks:
            self.drawn += chunk.items
        self.chunks[chunk.number] = chunk
        self._next, self._cursor = chunk.number + 1, chunk.end
        self._bench = chunk, folded
        if canary is not None:
            self.spending.facts = canary

    def _submitted(self, chunk: Chunk, result: object, now_ms: int) -> None:
        assert isinstance(result, BatchStatus)
        assert chunk.last is not None
        chunk.last.batch = result.id
        chunk.state = "submitted"
        self.batches += 1
        self.under_way.known.add(result.id)
        self.under_way.watch(chunk, now_ms)
        self.hold = Hold()
        self._bench = None
        self.under_way.changed.append(chunk)

    def failed(self, action: RunAction, error: CallError, now_ms: int) -> None:
        """The action ended with this error."""
        match action:
            case Retrieve() | Cancel() | Find() | Prove():
                self.under_way.failed(action, error, now_ms)
                self.error = self.under_way.gone
                return
            case Fold(chunk):
                self.under_way.unreadable(chunk, error, now_ms)
                self.error = self.under_way.gone
            case Submit(number):
                self._bench = None
                self._not_created(self.chunks[number], error, now_ms)
            case Canary():
                self._not_created(None, error, now_ms)
            case _:
                self.error = str(error)
        self._busy = False

    def _not_created(self, chunk: Chunk | None, error: CallError, now_ms: int) -> None:
        """`chunk`: whose batch was not created, or may have been; None: it was the canary."""
        if chunk is not None and isinstance(error, UnclearCreation):
            self.under_way.doubt(chunk, now_ms)
        elif error.fault in (Fault.REJECTED, Fault.TOO_LARGE, Fault.CLIENT):
            what = "the first request" if chunk is None else "a batch"
            self.error = f"the API refuses {what}: {error.message}"
        self.hold.failed(error, now_ms)


def _last(chunk: Chunk) -> Round:
    assert chunk.last is not None
    return chunk.last


def _folded(result: object) -> Folded:
    assert isinstance(result, Folded)
    return result
