"""The words of a script: every fault by its kind, every endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STATUSES: Final[Mapping[str, tuple[int, str, str | None]]] = {
    "bad_request": (400, "The request could not be processed.", None),
    "spend_limit": (
        400,
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 "
        "at 00:00 UTC.",
        None,
    ),
    "unauthorized": (401, "invalid x-api-key", None),
    "billing": (402, "Your credit balance is too low to access the API.", None),
    "forbidden": (403, "Your API key does not have permission to use the resource.", None),
    "not_found": (404, "model: not found", None),
    "method_not_allowed": (405, "Method Not Allowed", None),
    "request_timeout": (408, "The request took too long to arrive.", None),
    "conflict": (409, "The request conflicts with another.", None),
    "too_large": (413, "Request exceeds the maximum size", None),
    "unprocessable": (422, "The request is malformed.", None),
    "rate_limited": (429, "This request would exceed your rate limit.", None),
    "ramp_limit": (429, "Your usage is growing too fast.", "ramp_limit_exceeded"),
    "spend_cap": (
        429,
        "You have reached the spend limit of your tier.",
        "enforced_spend_limit_reached",
    ),
    "contract_cap": (
        429,
        "You have reached the spend limit of your contract.",
        "contract_spend_limit_reached",
    ),
    "server_error": (500, "Internal server error", None),
    "bad_gateway": (502, "Bad gateway", None),
    "unavailable": (503, "Service unavailable", None),
    "gateway_timeout": (504, "The request timed out.", None),
    "overloaded": (529, "Overloaded", None),
}
"""Faults that are an error reply: status, message, `error.details.error_code`."""

HTML: Final = frozenset(("bad_gateway_html", "rate_limited_html"))
"""Error replies in HTML, as a proxy in between makes them: 502 and 429."""
DISGUISED: Final = frozenset(("redirect", "login_page", "error_body", "other_body"))
"""Somebody else answers: a redirect; a page, an error object or other JSON with status 200."""
CONNECTION: Final = frozenset(("hang", "reset"))
"""No reply at all: never answered; connection reset."""
BODY: Final = frozenset(
    ("reset_after_headers", "truncated_body", "empty_body", "invalid_body", "cut_gzip")
)
"""The answer's body does not arrive as it should."""
MESSAGE: Final = frozenset(
    [
        "refusal",
        "max_tokens",
        "thinking_first",
        "unknown_block",
        "empty_content",
        "fenced",
        "trailing_prose",
        "invalid_json",
    ]
)
"""The message differs from what the client needs (Anthropic)."""
RECORDS: Final = frozenset(
    [
        "missing",
        "duplicate",
        "conflicting",
        "extra",
        "unknown_id",
        "reordered",
        "enum_case",
        "outside_enum",
        "wrong_type",
        "contagion",
    ]
)
"""The records within a structured answer are wrong (Anthropic)."""
VECTORS: Final = frozenset(("short_reply", "wrong_dimension", "reordered_index"))
"""The vectors differ from the request (Voyage)."""
BATCHES: Final = frozenset(
    ("slow_batch", "stalled_batch", "slow_cancel", "late_results", "hidden_batch")
)
"""How a Message Batch goes; a rule counts the batches that are created."""
RESULTS: Final = frozenset(("short_results", "blank_lines"))
"""The lines of a batch's results are not as they should be."""
FAULTS: Final = frozenset(
    (
        *STATUSES,
        *HTML,
        *DISGUISED,
        *CONNECTION,
        *BODY,
        *MESSAGE,
        *RECORDS,
        *VECTORS,
        *BATCHES,
        *RESULTS,
        "status",
        "delay",
        "expired",
    )
)
"""Every fault. `status`: any status and body; `expired`: of a request in a Message Batch."""

MODEL_CALLS: Final = frozenset(
    ("messages", "count_tokens", "embeddings", "contextualized", "multimodal", "rerank")
)
"""The endpoints that rules without `endpoint` apply to."""
ENDPOINTS: Final = MODEL_CALLS | frozenset(
    ("batches", "batch", "batch_results", "batch_request", "models", "other", "*")
)
