"""What Message Batches do at their worst: late, expired, lost, forgotten, refused, cancelled."""

from __future__ import annotations

import asyncio
import hashlib

import anthropic
import orjson
import pytest

from streams.errors import UsageError
from streams.simulator.script import load_script
from tests.contract.simulator.asking import microbatch, texts
from tests.contract.simulator.test_batches import ended, lines_of, requests
from tests.contract.simulator.test_journal import get


async def records(simulator, path):
    _, body = await get(simulator, path)
    return [orjson.loads(line) for line in body.splitlines()]


def counts_of(batch):
    counts = batch.request_counts
    return counts.succeeded, counts.errored, counts.canceled, counts.expired


async def test_a_batch_takes_its_own_time_by_script_and_the_others_pass_it(start, claude):
    rule = {"fault": "slow_batch", "calls": 1, "delay_ms": 60_000}
    client = claude(await start(script=[rule]))
    slow, quick = [await client.messages.batches.create(requests=requests(3)) for _ in range(2)]
    assert (await ended(client, quick)).request_counts.succeeded == 3
    assert (await client.messages.batches.retrieve(slow.id)).processing_status == "in_progress"


async def test_what_is_open_when_a_batch_expires_is_expired_and_not_paid(start, claude):
    rule = {"fault": "stalled_batch", "share": 0.3}
    simulator = await start(batch_lifetime_ms=1500.0, script=[rule])
    client = claude(simulator)
    batch = await ended(client, await client.messages.batches.create(requests=requests(200)))
    succeeded, errored, canceled, expired = counts_of(batch)
    assert (errored, canceled, succeeded + expired) == (0, 0, 200)
    assert 40 <= expired <= 80
    assert batch.ended_at >= batch.expires_at
    assert len(await lines_of(client, batch)) == 200
    assert simulator.state()["batches"]["answered"] == succeeded


async def test_a_batch_slower_than_its_lifetime_expires_and_keeps_what_is_answered(start, claude):
    simulator = await start(batch_ms=60_000.0, batch_lifetime_ms=50.0)
    client = claude(simulator)
    batch = await ended(client, await client.messages.batches.create(requests=requests(3)))
    assert counts_of(batch) == (0, 0, 0, 3)


async def test_cancelling_takes_its_time_and_what_is_answered_meanwhile_stays(start, claude):
    rules = [
        {"fault": "stalled_batch", "share": 0.5},
        {"fault": "slow_cancel", "delay_ms": 50.0},
    ]
    simulator = await start(script=rules)
    client = claude(simulator)
    batch = await client.messages.batches.create(requests=requests(20))
    canceled = await client.messages.batches.cancel(batch.id)
    assert canceled.processing_status == "canceling"
    batch = await ended(client, batch)
    succeeded, _, dropped, _ = counts_of(batch)
    assert succeeded + dropped == 20
    assert min(succeeded, dropped) > 0
    assert (batch.ended_at - batch.cancel_initiated_at).total_seconds() >= 0.05
    again = await client.messages.batches.cancel(batch.id)
    assert (again.processing_status, counts_of(again)) == ("ended", counts_of(batch))


async def test_a_batch_that_ends_while_it_is_canceling_has_succeeded(start, claude):
    client = claude(await start(batch_ms=30.0, batch_cancel_ms=60_000.0))
    batch = await client.messages.batches.create(requests=requests(3))
    await client.messages.batches.cancel(batch.id)
    batch = await ended(client, batch)
    assert counts_of(batch) == (3, 0, 0, 0)
    assert batch.cancel_initiated_at is not None


async def test_results_may_come_later_than_the_end(start, claude):
    client = claude(await start(script=[{"fault": "late_results", "delay_ms": 300.0}]))
    batch = await ended(client, await client.messages.batches.create(requests=requests(1)))
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.batches.results(batch.id)
    async with asyncio.timeout(60):
        while True:
            try:
                assert len(await lines_of(client, batch)) == 1
                break
            except anthropic.NotFoundError:
                await asyncio.sleep(0.02)


async def test_a_batch_may_be_in_the_list_alone(start, claude):
    client = claude(await start(script=[{"fault": "hidden_batch"}]))
    made = await client.messages.batches.create(requests=requests(1))
    async with asyncio.timeout(60):
        while True:
            [batch] = [batch async for batch in client.messages.batches.list()]
            if batch.processing_status == "ended":
                break
            await asyncio.sleep(0.005)
    assert batch.id == made.id
    for asked in (client.messages.batches.retrieve, client.messages.batches.results):
        with pytest.raises(anthropic.NotFoundError):
            await asked(batch.id)


async def test_results_are_gone_when_the_batch_is_too_old(start, claude):
    client = claude(await start(batch_kept_ms=0.0))
    batch = await ended(client, await client.messages.batches.create(requests=requests(1)))
    assert batch.archived_at is not None
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.batches.results(batch.id)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reset", anthropic.APIConnectionError),
        ("hang", anthropic.APITimeoutError),
        ("gateway_timeout", anthropic.InternalServerError),
    ],
)
async def test_a_batch_is_created_though_its_answer_is_lost(start, claude, fault, error):
    rule = {"fault": fault, "endpoint": "batches", "method": "POST", "calls": 1, "billed": True}
    simulator = await start(script=[rule])
    client = claude(simulator, timeout=1.0 if fault == "hang" else 600.0)
    with pytest.raises(error):
        await client.messages.batches.create(requests=requests(2))
    [listed] = [batch async for batch in client.messages.batches.list()]
    batch = await ended(client, listed)
    assert {line.custom_id for line in await lines_of(client, batch)} == {"p3-o0", "p3-o1"}
    assert [record["id"] for record in await records(simulator, "batches")] == [batch.id]


