"""The journal of the Message Batches: what was submitted, and how often each request was answered.

It outlives the batches that are deleted, so that a test can prove that nothing was answered twice:
under one `custom_id`, or under two with the same params.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from streams.simulator.batches import Batch


class Submission:
    """One `custom_id`. `batches`: those that had it, in their order; `params`: the hash of each
    one's."""

    __slots__ = ("answered", "batches", "cost_nano_usd", "params")

    def __init__(self) -> None:
        self.batches: list[str] = []
        self.params: list[str] = []
        self.answered = 0
        self.cost_nano_usd = 0


class Submissions:
    """All batches since the start or the last reset, and their requests."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._by_custom_id: dict[str, Submission] = {}
        self._answers: Counter[str] = Counter()

    def add(self, batch: Batch) -> None:
        """A batch was taken."""
        self._batches.append(batch)
        for custom_id, params in zip(batch.custom_ids, batch.params, strict=True):
            submission = self._by_custom_id.setdefault(custom_id, Submission())
            submission.batches.append(batch.name)
            submission.params.append(hashlib.sha256(params).hexdigest()[:16])

    def answer(self, batch: Batch, place: int, cost_nano_usd: int) -> None:
        """A request of it was answered, and is paid for."""
        submission = self._by_custom_id[batch.custom_ids[place]]
        submission.answered += 1
        submission.cost_nano_usd += cost_nano_usd
        self._answers[submission.params[submission.batches.index(batch.name)]] += 1

    def batches(self) -> Iterator[dict[str, Any]]:
        """A record for each batch, in the order of their creation."""
        for batch in self._batches:
            yield {
                "id": batch.name,
                "status": batch.status,
                "created_at": batch.created_at.timestamp(),
                "ended_at": None if batch.ended_at is None else batch.ended_at.timestamp(),
                "requests": batch.size,
                "custom_ids": _hash_of(batch.custom_ids),
                "first_custom_id": batch.custom_ids[0],
                **batch.counts,
                "cost_nano_usd": batch.cost_nano_usd,
            }

    def requests(self, name: str | None) -> Iterator[dict[str, Any]]:
        """A record for each `custom_id`, in the order of their first submission. `name`: of one
        batch; None: of all."""
        for custom_id, submission in self._by_custom_id.items():
            if name is None or name in submission.batches:
                yield {
                    "custom_id": custom_id,
                    "batches": submission.batches,
                    "params": submission.params,
                    "answered": submission.answered,
                    "cost_nano_usd": submission.cost_nano_usd,
                }

    def state(self) -> dict[str, Any]:
        """The sums."""
        answered = [submission.answered for submission in self._by_custom_id.values()]
        return {
            "created": len(self._batches),
            "requests": sum(batch.size for batch in self._batches),
            "custom_ids": len(self._by_custom_id),
            "answered": sum(answered),
            "custom_ids_answered_more_than_once": sum(count > 1 for count in answered),
            "params_answered_more_than_once": sum(count > 1 for count in self._answers.values()),
            "cost_nano_usd": sum(batch.cost_nano_usd for batch in self._batches),
        }


def _hash_of(custom_ids: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the ids, a line each."""
    return hashlib.sha256("\n".join(custom_ids).encode()).hexdigest()[:16]
