"""How far a run of `map` is, for its bar and its summary."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from streams.batches.run_report import BatchProgress, RunSummary
from streams.running.bar import State, calls_text, rate
from streams.running.tally import OK, CallTally


class MapProgress:
    """The state so far. `rows`: those of the input that are done, of which `answered` have an
    answer and the others are `failed`; `unreadable` of these have no place in the output.
    `resumed`: answered by the runs before this one. `position` of `size`, in bytes of the input or,
    where there is a limit, in rows. `calls`: this run's. Every change calls `changed`.

    In batch mode, `batch` is how far its batches are, and `paid` what all of them took, in the end;
    `answered_now`: rows that got their answer in this process."""

    def __init__(
        self,
        *,
        tell: Callable[[str], None],
        changed: Callable[[MapProgress], None],
        simulated: bool = False,
    ) -> None:
        self.tell = tell
        self._simulated = simulated
        self._changed = changed
        self.started = time.monotonic()
        self.rows = self.answered = self.failed = self.unreadable = self.resumed = 0
        self.position = 0.0
        self.size: int | None = None
        self.calls = CallTally()
        self.begun = False
        self.batch: BatchProgress | None = None
        self.paid: RunSummary | None = None
        self.answered_now = 0

    def change(self) -> None:
        self._changed(self)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def call_count(self) -> int:
        return sum(self.calls.by_status.values())

    @property
    def answered_calls(self) -> int:
        return self.calls.by_status[OK]

    def state(self) -> State:
        """What a bar shows."""
        if self.batch is not None and not self.rows:
            return _batch_state(self.batch)
        facts = (
            f"{rate(self.rows, self.elapsed_s)}"
            f"  {calls_text(self.call_count, self.calls.cost_usd)}  {self.failed:,} failed"
        )
        return State(f"{self.rows:,} rows", facts, self.position, self.size)

    def summary(self) -> dict[str, Any]:
        """The keys that `--json` prints. Calls, tokens and cost are this process's; in batch mode
        they are those of all processes that went on with the run."""
        elapsed_s = self.elapsed_s
        return {
            "rows": self.rows,
            "answered": self.answered,
            "failed": self.failed,
            "unreadable": self.unreadable,
            "resumed": self.resumed - self.answered_now,
            **self._costs(),
            "elapsed_s": round(elapsed_s, 3),
            "rows_per_s": round(self.rows / elapsed_s, 1) if elapsed_s > 0 else 0.0,
            "simulated": self._simulated,
        }

    def _costs(self) -> dict[str, Any]:
        paid, calls = self.paid, self.calls
        if paid is None:
            return {
                "calls": self.call_count,
                "input_tokens": calls.input_tokens,
                "output_tokens": calls.output_tokens,
                "cost_usd": calls.cost_usd,
            }
        return {
            "calls": paid.calls,
            "batches": paid.batches,
            "live_rows": paid.live_items,
            "input_tokens": paid.input_tokens,
            "output_tokens": paid.output_tokens,
            "cost_usd": paid.cost_usd,
        }

    @property
    def bill(self) -> str:
        """What it took, in a line."""
        paid = self.paid
        if paid is None:
            return self.calls.bill
        cost = "cost not known" if paid.cost_usd is None else f"${paid.cost_usd:.6f}"
        return (
            f"{paid.calls} calls in {paid.batches:,} batches ({paid.live_items:,} rows live),"
            f" {paid.input_tokens} tokens in, {paid.output_tokens} out, {cost}"
        )


def _batch_state(now: BatchProgress) -> State:
    cost = "" if now.cost_usd is None else f"  ${now.cost_usd:.4f}"
    facts = f"{now.under_way:,} of {now.batches:,} batches under way{cost}  {now.failed:,} failed"
    return State(f"{now.planned:,} rows asked, {now.done:,} answered", facts, now.done, now.total)
