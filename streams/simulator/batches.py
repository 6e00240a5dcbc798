"""Message Batches: one batch, and all of them by name. `batch_work` answers their requests."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

import orjson

from streams.simulator.wire import RefusalError

MAX_REQUESTS: Final = 100_000
LIFETIME: Final = datetime.timedelta(hours=24)
_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Batch:
    """One Message Batch. `results`: a line of JSON for each request done, in their order."""

    def __init__(self, name: str, requests: Sequence[Mapping[str, Any]], host: str) -> None:
        self.name = name
        self.host = host
        self.requests = requests
        self.results: list[bytes] = []
        self.counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
        self.created_at = _now()
        self.ended_at: datetime.datetime | None = None
        self.cancel_initiated_at: datetime.datetime | None = None
        self.canceled = asyncio.Event()

    @property
    def status(self) -> str:
        if self.ended_at is not None:
            return "ended"
        return "in_progress" if self.cancel_initiated_at is None else "canceling"

    def as_json(self) -> dict[str, Any]:
        """The object as the API gives it: counts stay 0 until the batch has ended."""
        ended = self.ended_at is not None
        counts = self.counts if ended else dict.fromkeys(self.counts, 0)
        url = f"http://{self.host}/v1/messages/batches/{self.name}/results"
        return {
            "id": self.name,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": {"processing": 0 if ended else len(self.requests), **counts},
            "created_at": _stamp(self.created_at),
            "expires_at": _stamp(self.created_at + LIFETIME),
            "ended_at": _stamp(self.ended_at),
            "cancel_initiated_at": _stamp(self.cancel_initiated_at),
            "archived_at": None,
            "results_url": url if ended else None,
        }

    def cancel(self) -> None:
        """Ends the work on open requests; without effect on a batch that has ended."""
        if self.ended_at is None and self.cancel_initiated_at is None:
            self.cancel_initiated_at = _now()
            self.canceled.set()

    def end(self) -> None:
        """All requests have their results."""
        self.ended_at = _now()

    def add(self, custom_id: str, result: Mapping[str, Any]) -> None:
        """Notes the result of the next request."""
        self.counts[result["type"]] += 1
        self.results.append(orjson.dumps({"custom_id": custom_id, "result": result}) + b"\n")


class Batches:
    """The batches by name, and the tasks that work on them."""

    def __init__(self) -> None:
        self.by_name: dict[str, Batch] = {}
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, seed: int, requests: Any, host: str) -> Batch:
        """Takes a batch. Raises RefusalError (400)."""
        check_requests(requests)
        self._count += 1
        batch = Batch(f"msgbatch_sim{seed:x}n{self._count:06d}", requests, host)
        self.by_name[batch.name] = batch
        return batch

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs the work on a batch until it is done or `stop` ends it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Ends all work and forgets the batches."""
        for task in self._tasks:
            task.cancel()
        self.by_name.clear()


def check_requests(requests: Any) -> None:
    """Refuses invalid lists at once: the form, the length and the ids."""
    if not isinstance(requests, list) or not requests:
        raise RefusalError(400, "requests: List should have at least 1 item")
    if len(requests) > MAX_REQUESTS:
        raise RefusalError(400, f"requests: at most {MAX_REQUESTS} are allowed")
    seen = set()
    for place, request in enumerate(requests):
        if not isinstance(request, dict) or not isinstance(request.get("params"), dict):
            raise RefusalError(400, f"requests.{place}.params: Field required")
        custom_id = request.get("custom_id")
        if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
            raise RefusalError(
                400,
                f"requests.{place}.custom_id: should match '^[a-zA-Z0-9_-]{{1,64}}$'",
            )
        if custom_id in seen:
            raise RefusalError(400, f"requests.{place}.custom_id: '{custom_id}' is not unique")
        seen.add(custom_id)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _stamp(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
