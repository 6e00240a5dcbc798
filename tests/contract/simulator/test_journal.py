"""The journal tells the truth about every request, and the state sums it up."""

from __future__ import annotations

import asyncio
import hashlib
import time

import aiohttp
import orjson
import pytest

from streams.errors import UsageError
from tests.contract.simulator.asking import HAIKU, microbatch, texts


async def get(simulator, path):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{simulator.url}/simulator/{path}") as response,
    ):
        return response.status, await response.read()


async def post(simulator, path, value=None):
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{simulator.url}/simulator/{path}", data=orjson.dumps(value)) as response,
    ):
        return response.status, orjson.loads(await response.read())


async def test_a_request_is_recorded_with_all_that_matters(start, claude):
    simulator = await start(latency_ms=30)
    asked = texts(3)
    before = time.time()
    message = await claude(simulator).messages.create(**microbatch(asked))
    status, lines = await get(simulator, "ledger")
    record = orjson.loads(lines)
    assert status == 200
    assert before <= record["arrived_at"] < record["ended_at"] <= time.time()
    assert record["ended_at"] - record["arrived_at"] >= 0.03
    expected = {
        "n": 1,
        "request_id": "req_sim0n00000001",
        "endpoint": "messages",
        "provider": "anthropic",
        "model": HAIKU,
        "status": 200,
        "fault": "",
        "concurrent": 1,
        "attempt": 0,
        "items": [hashlib.sha256(text.encode()).hexdigest()[:16] for text in asked],
        "ids": ["1", "2", "3"],
        "answered": 3,
        "input_tokens": message.usage.input_tokens,
        "output_tokens": message.usage.output_tokens,
        "cost_nano_usd": message.usage.input_tokens * 100 + message.usage.output_tokens * 500,
    }
    assert expected == {name: record[name] for name in expected}


async def test_since_gives_what_came_after_a_number(start, voyage):
    simulator = await start()
    for number in range(5):
        await voyage(simulator).embed([f"text {number}"], "voyage-4")
    _, lines = await get(simulator, "ledger?since=3")
    assert [orjson.loads(line)["n"] for line in lines.splitlines()] == [4, 5]
    assert (await get(simulator, "ledger?since=x"))[0] == 400


async def test_only_the_last_requests_are_kept_in_memory_but_all_in_the_file(
    start, voyage, tmp_path
):
    path = tmp_path / "ledger.jsonl"
    simulator = await start(ledger_size=3, ledger_path=path)
    for number in range(5):
        await voyage(simulator).embed([f"text {number}"], "voyage-4")
    in_file = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [record["n"] for record in in_file] == [1, 2, 3, 4, 5]
    assert list(simulator.simulation.journal.since(0)) == in_file[2:]
    assert simulator.state()["calls"] == 5


async def test_a_journal_that_cannot_be_written_is_one_clear_error(start, tmp_path):
    with pytest.raises(UsageError, match=r"ledger .*: No such file or directory"):
        await start(ledger_path=tmp_path / "none" / "ledger.jsonl")


async def test_the_state_counts_calls_items_tokens_and_money(start, claude, voyage):
    simulator = await start(script=[{"fault": "overloaded", "endpoint": "messages", "calls": 2}])
    client = claude(simulator)
    message = await client.messages.create(**microbatch(texts(4)))
    with pytest.raises(Exception, match="Overloaded"):
        await client.messages.create(**microbatch(texts(4)))
    await voyage(simulator).embed(["x" * 35] * 3, "voyage-4")
    _, found = await get(simulator, "state")
    state = orjson.loads(found)
    assert state["answers"] == "hash"
    assert (state["requests"], state["calls"], state["open"]) == (3, 3, 0)
    assert (state["items"], state["items_answered"]) == (11, 7)
    assert state["by_status"] == {"200": 2, "529": 1}
    assert state["by_endpoint"] == {"messages": 2, "embeddings": 1}
    assert state["by_fault"] == {"overloaded": 1}
    usage = message.usage
    assert state["input_tokens"] == usage.input_tokens + 30
    assert state["output_tokens"] == usage.output_tokens
    dollars = (usage.input_tokens * 0.10 + usage.output_tokens * 0.50 + 30 * 0.06) / 1e6
    assert state["cost_usd"] == pytest.approx(dollars)


