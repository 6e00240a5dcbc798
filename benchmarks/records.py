"""What decoding and encoding cost per item, on one core, without a broker.

    python benchmarks/records.py

Prints microseconds of CPU per item, the best of five rounds of 2,000 items each; the first line is
the parser alone, to judge the machine by.
"""

from __future__ import annotations

import gc
import random
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from streams.codec.records import Decoder, weigh
from streams.codec.results import Encoder, Mode
from streams.core.call import Call, Slot
from streams.errors import ItemError

COUNT = 2_000
ROUNDS = 5
WHERE = ("reviews", 3)
TEXT = (
    "The battery lasted for two days, far more than I expected; the parcel took nine days though."
)


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def records(make: Callable[[int], bytes]) -> list[Record]:
    return [
        Record(1_000_000 + n, 1_790_000_000_000 + n, b"k%d" % n, make(n), ()) for n in range(COUNT)
    ]


def flat(n: int) -> bytes:
    """200 bytes, as the contract's benchmarks have them."""
    facts = {"id": n, "text": TEXT, "user": f"user-{n:05}", "stars": n % 5, "language": "en"}
    return orjson.dumps(facts | {"shop": "somewhere in Europe, 1234"})


def nested(n: int) -> bytes:
    return orjson.dumps({"id": n, "text": TEXT, "price": 4.5, "tags": ["a"], "meta": {"a": n}})


def slots_of(items: list[Any], outcome: Callable[[int], Any]) -> list[Slot]:
    slots = [Slot(3, item.offset, item, outcome=outcome(n)) for n, item in enumerate(items)]
    for start in range(0, COUNT, 20):
        batch = Call(slots[start : start + 20], "new", "count")
        batch.id = f"sentiment-5f3a-{start}"
        for index, slot in enumerate(batch.slots):
            slot.call, slot.index, slot.calls = batch, index, 1
            slot.input_tokens, slot.output_tokens, slot.cost_nano_usd = 60, 8, 10_000 + index
    return slots


def report(name: str, work: Callable[[], object]) -> None:
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    print(f"{name:52s} {best / COUNT * 1e6:7.2f} us")


def main() -> None:
    default = Decoder()
    source = records(flat)
    print(f"value of {len(flat(1))} bytes")
    report("(orjson.loads alone)", lambda: [orjson.loads(record.value or b"") for record in source])
    report("decode, flat", lambda: default.decode(source, *WHERE))
    report("decode, nested", lambda: default.decode(records_nested, *WHERE))
    report("decode, template", lambda: template.decode(source, *WHERE))
    report("decode, not JSON", lambda: default.decode(broken, *WHERE))
    items = default.decode(source, *WHERE).items
    report("weigh", lambda: weigh(items))
    labelled = slots_of(items, lambda n: {"label": "positive"})
    failed = slots_of(items, lambda n: ItemError("no_answer", "the reply has no record of it"))
    modes: tuple[Mode, ...] = ("envelope", "merge", "result")
    for mode in modes:
        encoder = Encoder(task="sentiment", model="claude", fingerprint="0" * 16, mode=mode)
        report(f"encode, {mode}", lambda encoder=encoder: encoder.encode(labelled, 1))  # type: ignore[misc]
    report("encode, dead letters", lambda: encoder.encode(failed, 1))
    vector = struct.pack("<1024f", *(random.Random(7).gauss(0, 0.03) for _ in range(1024)))
    embedded = slots_of(items, lambda n: {"embedding_f32": vector})
    floats = Encoder(task="e", model="m", fingerprint="0" * 16)
    base64 = Encoder(task="e", model="m", fingerprint="0" * 16, embedding="base64")
    report("encode, 1,024 numbers as floats", lambda: floats.encode(embedded, 1))
    report("encode, 1,024 numbers as base64", lambda: base64.encode(embedded, 1))


records_nested = records(nested)
broken = records(lambda n: b'{"id": 1, "text": "cut of')
template = Decoder(text="{/user} wrote: {/text}", id="/user")

if __name__ == "__main__":
    main()
