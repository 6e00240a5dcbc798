"""Records every request: counts for ever, the last requests in memory, all of them in a file."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from streams.errors import UsageError
from streams.simulator.calls import Call
from streams.simulator.catalogue import NANO_USD

CLIENT_CLOSED = 499
"""The status of a request whose client went away before it was answered."""


def item_hash(text: str) -> str:
    """An item in the journal: the first 16 hex digits of the SHA-256 of its text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Journal:
    """Counts and records. `begin` and `end` bracket every request. Raises UsageError for a file
    that cannot be written."""

    def __init__(self, size: int, path: Path | None, count_items: bool) -> None:
        self._file = None if path is None else _opened(path)
        self._records: deque[dict[str, Any]] = deque(maxlen=size)
        self._count_items = count_items
        self.idle = asyncio.Event()
        self._clear()

    def _clear(self) -> None:
        self._records.clear()
        self.requests = 0
        self.open: set[Call] = set()
        self.idle.set()
        self.concurrent: Counter[str] = Counter()
        self.max_concurrent: Counter[str] = Counter()
        self.by_endpoint: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.by_limit: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.answers_per_item: Counter[str] = Counter()

    def next_number(self) -> int:
        self.requests += 1
        return self.requests

    def begin(self, call: Call) -> None:
        """The request has arrived: it is open now."""
        if call.counted:
            self.open.add(call)
            self.idle.clear()
            for name in ("all", call.endpoint):
                now = self.concurrent[name] = self.concurrent[name] + 1
                if now > self.max_concurrent[name]:
                    self.max_concurrent[name] = now
            call.concurrent = self.concurrent["all"]

    def end(self, call: Call) -> None:
        """The request has its reply, or will never have one."""
        if call in self.open:
            self.open.discard(call)
            if not self.open:
                self.idle.set()
            for name in ("all", call.endpoint):
                self.concurrent[name] -= 1
        self.by_endpoint[call.endpoint] += 1
        self.by_status[call.status] += 1
        if call.fault:
            self.by_fault[call.fault] += 1
        if call.limit:
            self.by_limit[call.limit] += 1
        self.bill(call)
        hashes = [item_hash(item.text) for item in call.items]
        if self._count_items and call.answered:
            self.answers_per_item.update(hashes)
        record = _record(call, hashes)
        self._records.append(record)
        if self._file is not None:
            self._file.write(orjson.dumps(record) + b"\n")
            self._file.flush()

    def bill(self, call: Call) -> None:
        """Adds the call's tokens and cost to the totals."""
        totals = self.totals
        totals["calls"] += call.counted
        totals["items"] += len(call.items)
        totals["items_answered"] += call.answered
        totals["input_tokens"] += call.input_tokens
        totals["output_tokens"] += call.output_tokens
        totals["cost_nano_usd"] += call.cost_nano_usd
        totals["unpriced_calls"] += not call.priced

    def since(self, n: int) -> Iterator[dict[str, Any]]:
        """The requests in memory with a number above `n`, in the order in which they ended."""
        return (record for record in self._records if record["n"] > n)

    def state(self) -> dict[str, Any]:
        """The counts since the start or the last reset."""
        totals = self.totals
        return {
            "requests": self.requests,
            "calls": totals["calls"],
            "open": self.concurrent["all"],
            "max_concurrent": self.max_concurrent["all"],
            "max_concurrent_by_endpoint": _without_all(self.max_concurrent),
            "by_endpoint": dict(self.by_endpoint),
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "by_fault": dict(self.by_fault),
            "by_limit": dict(self.by_limit),
            "items": totals["items"],
            "items_answered": totals["items_answered"],
            "input_tokens": totals["input_tokens"],
            "output_tokens": totals["output_tokens"],
            "cost_usd": totals["cost_nano_usd"] / NANO_USD,
            "unpriced_calls": totals["unpriced_calls"],
            **self._per_item(),
        }

    def _per_item(self) -> dict[str, Any]:
        if not self._count_items:
            return {}
        counts = self.answers_per_item
        return {
            "distinct_items_answered": len(counts),
            "items_answered_more_than_once": sum(count > 1 for count in counts.values()),
            "most_answers_of_one_item": max(counts.values(), default=0),
        }

    def reset(self) -> None:
        """Forgets everything but the file. Requests that are open now are not counted any more."""
        self._clear()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise UsageError(f"ledger {path}: {error.strerror}") from None


def _without_all(counts: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name != "all"}


def _record(call: Call, hashes: Iterable[str]) -> dict[str, Any]:
    return {
        "n": call.n,
        "request_id": call.request_id,
        "arrived_at": call.arrived_at,
        "ended_at": call.ended_at,
        "endpoint": call.endpoint,
        "provider": call.provider,
        "model": call.model,
        "status": call.status,
        "fault": call.fault,
        "limit": call.limit,
        "concurrent": call.concurrent,
        "attempt": int(call.headers.get("x-stainless-retry-count") or 0),
        "items": hashes,
        "ids": [item.id for item in call.items],
        "answered": call.answered,
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "cost_nano_usd": call.cost_nano_usd,
    }
