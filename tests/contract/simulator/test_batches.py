"""Message Batches as the Anthropic SDK sees them."""

from __future__ import annotations

import asyncio

import anthropic
import httpx2
import pytest

from tests.contract.simulator.asking import microbatch, results_of, texts


def requests(count, **changes):
    return [
        {"custom_id": f"p3-o{n}", "params": microbatch(texts(2), **changes)} for n in range(count)
    ]


async def ended(client, batch):
    """Asks until the batch has ended, at most a minute."""
    async with asyncio.timeout(60):
        while batch.processing_status != "ended":
            await asyncio.sleep(0.005)
            batch = await client.messages.batches.retrieve(batch.id)
    return batch


async def lines_of(client, batch):
    return [line async for line in await client.messages.batches.results(batch.id)]


async def test_every_request_of_a_batch_gets_its_result_in_another_order(start, claude):
    simulator = await start()
    client = claude(simulator)
    batch = await client.messages.batches.create(requests=requests(40))
    assert batch.processing_status == "in_progress"
    assert batch.results_url is None
    assert batch.request_counts.processing == 40
    batch = await ended(client, batch)
    assert batch.request_counts.succeeded == 40
    assert batch.results_url.startswith(simulator.url)
    lines = await lines_of(client, batch)
    names = [line.custom_id for line in lines]
    assert sorted(names) == sorted(f"p3-o{n}" for n in range(40))
    assert names != [f"p3-o{n}" for n in range(40)]
    assert all(len(results_of(line.result.message)) == 2 for line in lines)
    assert {line.result.message.usage.service_tier for line in lines} == {"batch"}


async def test_a_batch_costs_half(start, claude):
    simulator = await start()
    client = claude(simulator)
    await client.messages.create(**microbatch(texts(2)))
    alone = simulator.state()["cost_usd"]
    await ended(client, await client.messages.batches.create(requests=requests(3)))
    assert simulator.state()["cost_usd"] - alone == pytest.approx(3 * alone / 2, rel=0.02)


async def test_bad_parameters_are_errored_results_and_not_a_refusal(start, claude):
    client = claude(await start())
    asked = [*requests(1), {**requests(1, model="claude-none")[0], "custom_id": "bad"}]
    batch = await ended(client, await client.messages.batches.create(requests=asked))
    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (1, 1)
    errored = [line for line in await lines_of(client, batch) if line.custom_id == "bad"]
    assert errored[0].result.type == "errored"
    assert errored[0].result.error.error.type == "not_found_error"


async def test_expired_and_failed_requests_come_by_script(start, claude):
    rules = [
        {"fault": "expired", "endpoint": "batch_request", "calls": 1},
        {"fault": "overloaded", "endpoint": "batch_request", "calls": 2},
        {"fault": "refusal", "endpoint": "batch_request", "calls": 3},
    ]
    client = claude(await start(script=rules))
    batch = await ended(client, await client.messages.batches.create(requests=requests(4)))
    results = {line.custom_id: line.result for line in await lines_of(client, batch)}
    assert [results[f"p3-o{n}"].type for n in range(4)] == [
        "expired",
        "errored",
        "succeeded",
        "succeeded",
    ]
    assert results["p3-o1"].error.error.type == "overloaded_error"
    assert results["p3-o2"].message.stop_reason == "refusal"


async def test_a_canceled_batch_does_not_do_what_is_left(start, claude):
    simulator = await start(batch_ms=60_000)
    client = claude(simulator)
    batch = await client.messages.batches.create(requests=requests(10))
    canceled = await client.messages.batches.cancel(batch.id)
    assert canceled.processing_status == "canceling"
    batch = await ended(client, batch)
    assert batch.request_counts.canceled == 10
    assert {line.result.type for line in await lines_of(client, batch)} == {"canceled"}
    assert simulator.state()["cost_usd"] == 0


async def test_results_before_the_end_are_refused_by_sdk_and_server(start, claude):
    client = claude(await start(batch_ms=60_000))
    batch = await client.messages.batches.create(requests=requests(1))
    with pytest.raises(anthropic.AnthropicError, match="results"):
        await client.messages.batches.results(batch.id)
    with pytest.raises(anthropic.NotFoundError):
        await client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)


async def test_batches_are_listed_newest_first_page_by_page(start, claude):
    client = claude(await start())
    made = [(await client.messages.batches.create(requests=requests(1))).id for _ in range(5)]
    assert [batch.id async for batch in client.messages.batches.list(limit=2)] == made[::-1]
    page = await client.messages.batches.list(before_id=made[1], limit=2)
    assert [batch.id for batch in page.data] == [made[3], made[2]]


async def test_a_batch_can_be_deleted_when_it_has_ended(start, claude):
    client = claude(await start(batch_ms=200))
    batch = await client.messages.batches.create(requests=requests(1))
    with pytest.raises(anthropic.BadRequestError):
        await client.messages.batches.delete(batch.id)
    batch = await ended(client, batch)
    deleted = await client.messages.batches.delete(batch.id)
    assert (deleted.id, deleted.type) == (batch.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.batches.retrieve(batch.id)


@pytest.mark.parametrize("custom_id", ["", "a.b", "x" * 65, "ü"])
async def test_a_custom_id_of_another_form_is_refused(start, claude, custom_id):
    client = claude(await start())
    with pytest.raises(anthropic.BadRequestError, match="custom_id"):
        await client.messages.batches.create(requests=[{**requests(1)[0], "custom_id": custom_id}])


async def test_two_requests_of_one_custom_id_are_refused(start, claude):
    client = claude(await start())
    with pytest.raises(anthropic.BadRequestError, match="not unique"):
        await client.messages.batches.create(requests=requests(1) * 2)


@pytest.mark.parametrize("fault", ["truncated_body", "reset_after_headers"])
async def test_a_results_stream_that_breaks_off_raises_the_transports_own_error(
    start, claude, fault
):
    """After some lines, not an anthropic error; read again it is whole."""
    rule = {"fault": fault, "endpoint": "batch_results", "times": 1}
    client = claude(await start(script=[rule]))
    batch = await ended(client, await client.messages.batches.create(requests=requests(300)))
    with pytest.raises(httpx2.TransportError):
        await lines_of(client, batch)
    assert len(await lines_of(client, batch)) == 300


async def test_characters_of_several_bytes_survive_being_cut_between_chunks(start, claude):
    client = claude(await start())
    asked = [
        {
            "custom_id": f"r{n}",
            "params": microbatch(["日本語のテキスト。" * 20], output_config=None),
        }
        for n in range(200)
    ]
    batch = await ended(client, await client.messages.batches.create(requests=asked))
    lines = await lines_of(client, batch)
    assert {line.result.message.content[0].text for line in lines} == {"1: 日本語のテキスト。"}
