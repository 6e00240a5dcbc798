"""What a failed call says: HTTP status, headers and body of either API to one `CallError`. Pure.

The question behind each row is what would help. Another request: REJECTED, TOO_LARGE. The same one
later: THROTTLED, SERVER, TIMEOUT, CLIENT, CONNECTION. Neither, until a person does something:
ACCOUNT. The table is in docs/operations.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from streams.codec.strict_json import fit
from streams.errors import CallError, Fault
from streams.providers.response_headers import (
    Headers,
    rate_limits,
    reset_after_s,
    retry_after_s,
    should_retry,
)

_BY_STATUS: Final[Mapping[int, Fault]] = {
    401: Fault.ACCOUNT,
    402: Fault.ACCOUNT,
    403: Fault.ACCOUNT,
    404: Fault.ACCOUNT,  # the model, or the address
    405: Fault.ACCOUNT,  # the address
    407: Fault.ACCOUNT,  # a proxy wants a password
    408: Fault.TIMEOUT,
    413: Fault.TOO_LARGE,
    422: Fault.REJECTED,
    429: Fault.THROTTLED,
    529: Fault.THROTTLED,
}

_FINAL: Final = frozenset({Fault.REJECTED, Fault.TOO_LARGE})

_SPEND_LIMIT_CODES: Final = frozenset(
    {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
)
"""Codes of a 429 that lasts until the next month or a new contract, not until the next minute."""

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

_BY_KIND: Final[Mapping[str, Fault]] = {
    "authentication_error": Fault.ACCOUNT,
    "billing_error": Fault.ACCOUNT,
    "permission_error": Fault.ACCOUNT,
    "not_found_error": Fault.ACCOUNT,
    "rate_limit_error": Fault.THROTTLED,
    "overloaded_error": Fault.THROTTLED,
    "api_error": Fault.SERVER,
    "timeout_error": Fault.SERVER,
}
"""Error types of the API that count more than a status of 400, which some gateways put on all."""

_PARAMETERS: Final = (
    r"(output_config|model|max_tokens|thinking|system|tools|tool_choice|temperature|top_p|top_k"
    r"|metadata|service_tier|speed|stream|cache_control|anthropic-version|anthropic-beta"
    r"|output_dimension|output_dtype|input_type|truncation|encoding_format)"
)

# Whole messages of the APIs, for an item may be quoted in any other: a word in it proves nothing.
# Where a part varies, that part is short, or at the end.

_TOO_LARGE: Final = re.compile(
    r"prompt is too long(: [\d,]+ tokens( > [\d,]+ maximum)?)?\.?"
    r"|input length and `max_tokens` exceed context limit: [\d +>,]+\.?.{0,200}"
    r"|Request (to model '[\w.-]{1,80}' failed\. The max allowed tokens per submitted batch is .*"
    r"|exceeds the maximum size.*|body is too large.*)"
    r"|The batch size limit is .*",
    re.IGNORECASE | re.DOTALL,
)

_ACCOUNT: Final = re.compile(
    # Money.
    r"You have reached your specified (API|workspace API) usage limits\."
    r"( You will regain access on [\d-]+( at [\d:]+ UTC)?\.)?"
    r"|Your credit balance is too low( to access the [\w ]{1,40})?\."
    r"( Please go to Plans & Billing[\w ]{0,60}\.?)?"
    r"|You have reached the spend(ing)? limit of your (tier|contract|organization|workspace)\."
    # The schema, the model, parameters: the same in every request of the task.
    r"|Schema is too complex[\w ]{0,40}\.?|The compiled grammar is too large\.?.{0,200}"
    r"|Schemas? contains too many (optional|strict|union)[\w ]{0,40} \(\d+\).{0,200}"
    r"|Model [\w./-]{1,80} is not supported\.( Supported models are .*)?"
    r"|The model [`'][\w./-]{1,80}[`'] does not exist.{0,80}"
    r"|This model does not support [\w ]{1,80}\..{0,200}"
    r"|" + _PARAMETERS + r"(\.[\w.]+)?: .*"
    r"|[`']?" + _PARAMETERS + r"[`']? \S{1,40} is not supported (by|with|for) .{1,120}"
    r"|Argument [`']?" + _PARAMETERS + r"[`']? .{1,200}",
    re.IGNORECASE | re.DOTALL,
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
    retried = should_retry(headers)
    fault = fault_of(status, refusal, retried)
    wait = retry_after_s(headers, now=now)
    if wait is None and fault is Fault.THROTTLED:
        wait = reset_after_s(headers, now=now)
    return CallError(
        fault,
        message_of(status, refusal, headers),
        retry_after_s=wait,
        should_retry=retried,
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


def fault_of(status: int, refusal: Refusal, retried: bool | None = None) -> Fault:
    """`retried`: what `x-should-retry` says. It decides about what is the request's own; what may
    be everybody's is weighed (`streams.core.verdict`)."""
    if status < 400:
        return Fault.CONNECTION  # a redirect that was not followed: no answer of the API
    if refusal.code in _SPEND_LIMIT_CODES:
        return Fault.ACCOUNT
    if status == 429 and _ACCOUNT.fullmatch(refusal.message):
        return Fault.ACCOUNT
    fault = _BY_STATUS.get(status) or (Fault.SERVER if status >= 500 else Fault.CLIENT)
    if status == 400:
        fault = _fault_of_400(refusal)
    if fault in _FINAL and retried:
        return Fault.CLIENT
    is_own = fault in (Fault.CLIENT, Fault.TIMEOUT)
    return Fault.REJECTED if is_own and retried is False else fault


def _fault_of_400(refusal: Refusal) -> Fault:
    if refusal.code in _ACCOUNT_CODES:
        return Fault.ACCOUNT
    if refusal.kind in _BY_KIND:
        return _BY_KIND[refusal.kind]
    if _TOO_LARGE.fullmatch(refusal.message):
        return Fault.TOO_LARGE
    return Fault.ACCOUNT if _ACCOUNT.fullmatch(refusal.message) else Fault.REJECTED


def no_message(
    status: int, headers: Headers, body: Any, *, now: datetime, what: str = "no JSON"
) -> CallError:
    """The error for a success that is no message of the API: somebody else answers, a proxy or a
    login page, or it was cut on the way. `body`: as decoded JSON; None: it is not, but `what`."""
    refusal = read_refusal(body)
    if refusal.kind in _BY_KIND:
        what = f"an error ({refusal.kind})"
    elif body is not None:
        what = "JSON of another form"
    return CallError(
        Fault.CONNECTION,
        f"HTTP {status} with {what} in place of an answer",
        retry_after_s=retry_after_s(headers, now=now),
        status=status,
    )


def message_of(status: int, refusal: Refusal, headers: Headers) -> str:
    """One line for a person."""
    message = " ".join(refusal.message.split())
    line = f"HTTP {status}"
    if refusal.kind or refusal.code:
        line += f" {refusal.code or refusal.kind}"
    if status < 400:
        line += ", a redirect that is not followed"
    else:
        line += f": {message[:300]}" if message else ", without a message of the API"
    request_id = headers.get("request-id") or headers.get("x-request-id")
    return f"{line} (request {request_id[:64]})" if request_id else line


def _text(value: Any) -> str:
    return fit(value) if isinstance(value, str) else ""
