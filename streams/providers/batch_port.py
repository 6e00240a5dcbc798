"""The port of an API that takes many requests at once and answers them later: Message Batches.

    requests ─► create ─► status (polled until it has ended) ─► results: a file of lines

It stands beside `port.py`, below the room that uses it (`streams.batches`): one request of a batch
has the same params as a call, and the same `read` takes its message.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from streams.errors import CallError


class BatchStatus(NamedTuple):
    """What the API says about a batch. `requests`: how many it was made of. The counts of what
    became of them stay 0 until it has `ended`. `results_url`: None: it has no results (yet)."""

    id: str
    ended: bool
    requests: int
    created_at_ms: int
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0
    results_url: str | None = None


class BatchGone(CallError):  # noqa: N818  # a fact: the API does not know the batch
    """404 for a batch: it is too new, too old (29 days), or another workspace's."""


class UnclearCreation(CallError):  # noqa: N818  # nobody knows whether it failed
    """`create` got no answer that says whether there is a batch now: a timeout, a reset, a 5xx."""


class BatchApi(Protocol):
    """The batches of one account.

    Every method raises CallError with the house's faults, `retry_after_s` where the API asks to
    wait (429, also for its limit of waiting requests; 529), and nothing else; BatchGone for a 404.
    None repeats a call by itself, except that `results` reads a cut stream again. None blocks the
    loop for more than 50 ms.
    """

    async def create(self, requests: Sequence[bytes]) -> BatchStatus:
        """`requests`: the JSON of `{"custom_id", "params"}`, one each, at least one.

        Raises UnclearCreation where there may be a batch now; any other CallError says that there
        is none: a 4xx, or a connection refused before anything was sent.
        """
        ...

    async def retrieve(self, batch_id: str) -> BatchStatus: ...

    async def list(self, since_ms: int) -> list[BatchStatus]:
        """Every batch of the workspace created at or after `since_ms` by the API's clock."""
        ...

    async def results(self, status: BatchStatus, path: Path) -> None:
        """Writes the result lines of an ended batch to `path`, each custom_id once, in any order:
        `{"custom_id", "result": {"type": "succeeded", "message"} | {"type": "errored", "error"} |
        {"type": "canceled"} | {"type": "expired"}}`. What `path` held is gone."""
        ...

    async def cancel(self, batch_id: str) -> None:
        """Asks for its end; what is answered by then stays. Nothing happens where it has ended."""
        ...

    async def aclose(self) -> None: ...
