"""A Message Batch as the API shows it, read without the SDK's types: they judge nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from streams.providers.batch_port import BatchStatus

_ENDS: Final = ("succeeded", "errored", "canceled", "expired")


def status_of(reply: Any) -> BatchStatus | None:
    """None: the reply is no batch."""
    if not isinstance(reply, Mapping) or reply.get("type") != "message_batch":
        return None
    counts, created_at = reply.get("request_counts"), _milliseconds(reply.get("created_at"))
    if not isinstance(counts, Mapping) or created_at is None or not isinstance(reply["id"], str):
        return None
    ends = {name: _count(counts.get(name)) for name in _ENDS}
    url = reply.get("results_url")
    return BatchStatus(
        reply["id"],
        reply.get("processing_status") == "ended",
        _count(counts.get("processing")) + sum(ends.values()),
        created_at,
        results_url=url if isinstance(url, str) else None,
        **ends,
    )


def page_of(reply: Any) -> tuple[list[BatchStatus], str | None] | None:
    """The batches of one page, and the last one's id if older ones follow; None: it is no page."""
    data = reply.get("data") if isinstance(reply, Mapping) else None
    if not isinstance(data, list):
        return None
    found = [status_of(each) for each in data]
    batches = [status for status in found if status is not None]
    if len(batches) < len(found):
        return None
    more = bool(reply.get("has_more")) and bool(batches)
    return batches, batches[-1].id if more else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _milliseconds(value: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
