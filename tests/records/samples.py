"""Source records and released slots, as the tests of this folder need them."""

from __future__ import annotations

from typing import Any, NamedTuple

from streams.codec.records import Decoder
from streams.codec.results import Encoder
from streams.core.call import Call, Slot
from streams.model import Headers, Item

NOW_MS = 1_790_000_000_450
WHERE = ("reviews", 3)
"""Topic and partition of the records."""


class Record(NamedTuple):
    """What the decoder reads, and the topic and the partition, which commands print."""

    value: bytes | None
    key: bytes | None = b"k"
    headers: Headers = ()
    topic: str = WHERE[0]
    partition: int = WHERE[1]
    offset: int = 1041
    timestamp: int = 1_790_000_000_000


def decoded(value: bytes | None, **settings: Any) -> tuple[Item, Any]:
    """One value's item and what it was settled with; None: it is to be called for."""
    items, settled = Decoder(**settings).decode([Record(value)], *WHERE)
    assert len(items) == 1
    assert set(settled) <= {0}
    return items[0], settled.get(0)


def item_of(value: bytes | None, **facts: Any) -> Item:
    return Decoder().decode([Record(value, **facts)], *WHERE).items[0]


def released(item: Item, outcome: Any, *, index: int = 0, size: int = 1, calls: int = 1) -> Slot:
    """A slot as the engine releases it, with 61 and 9 tokens and 10,600 nano-dollars."""
    slot = Slot(item.partition, item.offset, item, outcome=outcome)
    if calls:
        slot.call = Call([slot] * size, "new", "count")
        slot.call.id = "sentiment-9c1f-52"
        slot.index, slot.calls = index, calls
        slot.input_tokens, slot.output_tokens, slot.cost_nano_usd = 61, 9, 10_600
        slot.call.slots = []  # as the engine leaves it
    return slot


def encoder(**settings: Any) -> Encoder:
    given = {"task": "sentiment", "model": "claude-haiku-5-5", "fingerprint": "5f1d7a84db00d2fc"}
    return Encoder(**(given | settings))


def encoded(item: Item, outcome: Any, **settings: Any) -> tuple[Any, Any]:
    """One outcome's record and its error; None: it is a result."""
    return emitted(encoder(**settings), released(item, outcome))


def emitted(made: Encoder, slot: Slot) -> tuple[Any, Any]:
    """The slot's record, for the sink or for the dead letters (None: a drop), and its error."""
    (record,), dead = made.encode([slot], NOW_MS)
    if dead:
        assert record is None, "nothing of it is for the sink"
        record = made.dead_letter(slot, dead[0], NOW_MS)
    return record, dead.get(0)
