"""The machine of a run by itself: actions out, answers in, in virtual milliseconds."""

from __future__ import annotations

from typing import Any

from streams.batches.batch_door import LaneRange
from streams.batches.core.adoption import SETTLE_MS, SKEW_MS
from streams.batches.core.batch_machine import BatchMachine
from streams.batches.core.chunk_record import Chunk, Round, Sums
from streams.batches.core.polling import GONE_MS, PollTimes, Watch, wait_ms
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
from streams.batches.core.run_terms import Mode, RunTerms
from streams.errors import CallError, Fault
from streams.providers.batch_port import BatchGone, BatchStatus, UnclearCreation

FACTS = CanaryFacts(1.0, 10.0)
BEGAN_MS = 1_000_000_000
REQUESTS = 10
SUMS = Sums(items=40, results=40, cost_nano_usd=1_000)

ASK = Folded(REQUESTS, 100, REQUESTS, 100, is_complete=False, sums=Sums())
LIVE = Folded(0, 0, 2, 20, is_complete=False, sums=Sums())
COMPLETE = Folded(0, 0, 0, 0, is_complete=True, sums=SUMS)

GONE = BatchGone(Fault.ACCOUNT, "not found", status=404)
DOWN = CallError(Fault.CONNECTION, "reset")


def new_chunk(number: int) -> Chunk:
    return Chunk(number, [LaneRange(0, 40 * number, 40 * number + 39)], [""], 40, 100)


def status(batch: str, *, ended: bool = True, requests: int = REQUESTS) -> BatchStatus:
    return BatchStatus(batch, ended, requests, BEGAN_MS)


class Run:
    """The machine and its actions that are not answered yet; saves are answered at once."""

    def __init__(self, *chunks: Chunk, facts: CanaryFacts | None = FACTS, **terms: Any) -> None:
        self.now_ms = BEGAN_MS
        self.machine = BatchMachine(
            RunTerms(**terms),
            chunks,
            facts,
            count=80,
            max_items=4,
            max_in_flight=5,
            now_ms=self.now_ms,
        )
        self.open: list[RunAction] = []
        self.saves: list[Save] = []
        self._decide()

    def _decide(self) -> None:
        for action in self.machine.decide(self.now_ms):
            if isinstance(action, Save):
                self.saves.append(action)
                self.machine.done(action, None, self.now_ms)
            else:
                self.open.append(action)

    def the(self, kind: type[Any]) -> Any:
        """The one open action of this kind."""
        (found,) = [action for action in self.open if isinstance(action, kind)]
        return found

    def has(self, kind: type[Any]) -> bool:
        return any(isinstance(action, kind) for action in self.open)

    def done(self, kind: type[Any], result: Any = None) -> Run:
        action = self.the(kind)
        self.open.remove(action)
        self.machine.done(action, result, self.now_ms)
        self._decide()
        return self

    def failed(self, kind: type[Any], error: CallError) -> Run:
        action = self.the(kind)
        self.open.remove(action)
        self.machine.failed(action, error, self.now_ms)
        self._decide()
        return self

    def after(self, wait_ms: int) -> Run:
        """Time passes; the machine is asked exactly when it wants to be."""
        end_ms = self.now_ms + wait_ms
        while (at := self.machine.next_at(self.now_ms)) <= end_ms:
            assert at > self.now_ms
            self.now_ms = int(at)
            self._decide()
        self.now_ms = end_ms
        self._decide()
        return self

    def draw(self, number: int = 0, folded: Folded = ASK) -> Run:
        return self.done(Draw, Drawn(new_chunk(number), folded))

    def submit(self, number: int = 0) -> Run:
        """A chunk is drawn and its batch created; the input ends after it."""
        self.draw(number).done(Submit, status(f"b{number}", ended=False))
        return self.done(Draw)

    def record(self, number: int = 0) -> Chunk:
        """As it was written last."""
        save = [each for each in self.saves if each.number == number][-1]
        return Chunk.read(f"chunk-{number}", save.record)


