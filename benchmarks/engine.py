"""How much the engine costs per item: slots made, arrived, cut, answered, released, settled.

    python -m benchmarks.engine [--items N] [--batch N] [--lanes N] [--keys N] [--order key]
                                [--usage] [--limits] [--runs N]

One process, no I/O. CPU time, so that a busy machine counts less; prints items/s and us per item,
the best and the median of several runs. `--limits`: what the account's limits, the packing by
tokens and the adaptive sizes cost in addition: runs with and without them take turns.
"""

from __future__ import annotations

import argparse
import gc
from collections import deque
from dataclasses import replace
from statistics import median
from time import process_time

from streams.codec.committed import MAX_BEYOND_BYTES
from streams.core import (
    Arrived,
    Delivered,
    Engine,
    Flush,
    Limits,
    Opened,
    Release,
    Replied,
    Slot,
    StartCall,
)
from streams.core.account import Account
from streams.core.rate_line import RateLine
from streams.model import Quota, RateLimits, Usage
from streams.policies.demand import PerMinute
from streams.policies.packing import AnswerRoom, CallShape
from streams.policies.rate import Rate

CHUNK = 500  # records a shell hands over at a time


ENOUGH = 10**15
"""Limits per minute that nobody meets: what they cost is measured, not what they hold back."""
SHAPE = CallShape(200.0, 5.0, 5.0, AnswerRoom(100, 1000, 100, 64_000))
SAID = RateLimits(*[Quota(ENOUGH, ENOUGH - 1000, 1.0)] * 3)


def limited_account(limits: Limits) -> Account:
    rate = Rate(PerMinute(ENOUGH, ENOUGH, ENOUGH), -1.0)
    rate.pace = 1.0  # the slow start is over
    return Account(
        limits.backoff, limits.account_backoff, lambda: 0.5, rates=RateLine(rate), adapts=True
    )


def run(
    items: int,
    batch: int,
    lanes: int,
    keys: int,
    order: str,
    usage: Usage | None,
    limited: bool = False,
) -> tuple[float, float]:
    """Seconds spent in the engine and seconds spent making slots. `keys`: call keys, each with a
    window of its own; those left open at the end are flushed."""
    said = SAID if limited else None
    limits = Limits(
        max_items=batch,
        max_wait_s=0.05,
        max_tokens=10**9,
        max_bytes=10**9,
        max_in_flight=10,
        order=order,  # type: ignore[arg-type]
        max_beyond_bytes=MAX_BEYOND_BYTES,
    )
    account = None
    if limited:
        limits = replace(limits, adaptive=True, slow_s=30.0, call_shape=SHAPE)
        account = limited_account(limits)
    engine = Engine(limits, random=lambda: 0.5, account=account)
    for lane in range(lanes):
        engine.handle(Opened(lane, 0), 0.0)
    answers = list(range(batch))
    payload = object()
    calls: deque = deque()
    released, made_s, engine_s = 0, 0.0, 0.0
    for start in range(0, items, CHUNK):
        lane = start // CHUNK % lanes
        seq = start // CHUNK // lanes * CHUNK
        t0 = process_time()
        slots = [
            Slot(
                lane,
                seq + i,
                payload,
                50,
                200,
                400,
                start * 1e-6,
                (start + i) % keys,
                order_key=i % 50,
            )
            for i in range(CHUNK)
        ]
        t1 = process_time()
        todo = deque(engine.handle(Arrived(slots), start * 1e-6))
        if start + CHUNK >= items:
            todo.extend(engine.handle(Flush(), start * 1e-6))
        while todo or (len(calls) > 8 or (calls and start + CHUNK >= items)):
            if not todo:
                call = calls.popleft()
                todo.extend(
                    engine.handle(Replied(call.id, answers[: call.size], usage, said), start * 1e-6)
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
    assert released == items, released
    return engine_s, made_s


def show_limits(args: argparse.Namespace) -> None:
    """Batches of 20 by default: what is done once per call weighs more there."""
    usage = Usage(200 + 55 * args.batch, 5 * args.batch, 1_234_567)
    costs = []
    for _ in range(args.runs):
        pair = [
            run(args.items, args.batch, args.lanes, args.keys, args.order, usage, limited)[0]
            for limited in (False, True)
        ]
        costs.append([seconds / args.items * 1e6 for seconds in pair])
    plain, limited = (min(each) for each in zip(*costs, strict=True))
    print(f"without limits {plain:5.2f} us per item, with all of them {limited:5.2f}:")
    print(
        f"{limited - plain:+.2f} us per item ({median(b - a for a, b in costs):+.2f} at the median)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--keys", type=int, default=1, help="call keys (`[task.batch] key`)")
    parser.add_argument("--order", default="partition", choices=["partition", "key", "none"])
    parser.add_argument("--usage", action="store_true", help="answers carry usage to be shared")
    parser.add_argument("--limits", action="store_true", help="what all limits cost in addition")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    usage = Usage(5_001, 997, 1_234_567) if args.usage else None
    gc.freeze()
    if args.limits:
        show_limits(args)
        return
    runs = [
        run(args.items, args.batch, args.lanes, args.keys, args.order, usage)
        for _ in range(args.runs)
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
