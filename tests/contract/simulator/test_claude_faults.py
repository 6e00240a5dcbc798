"""Every scripted error and broken connection as the Anthropic SDK meets it."""

from __future__ import annotations

import anthropic
import pytest

from streams.simulator.fault_names import STATUSES
from tests.contract.simulator.asking import microbatch, results_of, texts

ERRORS = {
    "bad_request": (anthropic.BadRequestError, 400, "invalid_request_error"),
    "spend_limit": (anthropic.BadRequestError, 400, "invalid_request_error"),
    "unauthorized": (anthropic.AuthenticationError, 401, "authentication_error"),
    "billing": (anthropic.PaymentRequiredError, 402, "billing_error"),
    "forbidden": (anthropic.PermissionDeniedError, 403, "permission_error"),
    "not_found": (anthropic.NotFoundError, 404, "not_found_error"),
    "method_not_allowed": (anthropic.APIStatusError, 405, "api_error"),
    "request_timeout": (anthropic.RequestTimeoutError, 408, "timeout_error"),
    "conflict": (anthropic.ConflictError, 409, "conflict_error"),
    "too_large": (anthropic.ContentTooLargeError, 413, "request_too_large"),
    "unprocessable": (anthropic.UnprocessableEntityError, 422, "invalid_request_error"),
    "rate_limited": (anthropic.RateLimitError, 429, "rate_limit_error"),
    "ramp_limit": (anthropic.RampLimitExceededError, 429, "rate_limit_error"),
    "spend_cap": (anthropic.EnforcedSpendLimitReachedError, 429, "rate_limit_error"),
    "contract_cap": (anthropic.ContractSpendLimitReachedError, 429, "rate_limit_error"),
    "server_error": (anthropic.InternalServerError, 500, "api_error"),
    "bad_gateway": (anthropic.InternalServerError, 502, "api_error"),
    "unavailable": (anthropic.ServiceUnavailableError, 503, "api_error"),
    "gateway_timeout": (anthropic.GatewayTimeoutError, 504, "timeout_error"),
    "overloaded": (anthropic.OverloadedError, 529, "overloaded_error"),
}


def test_every_error_by_script_is_tested_here():
    assert set(ERRORS) == set(STATUSES)


async def failure(client, **changes):
    """The error that one call raises."""
    with pytest.raises(anthropic.AnthropicError) as caught:
        await client.messages.create(**microbatch(texts(2), **changes))
    return caught.value


@pytest.mark.parametrize("fault", ERRORS)
async def test_is_raised_as_the_sdks_own_error(start, claude, fault):
    """With its status, type and request id, and without a retry-after that nobody asked for."""
    error_class, status, kind = ERRORS[fault]
    simulator = await start(script=[{"fault": fault}])
    error = await failure(claude(simulator))
    assert type(error) is error_class
    assert (error.status_code, error.type) == (status, kind)
    assert error.request_id == "req_sim0n00000001"
    assert "retry-after" not in error.response.headers
    assert simulator.state()["by_status"] == {str(status): 1}
    assert simulator.state()["by_fault"] == {fault: 1}
    assert simulator.state()["cost_usd"] == 0


async def test_a_users_spend_limit_is_a_400_that_says_so(start, claude):
    error = await failure(claude(await start(script=[{"fault": "spend_limit"}])))
    assert error.api_message.startswith("You have reached your specified API usage limits")


async def test_a_spend_cap_is_a_429_with_its_code_and_no_retry_after(start, claude):
    error = await failure(claude(await start(script=[{"fault": "spend_cap"}])))
    assert error.error_code == "enforced_spend_limit_reached"


@pytest.mark.parametrize(
    ("given", "header", "value"),
    [
        ({"retry_after_s": 2}, "retry-after", "2"),
        ({"retry_after_s": 0.5}, "retry-after", "0.5"),
        ({"retry_after_ms": 30}, "retry-after-ms", "30"),
        ({"should_retry": False}, "x-should-retry", "false"),
    ],
)
async def test_the_script_may_say_when_to_try_again(start, claude, given, header, value):
    error = await failure(claude(await start(script=[{"fault": "rate_limited", **given}])))
    assert error.response.headers[header] == value