def test_one_live_call_goes_before_the_first_batch() -> None:
    run = Run(facts=None).draw()
    assert run.open == [Canary(0)]
    run.done(Canary, Drawn(new_chunk(0), ASK, FACTS))
    assert run.has(Submit)


def test_the_plan_is_in_the_record_that_is_written_before_the_creation() -> None:
    plan = Chunk.read("chunk-0", Run().draw().the(Submit).record)
    assert plan.state == "planned"
    assert (plan.current.requests, plan.current.batch) == (REQUESTS, None)
    assert plan.current.planned_at_ms == BEGAN_MS


def test_the_batch_s_id_is_written_after_the_creation() -> None:
    run = Run().submit()
    assert run.record().state == "submitted"
    assert run.record().current.batch == "b0"


def test_a_chunk_goes_through_its_states_to_the_door() -> None:
    run = Run().submit().after(5_000)
    run.done(Retrieve, status("b0"))
    assert run.record().state == "ended"
    run.done(Fold, COMPLETE)
    emit = run.the(Emit)
    assert (emit.number, emit.partial) == (0, False)
    assert Chunk.read("chunk-0", emit.record).state == "emitted"
    run.done(Emit)
    assert run.machine.is_idle
    assert run.machine.chunks.totals == SUMS


def test_chunks_are_submitted_before_any_is_read_and_leave_in_their_order() -> None:
    run = Run().draw(0).done(Submit, status("b0", ended=False))
    run.draw(1).done(Submit, status("b1", ended=False)).done(Draw).after(5_000)
    _, second = [action for action in run.open if isinstance(action, Retrieve)]
    run.open.remove(second)
    run.machine.done(second, status("b1"), run.now_ms)
    run._decide()
    run.done(Fold, COMPLETE)
    assert not run.has(Emit)  # it waits for the one before it
    assert run.record(1).state == "read"
    run.done(Retrieve, status("b0")).done(Fold, COMPLETE).done(Emit)
    assert run.the(Fold).number == 1
    run.done(Fold, COMPLETE).done(Emit)
    assert run.machine.is_idle


def test_what_is_left_is_asked_in_another_batch_and_then_live() -> None:
    run = Run().submit().after(5_000).done(Retrieve, status("b0")).done(Fold, ASK)
    assert len(Chunk.read("chunk-0", run.the(Submit).record).rounds) == 2
    run.done(Submit, status("b1", ended=False)).after(5_000)
    run.done(Retrieve, status("b1")).done(Fold, LIVE)
    assert Chunk.read("chunk-0", run.the(GoLive).record).live
    assert run.done(GoLive, COMPLETE).has(Emit)


# -- creations whose outcome is unclear ------------------------------------------------------------


def in_doubt() -> Run:
    run = Run().draw().failed(Submit, UnclearCreation(Fault.TIMEOUT, "no reply"))
    return run.after(SETTLE_MS - 1)


def test_after_an_unclear_creation_the_list_is_read_when_the_request_must_have_arrived() -> None:
    run = in_doubt()
    assert not run.has(Find)
    assert run.after(1).the(Find) == Find(0, BEGAN_MS - SKEW_MS)


def test_a_planned_chunk_of_an_earlier_process_is_in_doubt() -> None:
    chunk = new_chunk(0)
    chunk.rounds = [Round(REQUESTS, BEGAN_MS - 50_000_000)]
    run = Run(chunk)
    assert not run.has(Submit)
    assert run.after(SETTLE_MS).the(Find).since_ms == BEGAN_MS - 50_000_000 - SKEW_MS


def test_without_a_candidate_the_batch_is_created_again() -> None:
    others = [
        status("another size", requests=9),
        BatchStatus("older", True, REQUESTS, BEGAN_MS - SKEW_MS - 1),
    ]
    run = in_doubt().after(1).done(Find, others).done(Draw)
    assert run.the(Fold).number == 0
    assert run.done(Fold, ASK).has(Submit)


def test_a_candidate_is_adopted_once_its_requests_prove_it() -> None:
    run = in_doubt().after(1).done(Find, [status("x", ended=False)]).done(Draw)
    assert not run.has(Prove)  # it has not ended
    assert not run.has(Submit)
    run.after(60_000).done(Find, [status("x")])
    assert run.the(Prove) == Prove(0, 0, status("x"))
    run.done(Prove, True)
    assert run.record().current.batch == "x"
    assert run.record().state == "ended"


