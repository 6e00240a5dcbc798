"""Every scripted fault as the Voyage SDK meets it, traps included."""

from __future__ import annotations

import aiohttp
import numpy as np
import pytest
import voyageai

error = voyageai.error

ERRORS = {
    "bad_request": (error.InvalidRequestError, 400),
    "unauthorized": (error.AuthenticationError, 401),
    "forbidden": (error.APIError, 403),
    "unprocessable": (error.MalformedRequestError, 422),
    "rate_limited": (error.RateLimitError, 429),
    "server_error": (error.ServerError, 500),
    "bad_gateway": (error.ServiceUnavailableError, 502),
    "unavailable": (error.ServiceUnavailableError, 503),
    "gateway_timeout": (error.ServiceUnavailableError, 504),
}


async def embed(client, count=3, **changes):
    asked = [f"text {number}" for number in range(1, count + 1)]
    return await client.embed(**{"texts": asked, "model": "voyage-4", **changes})


@pytest.mark.parametrize("fault", ERRORS)
async def test_is_raised_as_the_sdks_own_error(start, voyage, fault):
    """With its status and the detail."""
    error_class, status = ERRORS[fault]
    simulator = await start(script=[{"fault": fault, "message": "because"}])
    with pytest.raises(error.VoyageError) as caught:
        await embed(voyage(simulator))
    assert type(caught.value) is error_class
    assert caught.value.http_status == status
    # The SDK does not look into the body of a 5xx.
    assert caught.value.json_body == (None if status >= 500 else {"detail": "because"})
    assert simulator.state()["by_status"] == {str(status): 1}


async def test_a_429_in_html_is_no_rate_limit_error(start, voyage):
    rule = {"fault": "rate_limited_html", "retry_after_s": 3}
    with pytest.raises(error.APIError) as caught:
        await embed(voyage(await start(script=[rule])))
    assert type(caught.value) is error.APIError
    assert caught.value.http_status == 429
    assert caught.value.headers["retry-after"] == "3"


async def test_a_429_without_a_detail_is_no_rate_limit_error_and_loses_its_headers(start, voyage):
    rule = {"fault": "rate_limited", "body": '{"message": "slow down"}', "retry_after_s": 3}
    with pytest.raises(error.APIError) as caught:
        await embed(voyage(await start(script=[rule])))
    assert type(caught.value) is error.APIError
    assert not caught.value.headers


async def test_a_529_is_taken_for_a_success_and_falls_over(start, voyage):
    """The SDK does not know the status: an AttributeError, as against the real API."""
    with pytest.raises(AttributeError):
        await embed(voyage(await start(script=[{"fault": "overloaded"}])))


async def test_the_sdk_tries_again_after_a_503_when_told_how_often(start, voyage):
    simulator = await start(script=[{"fault": "unavailable", "times": 1}])
    reply = await embed(voyage(simulator, max_retries=2))
    assert len(reply.embeddings) == 3
    assert simulator.state()["by_status"] == {"503": 1, "200": 1}


async def test_a_call_that_hangs_ends_with_the_clients_timeout(start, voyage):
    simulator = await start(script=[{"fault": "hang"}])
    with pytest.raises(error.Timeout):
        await embed(voyage(simulator, timeout=0.2))
    await simulator.idle()
    assert simulator.state()["by_status"] == {"499": 1}


async def test_a_reset_is_a_connection_error(start, voyage):
    with pytest.raises(error.APIConnectionError):
        await embed(voyage(await start(script=[{"fault": "reset"}])))


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")  # the SDK's own call
@pytest.mark.parametrize("fault", ["truncated_body", "reset_after_headers"])
async def test_a_body_that_breaks_off_is_a_raw_error_of_aiohttp(start, voyage, fault):
    """The SDK lets it through."""
    with pytest.raises(aiohttp.ClientError):
        await embed(voyage(await start(script=[{"fault": fault}])))


@pytest.mark.parametrize("fault", ["empty_body", "invalid_body"])
async def test_a_body_that_is_no_json_is_an_api_error(start, voyage, fault):
    with pytest.raises(error.APIError):
        await embed(voyage(await start(script=[{"fault": fault}])))


async def test_a_short_reply_is_accepted_silently_by_the_sdk(start, voyage):
    simulator = await start(script=[{"fault": "short_reply"}])
    reply = await embed(voyage(simulator))
    assert len(reply.embeddings) == 2
    assert simulator.state()["items_answered"] == 2


async def test_vectors_can_have_another_dimension_than_asked_for(start, voyage):
    reply = await embed(
        voyage(await start(script=[{"fault": "wrong_dimension"}])), output_dimension=512
    )
    assert {len(vector) for vector in reply.embeddings} == {256}


async def test_rows_can_come_in_another_order_which_the_sdk_ignores(start, voyage):
    client = voyage(await start(script=[{"fault": "reordered_index", "calls": 2}]))
    right, wrong = await embed(client), await embed(client)
    assert np.array_equal(right.embeddings, wrong.embeddings[::-1])


async def test_a_poison_text_fails_every_call_it_is_in_and_no_other(start, voyage):
    client = voyage(await start(script=[{"fault": "bad_request", "text": "text 2"}]))
    with pytest.raises(error.InvalidRequestError):
        await embed(client, 2)
    assert len((await embed(client, 1)).embeddings) == 1
