"""What a run in batch mode says of itself: while it goes on, and at its end."""

from __future__ import annotations

from typing import NamedTuple

from streams.batches.core.batch_machine import BatchMachine
from streams.batches.core.open_chunks import OpenChunks
from streams.errors import StreamsError


class BatchProgress(NamedTuple):
    """How far a run is. `total`: items of the input, about; None: not known. `planned`: read so
    far. `done`: whose outcome is at the door, `failed` of them dead letters. `batches`: created so
    far, `under_way` of them at work. `cost_usd`: of what is read, and of what is submitted by
    estimate; None: not known. `waits_for`: in words; "" where it works."""

    total: int | None
    planned: int
    done: int
    failed: int
    live_items: int
    batches: int
    under_way: int
    cost_usd: float | None
    waits_for: str


class RunSummary(NamedTuple):
    """`state`: "done", "stopped" (more would pass the maximal cost) or "cancelled". `open`: items
    without an outcome, 0 where it is done. `calls`: requests in batches, and live calls that
    answered. Tokens and nano-dollars: each answer counted once; None: not known."""

    run: str
    state: str
    items: int
    results: int
    dead_letters: int
    drops: int
    vanished: int
    open: int
    live_items: int
    batches: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int | None

    @property
    def cost_usd(self) -> float | None:
        return None if self.cost_nano_usd is None else self.cost_nano_usd / 1e9

    @property
    def equation(self) -> str:
        text = (
            f"{self.items:,} items = {self.results:,} results + {self.dead_letters:,} dead letters"
            f" + {self.drops:,} drops"
        )
        if self.vanished:
            text += f" + {self.vanished:,} vanished"
        return text + (f" + {self.open:,} open" if self.open else "")


def summary_of(run: str, state: str, chunks: OpenChunks) -> RunSummary:
    """Raises StreamsError where the counts of a run that is done do not add up."""
    sums, paid = chunks.totals, chunks.paid
    answered = sums.results + sums.dead_letters + sums.drops + sums.vanished
    summary = RunSummary(
        run=run,
        state=state,
        items=chunks.item_count,
        results=sums.results,
        dead_letters=sums.dead_letters,
        drops=sums.drops,
        vanished=sums.vanished,
        open=chunks.item_count - answered,
        live_items=sums.live_items,
        batches=chunks.batches,
        calls=paid.calls,
        input_tokens=paid.input_tokens,
        output_tokens=paid.output_tokens,
        cost_nano_usd=paid.cost_nano_usd,
    )
    if summary.state == "done" and summary.open:
        raise StreamsError(f"run {run} does not add up: {summary.equation}")
    return summary


def progress_of(machine: BatchMachine, total: int | None, pause: str) -> BatchProgress:
    """`pause`: why live calls pause; "" where they do not."""
    sums = machine.chunks.totals
    cost = None
    if sums.cost_nano_usd is not None and machine.spending.spent is not None:
        cost = machine.spending.with_further(machine.chunks.values(), 0) / 1e9
    return BatchProgress(
        total=total,
        planned=machine.chunks.item_count,
        done=sums.results + sums.dead_letters + sums.drops,
        failed=sums.dead_letters,
        live_items=sums.live_items,
        batches=machine.chunks.batches,
        under_way=machine.under_way.watches,
        cost_usd=cost,
        waits_for=pause or _waits_for(machine),
    )


def _waits_for(machine: BatchMachine) -> str:
    under_way, waits = machine.under_way, []
    if under_way.doubts:
        waits.append(f"the outcome of {under_way.doubts} creations")
    if under_way.watches:
        waits.append(f"{under_way.watches} batches")
    if machine.hold.message:
        waits.append(f"the API ({machine.hold.message})")
    return " and ".join(waits)
