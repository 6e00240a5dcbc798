"""What a failed call says: HTTP status, headers and body of either API to one `CallError`. Pure.

The question behind each row is what would help. Another request: REJECTED, TOO_LARGE. The same one
later: THROTTLED, SERVER, TIMEOUT, CONNECTION. Neither, until a person does something: ACCOUNT. That
pauses the task, where otherwise its topic would drain into the dead letters. The table is in
docs/operations.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from streams.codec.strict_json import fit
from streams.errors import CallError, Fault
from streams.providers.response_headers import Headers, rate_limits, reset_after_s, retry_after_s

_BY_STATUS: Final[Mapping[int, Fault]] = {
    401: Fault.ACCOUNT,
    402: Fault.ACCOUNT,
    403: Fault.ACCOUNT,
    404: Fault.ACCOUNT,  # the model, or the address
    405: Fault.ACCOUNT,  # the address
    407: Fault.ACCOUNT,  # a proxy wants a password
    408: Fault.TIMEOUT,
    413: Fault.TOO_LARGE,
    429: Fault.THROTTLED,
    529: Fault.THROTTLED,
}

_SPEND_LIMIT_CODES: Final = frozenset(
    {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
)
"""Codes of a 429 that lasts until the next month or a new contract, not until the next minute."""

_SPEND_LIMIT_MESSAGE: Final = re.compile(r"spend(ing)? limit", re.IGNORECASE)
"""The same without a code. Not "billing": Voyage speaks of it in the 429 of any new account."""

_ACCOUNT_CODES: Final = frozenset(
    {
        "cmek_key_disabled",
        "cmek_key_network_blocked",
        "key_profile_mismatch",
        "organization_not_enrolled_in_beta",
        "organization_on_hold",
        "organization_type_not_supported",
        "user_profile_not_found",
        "user_profile_required",
        "workspace_policy_violation",
    }
)

_OF_ITEMS: Final = re.compile(r"\W*(messages|input|texts)\b", re.IGNORECASE)
"""A message that starts like this is about the items, whatever words follow."""

_TOO_LARGE: Final = re.compile(
    r"prompt is too long|exceed(s|ed)? (the )?(model'?s )?(maximum )?context|context (limit|length)"
    r"|max(imum)? allowed tokens|too many tokens|request (is |body )?too large|batch size limit",
    re.IGNORECASE,
)

_ACCOUNT: Final = re.compile(
    # Money.
    r"api usage limits|spend(ing)? limit|credit balance|purchase credits|billing"
    # The schema, the model, parameters: the same in every request of the task.
    r"|schema is too complex|grammar is too large|^schemas? contains|too many (optional|strict)"
    r"|invalid model|model \S+ (is not supported|does not exist|not found)"
    r"|not a (valid|supported) model|extra inputs are not permitted|unsupported parameter"
    r"|^[`']?(output_config|model|max_tokens|thinking|system|tools|tool_choice|temperature|top_p"
    r"|top_k|metadata|service_tier|speed|stream|cache_control|anthropic-version|anthropic-beta"
    r"|output_dimension|output_dtype|input_type|truncation|encoding_format)\b"
    r"|\b(output_dimension|output dimension|output_dtype|input_type)\b"
    r"|this model does not support|is not supported (by|with|for) ",
    re.IGNORECASE,
)


class Refusal(NamedTuple):
    """The fields of an error's body; all of them may be missing."""

    kind: str = ""
    code: str = ""
    message: str = ""


def call_error(status: int, headers: Headers, body: Any, *, now: datetime) -> CallError:
    """The error for a failed response: `body` as decoded JSON, or as text or None.

    Never raises. `now`: the wall clock, for dates among the headers if the response has no `Date`
    of its own.
    """
    refusal = read_refusal(body)
    fault = fault_of(status, refusal)
    wait = retry_after_s(headers, now=now)
    if wait is None and fault is Fault.THROTTLED:
        wait = reset_after_s(headers, now=now)
    return CallError(
        fault,
        message_of(status, refusal, headers),
        retry_after_s=wait,
        status=status,
        rate_limits=rate_limits(headers, now=now),
    )


def read_refusal(body: Any) -> Refusal:
    """Both APIs' forms: `{"error": {"type", "message", "details"}}` and `{"detail": ...}`."""
    if not isinstance(body, Mapping):
        return Refusal()
    error = body.get("error")
    if isinstance(error, Mapping):
        details = error.get("details")
        code = details.get("error_code") if isinstance(details, Mapping) else None
        return Refusal(_text(error.get("type")), _text(code), _text(error.get("message")))
    for name in ("detail", "message", "error"):
        if isinstance(body.get(name), str):
            return Refusal(message=body[name])
    return Refusal()


def fault_of(status: int, refusal: Refusal) -> Fault:
    if refusal.code in _SPEND_LIMIT_CODES:
        return Fault.ACCOUNT
    if status == 429 and _SPEND_LIMIT_MESSAGE.search(refusal.message):
        return Fault.ACCOUNT
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 400:
        return _fault_of_400(refusal)
    if 400 <= status < 500:
        return Fault.REJECTED
    # A status below 400 is not an answer of this API: a redirect that was not followed.
    return Fault.SERVER if status >= 500 else Fault.ACCOUNT


def _fault_of_400(refusal: Refusal) -> Fault:
    if refusal.code in _ACCOUNT_CODES:
        return Fault.ACCOUNT
    if _TOO_LARGE.search(refusal.message):
        return Fault.TOO_LARGE
    if not _OF_ITEMS.match(refusal.message) and _ACCOUNT.search(refusal.message):
        return Fault.ACCOUNT
    return Fault.REJECTED


def message_of(status: int, refusal: Refusal, headers: Headers) -> str:
    """One line for a person."""
    message = " ".join(refusal.message.split())
    line = f"HTTP {status}"
    if refusal.kind or refusal.code:
        line += f" {refusal.code or refusal.kind}"
    line += f": {message[:300]}" if message else ", without a message of the API"
    request_id = headers.get("request-id") or headers.get("x-request-id")
    return f"{line} (request {request_id[:64]})" if request_id else line


def _text(value: Any) -> str:
    return fit(value) if isinstance(value, str) else ""