async def test_the_most_calls_at_once_are_counted(start, claude):
    """Exactly: while seven are open, no more and no fewer."""
    simulator = await start(script=[{"fault": "hang", "calls": "2-"}])
    client = claude(simulator)
    await client.messages.create(**microbatch(texts(1)))
    asked = [asyncio.create_task(client.messages.create(**microbatch(texts(1)))) for _ in range(7)]
    await opened(simulator, 7)
    for call in asked:
        call.cancel()
    await asyncio.wait(asked)
    await simulator.idle()
    state = simulator.state()
    assert state["max_concurrent"] == 7
    assert state["max_concurrent_by_endpoint"] == {"messages": 7}
    seen = sorted(record["concurrent"] for record in simulator.simulation.journal.since(1))
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert state["by_status"] == {"200": 1, "499": 7}


async def opened(simulator, count):
    """Waits until so many calls are open, at most a minute."""
    async with asyncio.timeout(60):
        while simulator.state()["open"] != count:  # noqa: ASYNC110  # the server has no such event
            await asyncio.sleep(0.001)


async def test_one_client_after_the_other_never_counts_as_two(start, claude):
    simulator = await start()
    client = claude(simulator)
    for _ in range(30):
        await client.messages.create(**microbatch(texts(1)))
    assert simulator.state()["max_concurrent"] == 1


async def test_listing_models_is_no_call(start, claude):
    simulator = await start()
    await claude(simulator).models.retrieve(HAIKU)
    assert (simulator.state()["requests"], simulator.state()["calls"]) == (1, 0)


async def test_how_often_each_item_was_paid_for_is_counted_when_asked(start, claude):
    simulator = await start(count_items=True, script=[{"fault": "server_error", "calls": 2}])
    client = claude(simulator)
    await client.messages.create(**microbatch(texts(3)))
    with pytest.raises(Exception, match="Internal"):
        await client.messages.create(**microbatch(texts(9)))
    await client.messages.create(**microbatch(texts(5)))
    state = simulator.state()
    assert state["distinct_items_answered"] == 5
    assert state["items_answered_more_than_once"] == 3
    assert state["most_answers_of_one_item"] == 2


async def test_a_reset_forgets_everything_and_starts_the_script_again(start, claude):
    rule = {"fault": "overloaded", "calls": 1}
    simulator = await start(script=[rule], requests_per_minute=2)
    client = claude(simulator)
    for _ in range(2):
        with pytest.raises(Exception, match="Overloaded"):
            await client.messages.create(**microbatch(texts(1)))
        await client.messages.create(**microbatch(texts(1)))
        assert (await post(simulator, "reset"))[0] == 200
        state = simulator.state()
        assert (state["requests"], state["calls"], state["cost_usd"]) == (0, 0, 0)
        assert list(simulator.simulation.journal.since(0)) == []


async def test_calls_open_at_a_reset_do_not_upset_the_counts(start, claude):
    simulator = await start(latency_ms=500)
    client = claude(simulator)
    call = asyncio.create_task(client.messages.create(**microbatch(texts(1))))
    await opened(simulator, 1)
    simulator.simulation.reset()
    await call
    assert simulator.state()["open"] == 0
    await client.messages.create(**microbatch(texts(1)))
    assert simulator.state()["max_concurrent"] == 1


async def test_the_script_can_be_replaced_while_running(start, claude):
    simulator = await start()
    client = claude(simulator)
    await client.messages.create(**microbatch(texts(1)))
    assert await post(simulator, "script", [{"fault": "unauthorized"}]) == (200, {"rules": 1})
    with pytest.raises(Exception, match="x-api-key"):
        await client.messages.create(**microbatch(texts(1)))
    assert await post(simulator, "script", []) == (200, {"rules": 0})
    await client.messages.create(**microbatch(texts(1)))


async def test_a_bad_script_is_refused_and_the_old_one_stays(start):
    simulator = await start(script=[{"fault": "hang"}])
    status, found = await post(simulator, "script", [{"fault": "no such"}])
    assert status == 400
    assert "unknown fault 'no such'" in found["error"]
    assert [rule.fault for rule in simulator.simulation.script.rules] == ["hang"]


async def test_an_unknown_endpoint_of_the_simulators_own_is_a_404(start):
    assert (await get(await start(), "nothing"))[0] == 404
