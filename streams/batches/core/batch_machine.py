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
4. An outage, a limit, a refusal of the account only delay. What a person has to look at ends the
   run with `error`; its state stays.
5. HURRY: the time left is what live calls need: batches are cancelled, what they have answered
   counts, the rest goes live. STOP: no further chunk may begin, for want of money. CANCEL: batches
   are cancelled, and what has an answer is emitted.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from streams.batches.core.chunk_record import Chunk, Round
from streams.batches.core.deadline import Deadline
from streams.batches.core.open_chunks import OpenChunks
from streams.batches.core.polling import Hold
from streams.batches.core.run_actions import (
    Canary,
    CanaryFacts,
    Draw,
    Drawn,
    Emit,
    Fold,
    Folded,
    GoLive,
    OnBench,
    RunAction,
    Save,
    Submit,
)
from streams.batches.core.run_terms import Mode, RunTerms
from streams.batches.core.spending import Spending
from streams.batches.core.under_way import UnderWay
from streams.errors import CallError, Fault
from streams.providers.batch_port import BatchStatus, UnclearCreation


class BatchMachine:
    """`chunks`: those of earlier processes, as they were written. `facts`: of an earlier canary.
    `count`: about how many items the input has; None: not known. `max_items`, `max_in_flight`: of
    the task. `hold`: why no batch is created now. `error`: why the run cannot go on; None: it can.
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
        self.mode = Mode.RUN
        self.error: str | None = None
        self.chunks = OpenChunks()
        self.spending = Spending(terms.max_cost_nano_usd, terms.batch_share)
        self._deadline = Deadline(
            terms, self.chunks, count=count, max_items=max_items, max_in_flight=max_in_flight
        )
        self.under_way = UnderWay(self.chunks, terms.times)
        self.hold = Hold()
        self._bench: tuple[Chunk, Folded] | None = None
        self._busy = False
        self._stopped: set[int] = set()  # what is left of these costs too much
        if facts is not None:
            self._learn(facts)
        for chunk in sorted(chunks, key=lambda chunk: chunk.number):
            if chunk.sums is not None:
                self.spending.read(chunk)
            if self.chunks.resume(chunk):
                self.under_way.resume(chunk, now_ms)

    def _learn(self, facts: CanaryFacts) -> None:
        self.spending.facts, self._deadline.call_s = facts, facts.call_s

    def cancel(self) -> None:
        """Give up."""
        self.mode = Mode.CANCEL

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way and nothing will be: after `decide`, the run is over."""
        if self._busy or not self.under_way.is_idle:
            return False
        if self.mode is Mode.STOP:
            return all(
                chunk.sums or chunk.number in self._stopped for chunk in self.chunks.values()
            )
        return not self.chunks and (self.chunks.input_ended or self.mode is Mode.CANCEL)

    def next_at(self, now_ms: int) -> float:
        """When `decide` may have something new, in ms; inf: only an answer changes anything."""
        times = self.under_way.times(cancels=self._cancels)
        times += [self.hold.until_ms, self._deadline.hurries_at, self._deadline.abandons_at]
        return min((at for at in times if at > now_ms), default=inf)

    # -- decisions ---------------------------------------------------------------------------------

    def decide(self, now_ms: int) -> list[RunAction]:
        """What is to begin now."""
        if self.error is not None:
            return []
        self._look_at_deadline(now_ms)
        actions: list[RunAction] = list(self.under_way.decide(now_ms, cancels=self._cancels))
        if not self._busy and (work := self._work(now_ms)) is not None:
            self._busy = True
            actions.append(work)
        changed, self.under_way.changed = self.under_way.changed, []
        return [*(Save(chunk.number, chunk.record()) for chunk in changed), *actions]

    @property
    def _cancels(self) -> bool:
        return self.mode in (Mode.HURRY, Mode.CANCEL)

    def _look_at_deadline(self, now_ms: int) -> None:
        if self.mode is Mode.RUN and now_ms >= self._deadline.hurries_at:
            self.mode = Mode.HURRY
        if self.mode is not Mode.HURRY:
            return
        if now_ms >= self._deadline.abandons_at:
            self.under_way.abandon()
        for number, chunk in self.chunks.items():
            if chunk.waits_for_creation and not self.under_way.holds(number, now_ms):
                chunk.current.abandoned = True  # it was never created

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
        draw = Draw(self.chunks.next, self.chunks.cursor)
        draws = not self.chunks.input_ended and self.mode in (Mode.RUN, Mode.HURRY)
        free = [
            chunk
            for number, chunk in self.chunks.items()
            if not self.under_way.holds(number, now_ms) and number not in self._stopped
        ]
        if self.mode in (Mode.RUN, Mode.STOP) and now_ms >= self.hold.until_ms:
            unsent = next((chunk for chunk in free if chunk.waits_for_creation), None)
            if unsent is not None:
                return Fold(unsent.number)
            if draws and self.mode is Mode.RUN:
                return draw
        ready = next((chunk for chunk in free if self._is_ready(chunk)), None)
        if ready is not None:
            return Fold(ready.number)
        return draw if draws and self.mode is Mode.HURRY else None

    def _is_ready(self, chunk: Chunk) -> bool:
        """Whether its results are to be read, or its outcomes to leave."""
        if self.mode is Mode.CANCEL or chunk.sums is not None:
            return chunk.number == self.chunks.head
        return not chunk.waits_for_creation

    # -- a chunk on the bench ----------------------------------------------------------------------

    def _step(self, chunk: Chunk, folded: Folded, now_ms: int) -> RunAction | None:
        """None: the bench is free."""
        if self.mode is Mode.CANCEL or folded.is_complete:
            return self._leave(chunk, folded)
        if self._lacks_canary(folded):
            return Canary(chunk.number)
        if self.mode in (Mode.RUN, Mode.STOP) and folded.requests:
            return self._next_round(chunk, folded, now_ms)
        if self._is_too_dear(chunk, folded, batch=False):
            return None
        chunk.live, self._deadline.new_requests = True, 0
        return GoLive(chunk.number, chunk.record())

    def _next_round(self, chunk: Chunk, folded: Folded, now_ms: int) -> RunAction | None:
        if not chunk.waits_for_creation:
            if self._is_too_dear(chunk, folded, batch=True):
                return None
            cost = self.spending.estimate(folded.tokens, batch=True)
            chunk.rounds.append(Round(folded.requests, now_ms, cost))
            self._deadline.new_requests = 0
            chunk.state = "planned"
        if now_ms < self.hold.until_ms:
            return None
        return Submit(chunk.number, chunk.record())

    def _leave(self, chunk: Chunk, folded: Folded) -> RunAction | None:
        """Nothing is left to ask, or to be asked: it goes to the door, if it is its turn."""
        if chunk.sums is None:
            chunk.sums = folded.sums
            self.spending.read(chunk)
        partial = not folded.is_complete
        if chunk.number != self.chunks.head:
            chunk.state = "read"
            return None
        chunk.state = "cancelled" if partial else "emitted"
        return Emit(chunk.number, chunk.record(), partial)

    def _is_too_dear(self, chunk: Chunk, folded: Folded, *, batch: bool) -> bool:
        tokens = folded.tokens if batch else folded.live_tokens
        is_new = chunk.last is None
        if self.spending.allows(self.chunks.values(), tokens, batch=batch, is_new=is_new):
            return False
        self.mode = Mode.STOP
        self._stopped.add(chunk.number)
        self.chunks.incomplete[chunk.number] = folded.sums
        return True

    # -- answers -----------------------------------------------------------------------------------

    def done(self, action: RunAction, result: object, now_ms: int) -> None:
        """The action ended with this result."""
        if not isinstance(action, OnBench):
            self.under_way.done(action, result, now_ms)
            self.error = self.error or self.under_way.gone
            return
        self._busy = False
        match action:
            case Draw() | Canary():
                self._drawn(result)
            case Fold(number) | GoLive(number):
                assert isinstance(result, Folded)
                self.under_way.readable(number)
                self._bench = self.chunks[number], result
            case Submit(number):
                self._submitted(self.chunks[number], result, now_ms)
            case Emit(number):
                self._bench = None
                self.chunks.leave(number)

    def _drawn(self, result: object) -> None:
        if result is None:
            self.chunks.input_ended = True
            return
        assert isinstance(result, Drawn)
        self.chunks.draw(result.chunk)
        self._bench = result.chunk, result.folded
        self._deadline.new_requests = result.folded.requests
        if result.canary is not None:
            self._learn(result.canary)

    def _submitted(self, chunk: Chunk, result: object, now_ms: int) -> None:
        assert isinstance(result, BatchStatus)
        chunk.current.batch = result.id
        chunk.state = "submitted"
        self.chunks.batch_ids.add(result.id)
        self.under_way.watch(chunk, now_ms)
        self.hold = Hold()
        self._bench = None
        self.under_way.changed.append(chunk)

    def failed(self, action: RunAction, error: CallError, now_ms: int) -> None:
        """The action ended with this error."""
        if not isinstance(action, OnBench):
            self.under_way.failed(action, error, now_ms)
            self.error = self.error or self.under_way.gone
            return
        self._busy = False
        match action:
            case Fold(number):
                self.under_way.unreadable(self.chunks[number], error, now_ms)
                self.error = self.error or self.under_way.gone
            case Submit(number):
                self._bench = None
                self._not_created(self.chunks[number], error, now_ms)
            case Canary():
                self._not_created(None, error, now_ms)
            case _:
                self.error = str(error)

    def _not_created(self, chunk: Chunk | None, error: CallError, now_ms: int) -> None:
        """`chunk`: whose batch was not created, or may have been; None: it was the canary."""
        if chunk is not None and isinstance(error, UnclearCreation):
            self.under_way.doubt(chunk, now_ms)
        elif error.fault in (Fault.REJECTED, Fault.TOO_LARGE, Fault.CLIENT):
            what = "the first request" if chunk is None else "a batch"
            self.error = f"the API refuses {what}: {error.message}"
        self.hold.failed(error, now_ms)