async def test_the_sdks_own_retry_follows_retry_after_ms_and_is_seen_in_the_journal(start, claude):
    rule = {"fault": "overloaded", "retry_after_ms": 30, "times": 2}
    simulator = await start(script=[rule])
    client = claude(simulator, max_retries=2)
    message = await client.messages.create(**microbatch(texts(2)))
    assert len(results_of(message)) == 2
    records = list(simulator.simulation.journal.since(0))
    assert [(record["attempt"], record["status"]) for record in records] == [
        (0, 529),
        (1, 529),
        (2, 200),
    ]


async def test_a_502_in_html_has_no_type_but_a_body(start, claude):
    error = await failure(claude(await start(script=[{"fault": "bad_gateway_html"}])))
    assert isinstance(error, anthropic.InternalServerError)
    assert error.status_code == 502
    assert error.type is None
    assert "<html>" in error.response.text


async def test_any_other_status_and_body_can_be_scripted(start, claude):
    rule = {"fault": "status", "status": 418, "body": "tea", "content_type": "text/plain"}
    error = await failure(claude(await start(script=[rule])))
    assert error.status_code == 418
    assert error.response.text == "tea"


async def test_a_call_that_hangs_ends_with_the_clients_timeout(start, claude):
    """The journal then shows it as gone, and it is not open any more."""
    simulator = await start(script=[{"fault": "hang"}])
    error = await failure(claude(simulator, timeout=0.2))
    assert isinstance(error, anthropic.APITimeoutError)
    await simulator.idle()
    assert simulator.state()["by_status"] == {"499": 1}


@pytest.mark.parametrize("billed", [False, True])
async def test_a_call_that_hangs_may_have_been_charged(start, claude, billed):
    """As the real API charges a call whose client went away."""
    simulator = await start(script=[{"fault": "hang", "billed": billed}])
    await failure(claude(simulator, timeout=0.2))
    await simulator.idle()
    state = simulator.state()
    assert (state["cost_usd"] > 0) is billed
    assert state["items_answered"] == 0


async def test_a_delay_comes_on_top_of_the_latency(start, claude):
    simulator = await start(script=[{"fault": "delay", "delay_ms": 120, "calls": 1}], latency_ms=30)
    client = claude(simulator)
    for _ in range(2):
        await client.messages.create(**microbatch(texts(1)))
    delayed, ordinary = simulator.simulation.journal.since(0)
    assert (delayed["fault"], ordinary["fault"]) == ("delay", "")
    assert delayed["ended_at"] - delayed["arrived_at"] >= 0.15
    assert ordinary["ended_at"] - ordinary["arrived_at"] >= 0.03


@pytest.mark.parametrize("fault", ["reset", "reset_after_headers", "truncated_body"])
async def test_a_connection_that_breaks_is_a_connection_error(start, claude, fault):
    simulator = await start(script=[{"fault": fault, "times": 1}])
    client = claude(simulator)
    error = await failure(client)
    assert type(error) is anthropic.APIConnectionError
    message = await client.messages.create(**microbatch(texts(2)))
    assert len(results_of(message)) == 2
    assert simulator.state()["by_status"] == {("0" if fault == "reset" else "200"): 1} | {
        "200": 1 if fault == "reset" else 2
    }
    assert simulator.state()["items_answered"] == 2


async def test_an_empty_or_cut_body_is_a_reply_that_cannot_be_read(start, claude):
    rules = [{"fault": "empty_body", "calls": 1}, {"fault": "invalid_body", "calls": 2}]
    client = claude(await start(script=rules))
    for _ in rules:
        with pytest.raises((anthropic.APIResponseValidationError, ValueError)):
            await client.messages.create(**microbatch(texts(2)))
