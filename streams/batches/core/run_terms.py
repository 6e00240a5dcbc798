"""What a run in batch mode has to keep to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from streams.batches.core.batch_packing import ChunkBounds
from streams.batches.core.polling import PollTimes


@dataclass(frozen=True, slots=True)
class RunTerms:
    """`deadline_at_ms`: when every outcome is to be at its door, in ms since the epoch; what is not
    back by then, less what live calls need, goes live. None: whenever batches end.
    `max_cost_nano_usd`: the run stops before it spends more; None: any. `reserve_ms`: how long the
    end of a cancelled batch, and all else that is not a call, may take before the deadline.
    `bounds`: of a chunk. `times`: of polling. `batch_share`: what a batch costs, as a part of live
    calls' price."""

    deadline_at_ms: int | None = None
    max_cost_nano_usd: int | None = None
    reserve_ms: int = 120_000
    bounds: ChunkBounds = field(default_factory=ChunkBounds)
    times: PollTimes = field(default_factory=PollTimes)
    batch_share: float = 0.5


class Mode(Enum):
    RUN = "running"
    HURRY = "in a hurry"
    STOP = "stopped"
    CANCEL = "cancelled"
