"""One line of a batch's results: whose it is, and what it says.

https://platform.claude.com/docs/en/api/messages/batches/results
"""

from __future__ import annotations

from typing import Any, NamedTuple

from streams.codec.strict_json import read
from streams.errors import CallError, Fault
from streams.providers.sdk_faults import fault_of, read_refusal


class BatchResult(NamedTuple):
    """`outcome`: the API's message, not checked; a CallError where there is none. That of an
    expired or a cancelled request is RETRY: it was not made."""

    custom_id: str
    outcome: Any


def read_result(line: bytes) -> BatchResult:
    """Raises ValueError for a line that is none of the API's."""
    facts = read(line)
    try:
        custom_id, result = facts["custom_id"], facts["result"]
        kind = result["type"]
        if kind == "succeeded":
            return BatchResult(custom_id, result["message"])
        failure = _errored(result["error"]) if kind == "errored" else _not_made(str(kind))
    except (TypeError, LookupError) as error:
        raise ValueError("a line of the results has another form") from error
    return BatchResult(custom_id, failure)


def _not_made(kind: str) -> CallError:
    return CallError(Fault.RETRY, f"the request has {kind} in its batch", retry_after_s=0.0)


def _errored(error: Any) -> CallError:
    refusal = read_refusal(error)
    fault = fault_of(400, refusal)  # the kind of the error counts: there is no status
    if refusal.kind == "request_too_large":
        fault = Fault.TOO_LARGE
    message = " ".join(refusal.message.split())[:300]
    return CallError(fault, f"{refusal.kind or 'an error'} in its batch: {message}")
