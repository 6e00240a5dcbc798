"""What each failed response says: status, headers and body to one fault."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CallError, Fault
from streams.providers.sdk_faults import call_error
from tests.operations.conftest import at_leisure

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def error(
    status: int, message: str = "", *, code: str | None = None, headers: Any = None
) -> CallError:
    body = {"error": {"type": "t", "message": message, "details": {"error_code": code}}}
    return call_error(status, headers or {}, body, now=NOW)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, Fault.REJECTED),
        (401, Fault.ACCOUNT),
        (402, Fault.ACCOUNT),
        (403, Fault.ACCOUNT),
        (404, Fault.ACCOUNT),
        (405, Fault.ACCOUNT),
        (407, Fault.ACCOUNT),
        (408, Fault.TIMEOUT),
        (409, Fault.CLIENT),
        (413, Fault.TOO_LARGE),
        (422, Fault.REJECTED),
        (429, Fault.THROTTLED),
        (418, Fault.CLIENT),
        (425, Fault.CLIENT),
        (499, Fault.CLIENT),
        (500, Fault.SERVER),
        (501, Fault.SERVER),
        (502, Fault.SERVER),
        (503, Fault.SERVER),
        (504, Fault.SERVER),
        (505, Fault.SERVER),
        (520, Fault.SERVER),
        (529, Fault.THROTTLED),
        (302, Fault.CONNECTION),
    ],
)
def test_every_status_has_its_fault(status, fault):
    assert error(status).fault is fault
    assert error(status).status == status


@pytest.mark.parametrize(
    "message",
    [
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        "Schema is too complex for compilation.",
        "output_config.format.schema: The compiled grammar is too large.",
        "output_config.format.schema: For 'array' type, property 'maxItems' is not supported",
        "Schemas contains too many optional parameters (30); the limit is 24.",
        "thinking.type: disabled is not supported by claude-opus-5-5: it always thinks",
        "temperature: Extra inputs are not permitted",
        "max_tokens: 99999 > 64000, which is the maximum allowed number of output tokens",
        "model: String should have at least 1 character",
        "Model voyage-9 is not supported. Supported models are ['voyage-4', 'voyage-4-lite'].",
        "The model `x` does not exist",
        "output_dimension 300 is not supported for voyage-4",
        "Argument 'input_type' must be one of query, document",
        "This model does not support assistant message prefill.",
    ],
)
def test_a_400_that_every_request_would_get_is_the_accounts_not_the_items(message):
    """Taken for the item's fault, it would drain the topic into the dead letters."""
    assert error(400, message).fault is Fault.ACCOUNT


@pytest.mark.parametrize(
    "message",
    [
        "messages.0.content: Input should be a valid list",
        "messages: text content blocks must be non-empty",
        "messages.0: my credit balance is too low",
        "input: texts must not be empty",
        "The request body is not valid JSON",
        "The text 'Refund my billing, the credit balance is too low' is not allowed",
        "Blocked by policy: billing",
        "billing",
        "Content policy: 'You have reached your specified API usage limits.' was found in item 3",
        "The prompt quotes: schema is too complex for compilation",
        "This text is about an invalid model of economics",
        "Could not process the request",
        "",
    ],
)
def test_any_other_400_may_be_the_items(message):
    assert error(400, message).fault is Fault.REJECTED


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000",
        "Request to model 'voyage-4' failed. The max allowed tokens per submitted batch is 320000. "
        "Your batch has 400000 tokens after truncation.",
    ],
)
def test_a_400_about_length_is_too_large(message):
    assert error(400, message).fault is Fault.TOO_LARGE


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("billing_error", Fault.ACCOUNT),
        ("permission_error", Fault.ACCOUNT),
        ("rate_limit_error", Fault.THROTTLED),
        ("overloaded_error", Fault.THROTTLED),
        ("invalid_request_error", Fault.REJECTED),
    ],
)
def test_an_error_type_of_the_api_counts_more_than_a_400(kind, fault):
    body = {"type": "error", "error": {"type": kind, "message": "messages: no"}}
    assert call_error(400, {}, body, now=NOW).fault is fault


