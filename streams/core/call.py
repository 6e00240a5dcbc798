"""The two things the engine moves about: a `Slot` (one item's place) and a `Call` (one API call).

A slot's life, which never goes backwards except between IN_FLIGHT and RETRYING:

    WAITING ──► IN_FLIGHT ◄──► RETRYING
       │            │              │
       └────────────┴──► ANSWERED ◄┘ ──► RELEASED ──► SETTLED          anywhere ──► DROPPED
       (arrived with     has its          given to     durable         (its lane was closed)
        an outcome)      outcome          the sink
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Any, Final, Literal

from streams.core.evidence import Suspicion
from streams.core.reservation import Reservation
from streams.errors import ItemError
from streams.model import Answer, Unanswered, Usage, added
from streams.policies.budget import OVER, Allowance
from streams.policies.packing import SCRIPTS
from streams.policies.sharing import shares


class State(Enum):
    """Where a slot is; each slot is in exactly one."""

    WAITING = "waiting"
    IN_FLIGHT = "in flight"
    RETRYING = "retrying"
    ANSWERED = "answered"
    RELEASED = "awaiting delivery"
    SETTLED = "settled"
    DROPPED = "dropped"


class _Pending(Enum):
    PENDING = "pending"


PENDING: Final = _Pending.PENDING
"""A slot's `outcome` while it has none (None is a legal result)."""

WAITING: Final = State.WAITING
IN_FLIGHT: Final = State.IN_FLIGHT
ANSWERED: Final = State.ANSWERED

CallCause = Literal["new", "retry", "split", "ask"]
"""Why a call is made. new: the first call of its items. retry: repeats items after a failure.
split: a further part of a divided microbatch. ask: repeats items whose answer was missing.

Dividing a microbatch into k parts makes one "retry" (the first part) and k - 1 "split", so that no
call counts as both and calls = new + retry + split + ask."""


class Slot:
    """One item's place in its lane; made by the shell, filled by the engine.

    `lane`, `seq`: strictly increasing within a lane, gaps allowed. `item`: opaque. `tokens`: a
    fixed estimate, on the high side. `size`: bytes that count for `max_bytes`. `memory`: bytes that
    it takes until it is settled. `arrived_at`: when it arrived, in the shell's monotonic seconds.
    `call_key`: items share a call only with equals. `flush_by`: when its outcome is to be back, in
    the same seconds: its window closes earlier by the time that takes (`streams.core.lead`); None:
    only `max_wait_s` counts. `order_key`: with order="key", equals keep their order; None: any
    order. `outcome`: given by the shell for an item that needs no call (undecodable, tombstone).
    `script`: of its text (`streams.policies.packing`).

    Filled by the engine: `state`; `outcome`; `call`, the call that gave it, and `index`, its place
    in that call; `calls` it was in; `faults`, attempts that may be its fault; `asks`, how often it
    was asked again for want of an answer; its share of the usage of all its calls (a cost of None:
    the price of one is not known).

    After its `Delivered` a slot belongs to nobody: the engine may drop its payload.
    """

    __slots__ = (
        "arrived_at",
        "asks",
        "call",
        "call_key",
        "calls",
        "cost_nano_usd",
        "faults",
        "flush_by",
        "home",
        "index",
        "input_tokens",
        "item",
        "lane",
        "memory",
        "order_key",
        "outcome",
        "output_tokens",
        "place",
        "script",
        "seq",
        "size",
        "state",
        "tokens",
    )

    home: Any  # its `Lane`: one incarnation of the lane; set on arrival
    place: int  # how many arrived in it before; set on arrival in order "key" and "none"

    def __init__(
        self,
        lane: Hashable,
        seq: int,
        item: Any,
        tokens: int = 0,
        size: int = 0,
        memory: int = 0,
        arrived_at: float = 0.0,
        call_key: Hashable = None,
        flush_by: float | None = None,
        order_key: Hashable = None,
        outcome: Any = PENDING,
        script: int = 0,
    ) -> None:
        self.lane = lane
        self.seq = seq
        self.item = item
        self.tokens = tokens
        self.script = script
        self.size = size
        self.memory = memory
        self.arrived_at = arrived_at
        self.call_key = call_key
        self.flush_by = flush_by
        self.order_key = order_key
        self.outcome = outcome
        self.state = WAITING
        self.call: Call | None = None
        self.index = 0
        self.calls = 0
        self.faults = 0
        self.asks = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_nano_usd: int | None = 0

    def __repr__(self) -> str:
        return f"<Slot {self.lane}:{self.seq} {self.state.value}>"


