"""What a replay is asked to do, and what it tells while it does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.jobs.replay.range_choice import RangeChoice
from streams.jobs.replay.run_facts import Mode, RunFacts
from streams.jobs.replay.where_filter import Where
from streams.plans import Plan
from streams.running.bar import State, rate
from streams.running.bar import calls_text as calls_of
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """A new run. `first`, `until`: as they are remembered (`as_shown`). `into`: None: the task's
    sink. `share`, `deadline_s`, `max_cost_usd`: None: not given."""

    settings: Settings
    environ: Mapping[str, str]
    plan: Plan
    choice: RangeChoice
    first: str
    until: str
    where: str | None = None
    into: str | None = None
    mode: Mode = "live"
    share: float | None = None
    deadline_s: float | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Resumption:
    """An earlier run that goes on. What is given here replaces what it was begun with.
    `deadline_s`: from now. `cancels`: it goes on only to be given up in order."""

    settings: Settings
    environ: Mapping[str, str]
    plans: Mapping[str, Plan]
    run: str
    share: float | None = None
    deadline_s: float | None = None
    max_cost_usd: float | None = None
    cancels: bool = False


@dataclass
class ReplayProgress:
    """`tell(line)`: for people. `changed(self)`: after every change. Correct at any moment: `facts`
    is None until the run is there; `total` counts offsets, `done` those with an outcome.
    `batches`: at work at the API."""

    tell: Callable[[str], None]
    changed: Callable[[ReplayProgress], None] = lambda _: None
    facts: RunFacts | None = None
    where: Where | None = None
    done: int = 0
    total: int = 0
    calls: int = 0
    cost_usd: float | None = 0.0
    batches: int = 0
    waits: str = ""
    began_at: float = field(default_factory=time.monotonic)
    summary: dict[str, Any] = field(default_factory=dict)

    def state(self) -> State:
        elapsed_s = time.monotonic() - self.began_at
        waits = f"  {self.waits}" if self.waits else ""
        facts = f"{rate(self.done, elapsed_s)}  {calls_of(self.calls, self.cost_usd)}{waits}"
        return State(f"{self.done:,}/{self.total:,}", facts, self.done, self.total)
