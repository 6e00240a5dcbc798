"""What a run is to do, as values. Each action ends in its result, or in a CallError; then the
machine decides again.

At most one of `OnBench` is under way: it needs the slots of a chunk, and one chunk is in memory at
a time. The others go on beside it.
"""

from __future__ import annotations

from typing import NamedTuple

from streams.batches.batch_door import Cursor
from streams.batches.core.chunk_record import Chunk, Sums
from streams.providers.batch_port import BatchStatus


class Draw(NamedTuple):
    """Take the next items as chunk `number`. Result: `Drawn`; None: there are no more."""

    number: int
    after: Cursor | None


class Canary(NamedTuple):
    """Call the chunk's first request live: it proves the parameters, and its answer counts.
    Result: `Drawn`, without that request, and with what it took."""

    number: int


class Fold(NamedTuple):
    """Bring a chunk to the bench, with the results of its batches. Result: `Folded`."""

    number: int


class Submit(NamedTuple):
    """Write the chunk's record; then create the batch of its last round. Result: BatchStatus."""

    number: int
    record: bytes


class GoLive(NamedTuple):
    """Write the chunk's record; then call live what is left. Result: `Folded`."""

    number: int
    record: bytes


class Emit(NamedTuple):
    """Give the outcomes to the door; then write the chunk's record. `partial`: only of the items
    that have one. Result: None."""

    number: int
    record: bytes
    partial: bool


class Save(NamedTuple):
    """Write a chunk's record. Result: None."""

    number: int
    record: bytes


class Retrieve(NamedTuple):
    """Result: BatchStatus."""

    number: int
    batch: str


class Cancel(NamedTuple):
    """Result: None."""

    number: int
    batch: str


class Find(NamedTuple):
    """All batches since then, for the chunk. Result: a list of BatchStatus."""

    number: int
    since_ms: int


class Prove(NamedTuple):
    """Whether an ended batch is this round of the chunk, by the names of its requests. Result: a
    bool."""

    number: int
    round: int
    status: BatchStatus


OnBench = Draw | Canary | Fold | Submit | GoLive | Emit
RunAction = OnBench | Save | Retrieve | Cancel | Find | Prove


class Folded(NamedTuple):
    """A chunk on the bench. `requests`, `tokens`: of its next batch, which may be planned and not
    created yet. `live`, `live_tokens`: of the calls that would be made live now, were there no next
    batch. `is_complete`: every item has its outcome. `sums`: of those that have it."""

    requests: int
    tokens: int
    live: int
    live_tokens: int
    is_complete: bool
    sums: Sums


class CanaryFacts(NamedTuple):
    """What one live call took: seconds, nano-dollars per estimated token (None: not known), and
    nano-dollars."""

    call_s: float
    nano_per_token: float | None
    cost_nano_usd: int = 0


class Drawn(NamedTuple):
    """A new chunk on the bench."""

    chunk: Chunk
    folded: Folded
    canary: CanaryFacts | None = None
