"""How far a run of `map` is, for its bar and its summary."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from streams.running.bar import State, calls_text, rate
from streams.running.tally import OK, CallTally


class MapProgress:
    """The state so far. `rows`: those of the input that are done, of which `answered` have an
    answer and the others are `failed`; `unreadable` of these have no place in the output.
    `resumed`: answered by the runs before this one. `position` of `size`, in bytes of the input or,
    where there is a limit, in rows. `calls`: this run's. Every change calls `changed`."""

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
        facts = (
            f"{rate(self.rows, self.elapsed_s)}"
            f"  {calls_text(self.call_count, self.calls.cost_usd)}  {self.failed:,} failed"
        )
        return State(f"{self.rows:,} rows", facts, self.position, self.size)

    def summary(self) -> dict[str, Any]:
        """The keys that `--json` prints. Calls, tokens and cost are this run's."""
        elapsed_s = self.elapsed_s
        return {
            "rows": self.rows,
            "answered": self.answered,
            "failed": self.failed,
            "unreadable": self.unreadable,
            "resumed": self.resumed,
            "calls": self.call_count,
            "input_tokens": self.calls.input_tokens,
            "output_tokens": self.calls.output_tokens,
            "cost_usd": self.calls.cost_usd,
            "elapsed_s": round(elapsed_s, 3),
            "rows_per_s": round(self.rows / elapsed_s, 1) if elapsed_s > 0 else 0.0,
            "simulated": self._simulated,
        }
