"""A chunk is a fold: its slots and the results of its batches give outcomes, and what to ask next.

    slots ─► first requests ─► results of round 0 ─► requests of round 1 ─► … ─► live calls

1. What follows a result is the house's own: `TaskCaller.read`, `Retries`, and the table in
   `streams.policies.retry`. Nobody waits between two batches, so waits do not count.
2. The same slots and results give the same, in any process: a resume computes it again.
3. A request without an answer (errored for no fault of its items, expired, cancelled, missing) is
   in one batch more, then live. After `MAX_ROUNDS` batches everything is.
4. A round takes the first `Round.requests` of what is to be asked; the rest waits for the next. One
   whose results do not count (`Round.abandoned`) changes nothing.
5. A result counts only for the items that it was asked about (`custom_ids`): where some have
   vanished, the others are asked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from streams.batches.core.batch_packing import packed
from streams.batches.core.chunk_record import Chunk, Round, Sums, unpacked_calls
from streams.batches.core.custom_ids import CustomId, checksum_of
from streams.core.call import PENDING, Call, Slot, State
from streams.core.limits import Limits
from streams.core.ranges import Range
from streams.core.retries import Aftermath, Retries
from streams.core.verdict import EVERYBODY
from streams.errors import CallError, Fault, ItemError
from streams.model import DROP, FORWARD, Reply, added
from streams.policies.retry import rule

MAX_ROUNDS: Final = 4
MAX_STRIKES: Final = 2

Read = Callable[[Sequence[Any], Any], Reply]
"""`TaskCaller.read`."""

Results = Callable[[CustomId], Any]
"""The result of a request: the API's message, or a CallError; None: there is none."""


Restore = Callable[[Slot], bool]
"""Gives a slot the outcome of an earlier live call; False: it had none."""


class ChunkFold:
    """`slots`: the chunk's, screened (`streams.core.cut`). `run`: the id in the names of its
    requests. `requests`: what is to be asked in the next batch. `live`: what is to be called live,
    of other slots."""

    def __init__(
        self, run: str, number: int, slots: list[Slot], limits: Limits, read: Read
    ) -> None:
        self._run, self._number = run, number
        self._limits = limits
        self._read = read
        self._retries = Retries(limits, lambda: 0.0)
        self.slots = slots
        self.requests: list[Call] = []
        self.live: list[Call] = []

    def begin(self) -> None:
        """A new chunk: its first requests are of all that waits."""
        self.requests = packed(self.slots, self._limits)

    def canary(self, call: Call, reply: Reply) -> list[Slot]:
        """The reply to the first of the requests, made as a live call: returns what it answered.
        The rest of it is asked in the batch."""
        for index, slot in enumerate(call.slots):
            slot.index = index
        answered, _ = call.answer(reply.answers) if len(reply.answers) == call.size else ([], [])
        left = [slot for slot in call.slots if slot.outcome is PENDING]
        for slot in answered:
            slot.calls += 1
        call.slots = answered
        call.share(reply.usage)
        self.requests[:1] = [Call(left, "new", "count")] if left else []
        return answered

    def begin_as(self, chunk: Chunk) -> Iterator[None]:
        """The first requests are those that are remembered; what is in none of them goes live."""
        waiting: dict[Any, list[Slot]] = defaultdict(list)
        for slot in self.slots:
            if slot.state is State.WAITING:
                waiting[slot.lane].append(slot)
        yield
        for at, calls in zip(chunk.ranges, chunk.calls, strict=True):
            self.requests += _calls_of(waiting[at.lane], unpacked_calls(calls))
            yield
        self.live = packed(self.slots, self._limits)
        yield

    def names(self, round_number: int, count: int) -> list[CustomId]:
        """Of the first `count` requests, in this round."""
        return [
            CustomId(self._run, self._number, round_number, n, checksum_of(call.items))
            for n, call in enumerate(self.requests[:count])
        ]

    def take(self, round_number: int, asked: Round, results: Results) -> Iterator[None]:
        """The results of a round, one request at a time."""
        if asked.abandoned:
            return
        calls, later = self.requests[: asked.requests], self.requests[asked.requests :]
        names = self.names(round_number, asked.requests)
        self.requests = []
        for name, call in zip(names, calls, strict=True):
            self._take(call, str(name), results(name))
            yield
        self.requests += later

    def go_live(self, restore: Restore) -> None:
        """No further batch: what is left to ask is called live, unless it was already."""
        left, self.requests, self.live = self.live + self.requests, [], []
        for call in left:
            for slot in call.slots:
                if restore(slot):
                    slot.state = State.ANSWERED
            call.slots = [slot for slot in call.slots if slot.outcome is PENDING]
            if call.slots:
                self.live.append(call)

    # -- one result --------------------------------------------------------------------------------

    def _take(self, call: Call, name: str, result: Any) -> None:
        call.id = name
        for index, slot in enumerate(call.slots):
            slot.index = index
            slot.calls += 1
        if result is None:
            result = CallError(Fault.RETRY, "the batch ended without an answer", retry_after_s=0.0)
        try:
            if isinstance(result, CallError):
                raise result
            aftermath = self._answered(call, result)
        except CallError as error:
            aftermath = self._failed(call, error)
        call.conclude(aftermath.final)
        for retry, _ in aftermath.retries:
            (self.live if retry.strikes >= MAX_STRIKES else self.requests).append(retry)
        call.slots = []

    def _answered(self, call: Call, message: Any) -> Aftermath:
        answers, usage, _ = self._read(call.items, message)
        if len(answers) != call.size:
            text = f"{len(answers)} answers for {call.size} items"
            raise CallError(Fault.BAD_REPLY, text, usage=usage)
        call.share(usage)
        _, unanswered = call.answer(answers)
        aftermath = self._retries.after_unanswered(call, unanswered)
        for retry, _ in aftermath.retries:
            retry.strikes = 0  # the API answered
        return aftermath

    def _failed(self, call: Call, error: CallError) -> Aftermath:
        call.share(error.usage)  # a refusal is billed
        step = rule(error.fault, function_errors=self._limits.function_errors).step
        return self._retries.after_failure(call, call.slots, error, step, EVERYBODY, only=False)


def _calls_of(slots: list[Slot], ranges: Sequence[Range]) -> list[Call]:
    """The waiting slots of a lane that stand in each range; a range without any has an empty call,
    so that the numbers of the others stay."""
    calls: list[Call] = []
    place = 0
    for first, last in ranges:
        while place < len(slots) and slots[place].seq < first:
            place += 1
        start = place
        while place < len(slots) and slots[place].seq <= last:
            slots[place].state = State.IN_FLIGHT
            place += 1
        calls.append(Call(slots[start:place], "new", "count"))
    return calls


def sums_of(slots: Sequence[Slot]) -> Sums:
    """Of the outcomes so far, and of what these items took."""
    pending = dead = drops = input_tokens = output_tokens = 0
    cost: int | None = 0
    for slot in slots:
        outcome = slot.outcome
        if outcome is PENDING:
            pending += 1
        elif isinstance(outcome, ItemError):
            dead += 1
        elif outcome is DROP or outcome is FORWARD:
            drops += 1
        input_tokens += slot.input_tokens
        output_tokens += slot.output_tokens
        cost = added(cost, slot.cost_nano_usd)
    return Sums(
        results=len(slots) - pending - dead - drops,
        dead_letters=dead,
        drops=drops,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_nano_usd=cost,
    )