class Call:
    """A microbatch: the items of one API call.

    `id`: "{prefix}-{n}", n counting calls from 1 in the order they start; "" until it starts.
    `slots`: its items' slots; emptied once the call is over, so that no cycle keeps them in memory.
    `size`: how many they were. `cause`: why it is called. `reason`: what closed its window:
    "count", "tokens", "bytes", "answers", "time", "deadline" or "flush"; for a repeated call the
    fault that caused it. `started_at`: seconds; 0 until it starts. `ended_at`: when it was
    answered; None: it was not. `reservation`: the account's leave for it. `allowance`: the
    budget's; None: there is none.
    """

    __slots__ = (
        "allowance",
        "answers",
        "cause",
        "due_at",
        "ended_at",
        "failed_at",
        "id",
        "number",
        "reason",
        "reservation",
        "results",
        "size",
        "slots",
        "started_at",
        "strikes",
        "suspicion",
        "tokens_by_script",
    )

    reservation: Reservation  # set when it starts
    tokens_by_script: Sequence[int]  # of its slots; set when it starts

    def __init__(
        self,
        slots: list[Slot],
        cause: CallCause,
        reason: str,
    ) -> None:
        self.id = ""
        self.number = 0
        self.slots = slots
        self.size = len(slots)
        self.cause: CallCause = cause
        self.reason = reason
        self.started_at = 0.0
        self.ended_at: float | None = None
        self.allowance: Allowance | None = None
        # For a repeated call: when its last call failed, when it may start, how many failures in a
        # row it had that are not certainly its items', what speaks against these, and how many of
        # the account's calls had been answered by then (None: never failed). `results`: how many of
        # the engine's had given results when the first call of its items began.
        self.failed_at = 0.0
        self.due_at = 0.0
        self.strikes = 0
        self.suspicion: Suspicion | None = None
        self.answers: int | None = None
        self.results: int | None = None

    @property
    def items(self) -> list[Any]:
        """The items, in the order the answers are expected in."""
        return [slot.item for slot in self.slots]

    @property
    def tokens(self) -> int:
        """The estimate for all of its items."""
        return sum(slot.tokens for slot in self.slots)

    def answer(self, answers: Sequence[Answer]) -> tuple[list[Slot], list[tuple[Slot, Unanswered]]]:
        """Gives its slots their outcomes: returns those that have one now, and those that the reply
        left without. Slots whose lane was closed meanwhile are in neither."""
        answered: list[Slot] = []
        unanswered: list[tuple[Slot, Unanswered]] = []
        for slot, answer in zip(self.slots, answers, strict=True):
            if slot.state is not IN_FLIGHT:
                continue
            if answer.__class__ is Unanswered:
                unanswered.append((slot, answer))
            else:
                slot.outcome = answer
                slot.call = self
                slot.state = ANSWERED
                answered.append(slot)
        return answered, unanswered

    def give_up(self) -> list[Slot]:
        """There is no money for it: its items are dead letters without a call. Returns them."""
        for slot in self.slots:
            slot.outcome = ItemError(OVER.value, "the budget is spent")
            slot.state = ANSWERED
        return self.slots

    def conclude(self, final: Sequence[tuple[Slot, ItemError]]) -> list[Slot]:
        """Gives these of its slots their dead letters, and returns them."""
        for slot, error in final:
            slot.outcome = error
            slot.call = self
            slot.state = ANSWERED
        return [slot for slot, _ in final]

    def share(self, usage: Usage | None) -> None:
        """Adds to each slot its share of the call's usage, by tokens; the sums are exact."""
        slots = self.slots
        if usage is None or not slots:
            return
        tokens = [slot.tokens for slot in slots]
        input_tokens, output_tokens = shares(usage[0], tokens), shares(usage[1], tokens)
        cost = usage.cost_nano_usd
        costs = [None] * len(slots) if cost is None else shares(cost, tokens)
        rows = zip(slots, input_tokens, output_tokens, costs, strict=True)
        for slot, slot_input, slot_output, slot_cost in rows:
            slot.input_tokens += slot_input
            slot.output_tokens += slot_output
            slot.cost_nano_usd = added(slot.cost_nano_usd, slot_cost)
            slot.calls += usage.calls - 1

    def __repr__(self) -> str:
        return f"<Call {self.id or 'not started'} {self.cause} of {self.size}>"


def tokens_by_script(slots: Sequence[Slot]) -> list[int]:
    """What the slots have in all."""
    tokens = [0] * SCRIPTS
    for slot in slots:
        tokens[slot.script] += slot.tokens
    return tokens