def test_a_candidate_of_another_run_is_passed_by() -> None:
    run = in_doubt().after(1).done(Find, [status("x"), status("y")])
    run.done(Prove, False).done(Find, [status("x"), status("y")])
    assert run.the(Prove).status.id == "y"
    run.done(Prove, False).done(Find, [status("x"), status("y")]).done(Draw)
    assert run.the(Fold).number == 0


def test_a_batch_of_another_chunk_of_the_run_is_no_candidate() -> None:
    other = new_chunk(0)
    other.rounds = [Round(REQUESTS, BEGAN_MS, batch="b0")]
    doubtful = new_chunk(1)
    doubtful.rounds = [Round(REQUESTS, BEGAN_MS)]
    run = Run(other, doubtful).after(SETTLE_MS).done(Find, [status("b0")])
    assert not run.has(Prove)


# -- outages, limits and refusals ------------------------------------------------------------------


def test_a_limit_of_waiting_requests_is_respected_and_other_work_goes_on() -> None:
    full = CallError(Fault.THROTTLED, "too many waiting", retry_after_s=120.0)
    run = Run().draw().failed(Submit, full)
    assert run.open == []
    assert run.after(119_000).open == []
    assert run.after(1_000).the(Fold).number == 0
    assert run.done(Fold, ASK).has(Submit)


def test_an_account_that_is_refused_only_delays() -> None:
    run = Run().draw().failed(Submit, CallError(Fault.ACCOUNT, "HTTP 401"))
    assert run.machine.error is None
    assert run.machine.hold.message == "HTTP 401"
    assert run.after(29_999).open == []
    assert run.after(1).has(Fold)


def test_a_batch_that_the_api_refuses_ends_the_run() -> None:
    run = Run().draw().failed(Submit, CallError(Fault.REJECTED, "HTTP 400"))
    assert run.machine.error == "the API refuses a batch: HTTP 400"


