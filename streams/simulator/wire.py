"""The data on the wire: one reply as a value, and the error bodies of both APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import orjson

Provider = Literal["anthropic", "voyage"]

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"

ERROR_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The `error.type` of each status of the Anthropic API."""


class Reply(NamedTuple):
    """One HTTP response. `headers`: those beyond Content-Type, Content-Length and request-id."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    content_type: str = JSON


class RefusalError(Exception):
    """The API refuses: the request gets this status instead of a result.

    `error_code`: the value of `error.details.error_code` (Anthropic alone); None: no details.
    `limit`: the limit that refuses; "": none does.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_code: str | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str = "",
    ) -> None:
        self.status = status
        self.message = message
        self.error_code = error_code
        self.headers = headers or {}
        self.limit = limit
        super().__init__(f"{status}: {message}")


def error_object(refusal: RefusalError, request_id: str) -> dict[str, Any]:
    """The error of the Anthropic API, as it stands in a response and in a batch's result."""
    error: dict[str, Any] = {
        "type": ERROR_TYPES.get(refusal.status, "api_error"),
        "message": refusal.message,
    }
    if refusal.error_code is not None:
        error["details"] = {"error_code": refusal.error_code}
    return {"type": "error", "error": error, "request_id": request_id}


def refuse(refusal: RefusalError, provider: Provider, request_id: str) -> Reply:
    """The response that carries `refusal` in the form of the API that was called."""
    if provider == "voyage":
        body = orjson.dumps({"detail": refusal.message})
    else:
        body = orjson.dumps(error_object(refusal, request_id))
    return Reply(refusal.status, body, refusal.headers)