async def test_a_batch_whose_creation_fails_is_none(start, claude):
    rule = {"fault": "reset", "endpoint": "batches", "method": "POST", "calls": 1}
    simulator = await start(script=[rule])
    with pytest.raises(anthropic.APIConnectionError):
        await claude(simulator).messages.batches.create(requests=requests(2))
    assert await records(simulator, "batches") == []


async def test_more_waiting_requests_than_the_queue_takes_are_refused(start, claude):
    client = claude(await start(batch_ms=60_000.0, batch_queue=5))
    first = await client.messages.batches.create(requests=requests(4))
    with pytest.raises(anthropic.RateLimitError, match="wait to be processed"):
        await client.messages.batches.create(requests=requests(2))
    await client.messages.batches.create(requests=requests(1))
    await client.messages.batches.cancel(first.id)
    await ended(client, first)
    await client.messages.batches.create(requests=requests(4))


async def test_more_requests_than_a_batch_takes_are_refused(start, claude, monkeypatch):
    monkeypatch.setattr("streams.simulator.batches.MAX_REQUESTS", 2)
    with pytest.raises(anthropic.BadRequestError, match="at most 2"):
        await claude(await start()).messages.batches.create(requests=requests(3))


async def test_a_body_above_256_mb_is_refused_with_413(start, claude, monkeypatch):
    monkeypatch.setattr("streams.simulator.endpoints.MAX_BATCH_BYTES", 1000)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await claude(await start()).messages.batches.create(requests=requests(10))
    assert caught.value.status_code == 413


async def test_lines_of_results_may_be_missing_or_have_empty_ones_between(start, claude):
    rules = [
        {"fault": "short_results", "endpoint": "batch_results", "count": 2, "calls": 1},
        {"fault": "blank_lines", "endpoint": "batch_results", "calls": 2},
    ]
    simulator = await start(script=rules)
    client = claude(simulator)
    batch = await ended(client, await client.messages.batches.create(requests=requests(5)))
    assert len(await lines_of(client, batch)) == 3
    path = f"/v1/messages/batches/{batch.id}/results"
    raw = await client.get(path, cast_to=bytes)
    lines = raw.split(b"\n")
    assert (len([line for line in lines if line]), len(lines)) == (5, 11)


async def test_the_journal_tells_how_often_each_request_was_answered(start, claude):
    """The second batch has the requests of the first under other ids, and one of its ids."""
    rule = {"fault": "overloaded", "endpoint": "batch_request", "calls": 2}
    simulator = await start(script=[rule])
    client = claude(simulator)
    params = [microbatch([text]) for text in texts(3)]
    first = [{"custom_id": f"a{n}", "params": each} for n, each in enumerate(params)]
    second = [{"custom_id": name, "params": params[0]} for name in ("a0", "b0")]
    for asked in (first, second):
        batch = await ended(client, await client.messages.batches.create(requests=asked))
    await client.messages.batches.delete(batch.id)
    one, two = await records(simulator, "batches")
    assert (one["requests"], one["succeeded"], one["errored"]) == (3, 2, 1)
    assert one["custom_ids"] == hashlib.sha256(b"a0\na1\na2").hexdigest()[:16]
    assert (two["requests"], two["succeeded"], two["first_custom_id"]) == (2, 2, "a0")
    accounts = {record["custom_id"]: record for record in await records(simulator, "requests")}
    assert {name: each["answered"] for name, each in accounts.items()} == {
        "a0": 2,
        "a1": 0,
        "a2": 1,
        "b0": 1,
    }
    assert accounts["a0"]["batches"] == [one["id"], two["id"]]
    assert accounts["a1"]["cost_nano_usd"] == 0 < accounts["a2"]["cost_nano_usd"]
    assert set(accounts["b0"]["params"]) == set(accounts["a0"]["params"])
    found = await records(simulator, f"requests?batch={two['id']}")
    assert [record["custom_id"] for record in found] == ["a0", "b0"]
    state = simulator.state()["batches"]
    assert state == {
        "created": 2,
        "requests": 5,
        "custom_ids": 4,
        "answered": 4,
        "custom_ids_answered_more_than_once": 1,
        "params_answered_more_than_once": 1,
        "cost_nano_usd": one["cost_nano_usd"] + two["cost_nano_usd"],
    }


async def test_large_batches_hold_up_neither_each_other_nor_other_calls(start, claude):
    """The batch that came last ends before the one before it, which has much more to do."""
    client = claude(await start())
    large = [await client.messages.batches.create(requests=requests(1000)) for _ in range(3)]
    small = await client.messages.batches.create(requests=requests(1))
    small = await ended(client, small)
    large = [await ended(client, batch) for batch in large]
    assert {batch.request_counts.succeeded for batch in large} == {1000}
    assert small.ended_at < large[-1].ended_at


def test_a_share_lies_between_0_and_1():
    with pytest.raises(UsageError, match="share lies between 0 and 1"):
        load_script([{"fault": "stalled_batch", "share": 1.5}], 0)