def test_a_poll_that_fails_is_made_later_and_later_and_forgotten_by_an_answer() -> None:
    watch = Watch(PollTimes(), 0, 0)
    waits = []
    for _ in range(8):
        watch.failed(DOWN, 0)
        waits.append(watch.next_at_ms // 1000)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    watch.answered(0)
    assert watch.next_at_ms == 5_000
    assert wait_ms(CallError(Fault.THROTTLED, "", retry_after_s=1_000.0), 1) == 1_000_000


def test_a_batch_is_asked_about_every_twentieth_of_its_age() -> None:
    watch = Watch(PollTimes(), 0, 0)
    for age_s, wait_s in ((0, 5), (200, 10), (600, 30), (86_000, 60)):
        watch.answered(age_s * 1000)
        assert watch.next_at_ms == (age_s + wait_s) * 1000


def test_a_404_is_tolerated_for_ten_minutes_then_looked_up_then_told() -> None:
    run = Run().submit().after(5_000)
    began_ms = run.now_ms
    while run.has(Retrieve):
        run.failed(Retrieve, GONE).after(300_000)
    assert run.now_ms - began_ms >= GONE_MS
    assert run.machine.error is None
    run.done(Find, [])
    assert run.machine.error == "batch b0 is in no list of the API"


def test_the_list_s_word_counts_where_the_batch_itself_is_not_found() -> None:
    run = Run().submit().after(5_000)
    while run.has(Retrieve):
        run.failed(Retrieve, GONE).after(300_000)
    run.done(Find, [status("b0")])
    assert run.the(Fold).number == 0


def test_results_that_are_not_there_yet_are_read_later() -> None:
    run = Run().submit().after(5_000).done(Retrieve, status("b0")).failed(Fold, GONE)
    assert run.open == []
    assert run.after(5_000).has(Fold)
    assert run.done(Fold, COMPLETE).has(Emit)


# -- deadline, money, cancelling -------------------------------------------------------------------


def test_at_the_deadline_less_what_live_needs_batches_are_cancelled() -> None:
    run = Run(deadline_at_ms=BEGAN_MS + 3_600_000).submit()
    # 10 calls of 1 s, 5 at once, half as much again; the tails of two chunks; two minutes.
    hurry_ms = 3_600_000 - (3_000 + 4_000 + 120_000)
    run.done(Retrieve, status("b0", ended=False)) if run.has(Retrieve) else None
    while run.now_ms < BEGAN_MS + hurry_ms - 60_000:
        run.after(60_000)
        if run.has(Retrieve):
            run.done(Retrieve, status("b0", ended=False))
    assert run.machine.mode is Mode.RUN
    run.after(BEGAN_MS + hurry_ms - run.now_ms)
    assert run.machine.mode is Mode.HURRY
    if run.has(Retrieve):
        run.done(Retrieve, status("b0", ended=False))
    run.done(Cancel).after(5_000).done(Retrieve, status("b0")).done(Fold, ASK)
    assert run.has(GoLive)


def test_in_a_hurry_what_is_new_goes_live_at_once() -> None:
    run = Run(deadline_at_ms=BEGAN_MS + 100_000).draw()
    assert run.has(GoLive)
    assert not run.has(Submit)


def test_a_batch_that_does_not_end_in_time_is_abandoned() -> None:
    run = Run(deadline_at_ms=BEGAN_MS + 200_000).submit()
    while not run.has(Fold):
        run.after(1_000)
        for kind, result in ((Retrieve, status("b0", ended=False)), (Cancel, None)):
            if run.has(kind):
                run.done(kind, result)
    assert run.machine.chunks[0].current.abandoned
    assert run.now_ms <= BEGAN_MS + 200_000 - 30_000


def test_nothing_is_submitted_that_would_cost_too_much() -> None:
    # A batch of 100 tokens costs half of 1,000 nano-dollars; a fifth more is left for what follows.
    assert Run(max_cost_nano_usd=600).draw().has(Submit)
    run = Run(max_cost_nano_usd=599).draw()
    assert run.machine.mode is Mode.STOP
    assert run.machine.is_idle


def test_what_has_begun_is_finished_with_what_is_left_of_the_money() -> None:
    few = Folded(1, 10, 1, 10, is_complete=False, sums=Sums(items=40, results=36))
    run = Run(max_cost_nano_usd=600).draw(0).done(Submit, status("b0", ended=False))
    run.draw(1)  # too much: the run stops
    assert run.machine.mode is Mode.STOP
    assert not run.machine.is_idle
    run.after(5_000).done(Retrieve, status("b0")).done(Fold, few)
    run.done(Submit, status("b1", ended=False, requests=1)).after(5_000)
    run.done(Retrieve, status("b1", requests=1)).done(Fold, COMPLETE).done(Emit)
    assert run.machine.is_idle
    assert run.machine.chunks.totals == SUMS


def test_a_cancelled_run_cancels_reads_and_emits_what_is_answered() -> None:
    run = Run().submit()
    run.machine.cancel()
    run._decide()
    run.done(Cancel).after(5_000).done(Retrieve, status("b0"))
    run.done(Fold, ASK)
    emit = run.the(Emit)
    assert emit.partial
    assert Chunk.read("chunk-0", emit.record).state == "cancelled"
    assert run.done(Emit).machine.is_idle


def test_a_record_is_read_back_as_it_was() -> None:
    chunk = new_chunk(7)
    chunk.rounds = [Round(10, 5, 77, "b", True, 3), Round(2, 6, abandoned=True)]
    chunk.sums, chunk.state, chunk.live = SUMS, "read", True
    assert Chunk.read(chunk.key, chunk.record()) == chunk


def test_the_record_of_an_emitted_chunk_is_small_and_says_where_the_next_begins() -> None:
    chunk = new_chunk(7)
    chunk.sums, chunk.state, chunk.calls = SUMS, "emitted", ["A" * 10_000]
    assert len(chunk.record()) < 300
    assert Chunk.read(chunk.key, chunk.record()).end == chunk.end