@pytest.mark.parametrize("status", [400, 408, 409, 413, 418, 422, 499])
def test_x_should_retry_decides_about_what_is_the_requests_own(status):
    again = Fault.TIMEOUT if status == 408 else Fault.CLIENT
    assert error(status, headers={"x-should-retry": "true"}).fault is again
    final = Fault.TOO_LARGE if status == 413 else Fault.REJECTED
    assert error(status, headers={"x-should-retry": "false"}).fault is final


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, 529])
@pytest.mark.parametrize("said", ["true", "false", "", "maybe"])
def test_x_should_retry_makes_no_items_fault_of_what_may_be_everybodys(status, said):
    """An outage whose responses say "false" would fill the dead letters."""
    made = error(status, headers={"x-should-retry": said})
    assert made.fault is error(status).fault
    assert made.should_retry is {"true": True, "false": False}.get(said)


def test_a_quotation_in_a_429_says_nothing_about_spend_limits():
    assert error(429, "the text 'raise my spend limit' came too fast").fault is Fault.THROTTLED
    assert error(429, "You have reached the spend limit of your tier.").fault is Fault.ACCOUNT


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_429_at_a_spend_cap_is_the_accounts(code):
    """It lasts until the next month, not until the next minute."""
    assert error(429, code=code).fault is Fault.ACCOUNT


def test_a_429_of_growing_too_fast_is_a_wait():
    assert error(429, code="ramp_limit_exceeded").fault is Fault.THROTTLED


def test_a_429_of_an_account_without_a_payment_method_is_a_wait():
    message = "You have not yet added your payment method in the billing page: 3 RPM and 10K TPM."
    assert error(429, message).fault is Fault.THROTTLED


@pytest.mark.parametrize("code", ["organization_on_hold", "workspace_policy_violation"])
def test_codes_of_the_account_count_whatever_the_message(code):
    assert error(400, "messages: no", code=code).fault is Fault.ACCOUNT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        # The server's clock is an hour ahead: its dates count from its own.
        ({"retry-after": "Sun, 22 Nov 2026 13:00:30 GMT",
          "date": "Sun, 22 Nov 2026 13:00:00 GMT"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_wait_that_the_api_asks_for(headers, seconds):
    assert error(429, headers=headers).retry_after_s == seconds
    assert error(503, headers=headers).retry_after_s == seconds


def test_a_429_without_retry_after_waits_for_the_limit_that_is_used_up():
    headers = {
        "anthropic-ratelimit-requests-remaining": "10",
        "anthropic-ratelimit-requests-reset": "2026-11-22T12:05:00Z",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-22T12:00:20Z",
    }
    assert error(429, headers=headers).retry_after_s == 20.0
    assert error(429, headers={**headers, "retry-after": "3"}).retry_after_s == 3.0
    assert error(500, headers=headers).retry_after_s is None


def test_a_redirect_says_that_it_is_one():
    assert call_error(302, {}, None, now=NOW).message == "HTTP 302, a redirect that is not followed"


def test_the_message_is_one_line_with_status_code_and_request():
    said = error(403, "Not\n allowed", headers={"request-id": "req_1"}).message
    assert said == "HTTP 403 t: Not allowed (request req_1)"


@pytest.mark.parametrize(
    "body",
    [None, "<html>", b"x", [], 7, {"error": None}, {"error": {"message": 7}}, {"detail": []}],
)
def test_a_body_of_any_form_gives_an_error_by_its_status(body):
    made = call_error(502, {}, body, now=NOW)
    assert made.fault is Fault.SERVER
    assert made.message == "HTTP 502, without a message of the API"


def test_voyages_form_of_an_error_is_read():
    made = call_error(400, {}, {"detail": "Model x is not supported."}, now=NOW)
    assert made.fault is Fault.ACCOUNT
    assert made.message == "HTTP 400: Model x is not supported."


@at_leisure
@given(
    st.integers(-1, 999),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()),
    st.text() | st.dictionaries(st.sampled_from(["error", "detail"]), st.text() | st.none()),
)
def test_no_response_makes_the_mapping_fail(status, headers, body):
    made = call_error(status, headers, body, now=NOW)
    assert made.retry_after_s is None or made.retry_after_s >= 0
