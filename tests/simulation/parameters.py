"""What a seed stands for: the sizes of everything, and what goes wrong when.

Numbers are drawn small on purpose: a batch of three items in a lane of ten meets the same edges as
one of a hundred in a million, in a thousandth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any, Literal, NamedTuple

from streams.codec.committed import MAX_BEYOND_BYTES
from streams.core.limits import Order

ORDERS: tuple[Order, ...] = ("partition", "partition", "key", "none")

Guarantee = Literal["at_least_once", "exactly_once"]

MEMBERS = ("join", "leave", "kill", "replace", "cut")
BROKER = (
    "freeze",
    "freeze",
    "offers fail",
    "acknowledgements fail",
    "connecting fails",
    "commits fail",
    "commits hang",
    "commits unanswered",
    "fetching fails",
    "sought",
)
TRANSACTIONS = ("coordinator fails", "coordinator hangs", "answers lost", "answers lost")
"""With `guarantee = "exactly_once"` alone, beside the others."""

LEDGER = ("ledger fails", "ledger unanswered", "replace", "replace", "cut")
"""With a call ledger (`recorded`) alone, beside the others: what it fails by, what it is for."""

API = ("throttled", "overloaded", "hanging", "resetting", "failing", "refusing", "spoiling")
KINDS = (*MEMBERS, *BROKER, *API)

ALONE = ("forbidden", "limited", "failing", "breaking", "unknown")
"""How the API refuses one item of a schedule, in ways that it may refuse everybody in."""

ROOMY_BYTES = 1_000_000
"""A limit that nothing here meets."""


class Trouble(NamedTuple):
    """`kind` (one of KINDS) from `at_s` for `for_s` seconds; `number` chooses whom it meets."""

    at_s: float
    kind: str
    for_s: float
    number: int

    def __str__(self) -> str:
        return f"{self.at_s:.2f} s: {self.kind} for {self.for_s:.2f} s ({self.number})"


@dataclass(frozen=True, slots=True)
class Parameters:
    """One schedule; times in seconds of the simulation, sizes in bytes. `isolated`: a transactional
    process that is cut off reaches nobody, not the group's coordinator alone. `piped`: the task is
    a pipeline (`piped.py`). `alone`: one of ALONE befalls the item that is written as number
    `alone_at`, and others come until it has its outcome; None: there is no such item. `calm`:
    nothing else goes wrong."""

    seed: int
    partitions: int
    sink_partitions: int
    dead_letter_partitions: int
    workers: int
    items: int
    arriving_s: float
    gaps: float
    keys: int
    odd: float
    order: Order
    guarantee: Guarantee
    transaction_s: float
    isolated: bool
    recorded: bool
    piped: bool
    ledger_bytes: int
    ledger_room_bytes: int
    beyond_bytes: int
    max_items: int
    max_wait_s: float
    max_tokens: int | None
    max_bytes: int | None
    max_in_flight: int
    max_attempts: int
    timeout_s: float
    call_s: float
    faulty_calls: float
    buffered_bytes: int
    fetch_records: int
    batch_bytes: int
    sink_bytes: int
    broker_bytes: int
    commit_interval_s: float
    drain_s: float
    shutdown_s: float
    session_s: float
    rebalance_s: float
    heartbeat_s: float
    assignor: str
    ends_s: float
    alone: str | None
    alone_at: int
    calm: bool
    troubles: tuple[Trouble, ...] = field(repr=False)

    def __str__(self) -> str:
        named = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr]
        return "\n".join([" ".join(named), *(f"  {trouble}" for trouble in self.troubles)])


def parameters(seed: int) -> Parameters:
    """The schedule of a seed. Each value has chance of its own: a new one, or another choice for
    one, leaves all else that a seed stands for."""

    def chance(name: str) -> Random:
        return Random(f"{seed} {name}")

    def choose(name: str, *values: Any) -> Any:
        return chance(name).choice(values)

    partitions = chance("partitions").randint(1, 6)
    same = choose("same", True, True, False)
    ends_s = choose("ends_s", 2.0, 2.0, 5.0, 10.0, 20.0)
    sink_bytes = choose("sink_bytes", ROOMY_BYTES, ROOMY_BYTES, 3_000)
    exactly_once = choose("exactly_once", True, True, False, False, False)
    troubles = _troubles(chance("troubles"), KINDS, ends_s)
    items = chance("items").randint(5, choose("most items", 40, 160))
    alone = choose("alone", *[None] * 5, *ALONE)
    calm = alone is not None and choose("calm", True, False)
    recorded = choose("recorded", True, False, False)
    if recorded:
        troubles += _troubles(chance("ledger troubles"), LEDGER, ends_s)
    if exactly_once:
        troubles += _troubles(chance("transaction troubles"), TRANSACTIONS, ends_s)
    return Parameters(
        seed=seed,
        partitions=partitions,
        sink_partitions=partitions if same else choose("sink_partitions", 1, 2, 3, 4),
        dead_letter_partitions=partitions if same else choose("dead_letter_partitions", 1, 2, 3),
        workers=choose("workers", 1, 2, 3),
        items=items,
        arriving_s=choose("arriving_s", 0.0, 1.0, ends_s),
        gaps=choose("gaps", 0.0, 0.0, 0.1, 0.5),
        keys=choose("keys", 0, 1, 2, 5),
        odd=0.0 if calm else choose("odd", 0.0, 0.0, 0.05, 0.2),
        order=choose("order", *ORDERS),
        guarantee="exactly_once" if exactly_once else "at_least_once",
        transaction_s=choose("transaction_s", 2.0, 60.0),
        isolated=choose("isolated", True, False),
        recorded=recorded,
        piped=not recorded and choose("through stages", True, False, False, False),
        ledger_bytes=choose("ledger_bytes", ROOMY_BYTES, ROOMY_BYTES, 1_000),
        ledger_room_bytes=choose("ledger_room_bytes", ROOMY_BYTES, ROOMY_BYTES, 2_000),
        beyond_bytes=choose("beyond_bytes", 2, 8, MAX_BEYOND_BYTES)
        if alone is None
        else MAX_BEYOND_BYTES,
        max_items=choose("max_items", 1, 2, 3, 5, 20),
        max_wait_s=choose("max_wait_s", 0.0, 0.05, 0.5),
        max_tokens=choose("max_tokens", None, None, 30, 100),
        max_bytes=choose("max_bytes", None, None, 100),
        max_in_flight=choose("max_in_flight", 1, 2, 3, 5),
        max_attempts=choose("max_attempts", 1, 2, 6, 6),
        timeout_s=choose("timeout_s", 1.0, 3.0),
        call_s=choose("call_s", 0.01, 0.2, 0.2, 1.0),
        faulty_calls=0.0 if calm else choose("faulty_calls", 0.0, 0.0, 0.05, 0.3),
        # With room for others behind it: an item that nobody comes to is waited for.
        buffered_bytes=choose("buffered_bytes", 20_000, 60_000, 64_000_000)
        if alone is None
        else 64_000_000,
        fetch_records=choose("fetch_records", 1, 3, 50),
        batch_bytes=choose("batch_bytes", 300, 1_000, 256 * 1024),
        sink_bytes=sink_bytes,
        broker_bytes=int(sink_bytes * choose("broker_bytes", 1.0, 1.0, 0.6)),
        commit_interval_s=choose("commit_interval_s", 0.1, 0.3, 1.0),
        drain_s=choose("drain_s", 0.05, 1.0, 1.0),
        shutdown_s=choose("shutdown_s", 2.0, 25.0),
        session_s=choose("session_s", 1.0, 6.0),
        rebalance_s=choose("rebalance_s", 20.0, 60.0),
        heartbeat_s=choose("heartbeat_s", 0.1, 0.5),
        assignor=choose("assignor", "sticky", "sticky", "shuffled"),
        ends_s=ends_s,
        alone=alone,
        alone_at=chance("alone_at").randrange(items),
        calm=calm,
        troubles=() if calm else tuple(sorted(troubles)),
    )


def _troubles(random: Random, of: Sequence[str], ends_s: float) -> tuple[Trouble, ...]:
    """Some of a few kinds: a schedule of everything at once would show little of each."""
    kinds = random.sample(of, random.randint(0, min(5, len(of))))
    count = random.randint(0, 8) if kinds else 0
    troubles = [
        Trouble(
            at_s=random.uniform(0, ends_s),
            kind=random.choice(kinds),
            for_s=random.choice([0.05, 0.5, 2.0, random.uniform(0, ends_s)]),
            number=random.randrange(1000),
        )
        for _ in range(count)
    ]
    return tuple(sorted(troubles))
