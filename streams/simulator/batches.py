"""Message Batches: one batch, and all of them by name. `batch_work` answers their requests."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

import orjson

from streams.simulator.batch_course import Course
from streams.simulator.wire import RefusalError

MAX_REQUESTS: Final = 100_000
_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Batch:
    """One Message Batch. `created`, `ended`: seconds of the simulation's clock; None: not yet.
    `params`: of each request as JSON; empty once it is done, so that large batches do not stay in
    memory. `results`: a line of JSON for each request done, in the order of their ends."""

    def __init__(
        self, name: str, custom_ids: Sequence[str], params: list[bytes], course: Course, now: float
    ) -> None:
        self.name = name
        self.custom_ids = custom_ids
        self.params = params
        self.course = course
        self.host = ""
        self.results: list[bytes] = []
        self.counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
        self.cost_nano_usd = 0
        self.created = now
        self.ended: float | None = None
        self.created_at = _now()
        self.ended_at: datetime.datetime | None = None
        self.cancel_initiated_at: datetime.datetime | None = None
        self.ends = now + course.lifetime_s
        self.canceled = asyncio.Event()

    @property
    def size(self) -> int:
        """How many requests it has."""
        return len(self.custom_ids)

    @property
    def waiting(self) -> int:
        """How many of them wait for their turn."""
        return self.size - len(self.results)

    @property
    def status(self) -> str:
        if self.ended_at is not None:
            return "ended"
        return "in_progress" if self.cancel_initiated_at is None else "canceling"

    def as_json(self, now: float) -> dict[str, Any]:
        """The object as the API gives it: counts stay 0 until the batch has ended."""
        ended = self.ended is not None
        counts = self.counts if ended else dict.fromkeys(self.counts, 0)
        url = f"http://{self.host}/v1/messages/batches/{self.name}/results"
        kept_until = self.created_at + datetime.timedelta(seconds=self.course.kept_s)
        return {
            "id": self.name,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": {"processing": 0 if ended else self.size, **counts},
            "created_at": _stamp(self.created_at),
            "expires_at": _stamp(
                self.created_at + datetime.timedelta(seconds=self.course.lifetime_s)
            ),
            "ended_at": _stamp(self.ended_at),
            "cancel_initiated_at": _stamp(self.cancel_initiated_at),
            "archived_at": _stamp(kept_until) if self.is_archived(now) else None,
            "results_url": url if ended else None,
        }

    def is_hidden(self, now: float) -> bool:
        """Whether the list alone shows it."""
        hidden_s = self.course.hidden_s
        return hidden_s is not None and self.ended is not None and now < self.ended + hidden_s

    def is_archived(self, now: float) -> bool:
        """Whether its results are gone for good."""
        return now >= self.created + self.course.kept_s

    def has_results(self, now: float) -> bool:
        """Whether its results can be read."""
        if self.ended is None or self.is_archived(now):
            return False
        return now >= self.ended + self.course.late_s

    def cancel(self, now: float) -> None:
        """Ends the work on open requests once the time that cancelling takes is over; without
        effect on a batch that has ended."""
        if self.ended is None and self.cancel_initiated_at is None:
            self.cancel_initiated_at = _now()
            self.ends = min(self.ends, now + self.course.cancel_s)
            self.canceled.set()

    def end(self, now: float) -> None:
        """All requests have their results. One clock gives all times: by two, a batch that expired
        had ended before."""
        self.ended = now
        self.ended_at = self.created_at + datetime.timedelta(seconds=now - self.created)

    def add(self, place: int, result: Mapping[str, Any], cost_nano_usd: int) -> None:
        """Notes the result of a request."""
        self.counts[result["type"]] += 1
        self.cost_nano_usd += cost_nano_usd
        self.params[place] = b""
        line = orjson.dumps({"custom_id": self.custom_ids[place], "result": result})
        self.results.append(line + b"\n")


class Batches:
    """The batches by name, and the tasks that work on them. `turn`: who has it works, so that all
    batches and the requests of clients get theirs."""

    def __init__(self, queue: int | None = None) -> None:
        self.by_name: dict[str, Batch] = {}
        self.turn = asyncio.Lock()
        self._queue = queue
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, seed: int, requests: Any, course: Course, now: float) -> Batch:
        """Takes a batch. Raises RefusalError: 400, or 429 for more waiting requests than the queue
        takes."""
        check_requests(requests)
        waiting = sum(batch.waiting for batch in self.by_name.values())
        if self._queue is not None and waiting + len(requests) > self._queue:
            raise RefusalError(
                429,
                f"This request would exceed the limit of {self._queue:,} batch requests that wait"
                f" to be processed: {waiting:,} do. Please try again later.",
            )
        self._count += 1
        name = f"msgbatch_sim{seed:x}n{self._count:06d}"
        custom_ids = [request["custom_id"] for request in requests]
        params = [orjson.dumps(request["params"]) for request in requests]
        batch = self.by_name[name] = Batch(name, custom_ids, params, course, now)
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
