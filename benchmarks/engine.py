"""How much the engine costs per item: slots made, arrived, cut, answered, released, settled.

    python benchmarks/engine.py [--items N] [--batch N] [--lanes N] [--order key] [--packing]

One process, no I/O. CPU time, so that a busy machine counts less; prints items/s and us per item,
the best and the median of several runs.
"""

from __future__ import annotations

import argparse
import gc
from collections import deque
from statistics import median
from time import process_time

from streams.codec.committed import MAX_BEYOND_BYTES
from streams.core import (
    Arrived,
    Delivered,
    Engine,
    Limits,
    Opened,
    Release,
    Replied,
    Slot,
    StartCall,
)
from streams.model import Usage
from streams.policies.packing import AnswerRoom, CallShape

CHUNK = 500  # records a shell hands over at a time


SHAPE = CallShape(300, 7, 9, AnswerRoom(each=64, at_least=0, frame=64, most=21_332))


def run(
    items: int, batch: int, lanes: int, order: str, usage: Usage | None, shape: CallShape | None
) -> tuple[float, float]:
    """Seconds spent in the engine and seconds spent making slots."""
    limits = Limits(
        max_items=batch,
        max_wait_s=0.05,
        max_tokens=10**9 if shape is None else 10_000,
        max_bytes=10**9,
        max_in_flight=16,
        order=order,  # type: ignore[arg-type]
        max_beyond_bytes=MAX_BEYOND_BYTES,
        call_shape=shape,
    )
    engine = Engine(limits, random=lambda: 0.5)
    for lane in range(lanes):
        engine.handle(Opened(lane, 0), 0.0)
    answers = list(range(batch))
    payload = object()
    calls: deque = deque()
    released = made_s = engine_s = 0.0
    for start in range(0, items, CHUNK):
        lane = start // CHUNK % lanes
        seq = start // CHUNK // lanes * CHUNK
        t0 = process_time()
        slots = [
            Slot(lane, seq + i, payload, 50, 200, 400, start * 1e-6, order_key=i % 50)
            for i in range(CHUNK)
        ]
        t1 = process_time()
        todo = deque(engine.handle(Arrived(slots), start * 1e-6))
        while todo or (len(calls) > 8 or (calls and start + CHUNK >= items)):
            if not todo:
                call = calls.popleft()
                todo.extend(
                    engine.handle(Replied(call.id, answers[: call.size], usage), start * 1e-6)
                )
            while todo:
                action = todo.popleft()
                if type(action) is StartCall:
                    calls.append(action.call)
                elif type(action) is Release:
                    released += len(action.slots)
                    todo.extend(engine.handle(Delivered(action.lane, action.slots), start * 1e-6))
        engine_s += process_time() - t1
        made_s += t1 - t0
    assert released >= items - batch * lanes, released
    return engine_s, made_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--order", default="partition", choices=["partition", "key", "none"])
    parser.add_argument("--usage", action="store_true", help="answers carry usage to be shared")
    parser.add_argument("--packing", action="store_true", help="and teach what items weigh")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    shape = SHAPE if args.packing else None
    usage = Usage(5_001, 997, 1_234_567) if args.usage or args.packing else None
    gc.freeze()
    runs = [
        run(args.items, args.batch, args.lanes, args.order, usage, shape) for _ in range(args.runs)
    ]
    for name, seconds in (
        ("engine", [engine_s for engine_s, _ in runs]),
        ("making slots", [made_s for _, made_s in runs]),
        ("together", [sum(both) for both in runs]),
    ):
        best, middle = min(seconds), median(seconds)
        print(
            f"{name:13} {args.items / best:10,.0f} items/s   "
            f"{best / args.items * 1e6:5.2f} us per item (median {middle / args.items * 1e6:.2f})"
        )


if __name__ == "__main__":
    main()
