"""Message Batches through the SDK's client: what they carry, and what each failure says."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest

from streams.errors import CallError, ConfigError, Fault
from streams.providers import make_batch_api
from streams.providers.batch_port import BatchApi, BatchGone, BatchStatus, UnclearCreation
from tests.contract.providers.conftest import ITEMS, KEYS, Call, Simulate, task_of
from tests.operations.conftest import items_of

CREATE = {"endpoint": "batches", "method": "POST"}
RETRIEVE = {"endpoint": "batch", "method": "GET"}
Open = Callable[..., BatchApi]


@pytest.fixture
async def batches() -> AsyncIterator[Open]:
    """Opens the batches of an account; closes them at the end."""
    made: list[BatchApi] = []

    def make(simulator: Any, timeout_s: float = 30.0, environ: Any = KEYS) -> BatchApi:
        url = simulator if isinstance(simulator, str) else simulator.url
        task = task_of("classify", calls=SimpleNamespace(timeout_s=timeout_s))
        settings = SimpleNamespace(base_url=url, api_key_file=None)
        made.append(make_batch_api(task, settings, environ=environ))
        return made[-1]

    yield make
    for api in made:
        await api.aclose()


def requests(caller: Any, count: int, name: str = "r") -> list[bytes]:
    """The same microbatch, so often."""
    params = caller.request(ITEMS)
    return [orjson.dumps({"custom_id": f"{name}{n}", "params": params}) for n in range(count)]


async def ended(api: BatchApi, status: BatchStatus) -> BatchStatus:
    async with asyncio.timeout(60):
        while not status.ended:
            await asyncio.sleep(0.005)
            status = await api.retrieve(status.id)
    return status


async def records(simulator: Any, path: str) -> list[Any]:
    url = f"{simulator.url}/simulator/{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return [orjson.loads(line) for line in (await response.read()).splitlines()]


async def failure_of(call: Awaitable[Any]) -> CallError:
    with pytest.raises(CallError) as caught:
        await call
    assert caught.value.__context__ is None
    assert "key-of-the-test" not in str(caught.value)
    return caught.value


async def test_a_batch_carries_requests_and_brings_back_messages(
    simulate: Simulate, call: Call, batches: Open, tmp_path: Any
) -> None:
    simulator = await simulate()
    caller, api = call(task_of("classify"), simulator), batches(simulator)
    before_ms = int(time.time() * 1000)
    made = await api.create(requests(caller, 40))
    assert (made.requests, made.ended, made.results_url) == (40, False, None)
    assert before_ms <= made.created_at_ms <= time.time() * 1000
    status = await ended(api, made)
    assert status[2:] == (40, made.created_at_ms, 40, 0, 0, 0, status.results_url)
    await api.results(status, tmp_path / "results")
    lines = [orjson.loads(line) for line in (tmp_path / "results").read_bytes().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == sorted(f"r{n}" for n in range(40))
    expected = (await caller(ITEMS)).answers
    assert caller.read(ITEMS, lines[0]["result"]["message"]).answers == expected
    [account] = await records(simulator, "batches")
    ids = hashlib.sha256("\n".join(f"r{n}" for n in range(40)).encode()).hexdigest()[:16]
    assert (account["custom_ids"], account["id"]) == (ids, made.id)


async def test_a_body_of_many_pieces_arrives_whole(
    simulate: Simulate, call: Call, batches: Open
) -> None:
    simulator = await simulate(batch_ms=60_000.0)
    caller, api = call(task_of("classify"), simulator), batches(simulator)
    long = caller.request(items_of(["x" * 100_000]))
    asked = [orjson.dumps({"custom_id": f"r{n}", "params": long}) for n in range(11)]
    assert (await api.create(asked)).requests == 11
    accounts = await records(simulator, "requests")
    digest = hashlib.sha256(orjson.dumps(long)).hexdigest()[:16]
    assert [each["params"] for each in accounts] == [[digest]] * 11


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "reset", "billed": True},
        {"fault": "gateway_timeout", "billed": True},
        {"fault": "truncated_body"},
        {"fault": "invalid_body"},
        {"fault": "login_page", "billed": True},
        {"fault": "hang", "billed": True},
    ],
)
async def test_a_batch_that_may_be_there_is_unclear_and_the_list_shows_it(
    rule: dict[str, Any], simulate: Simulate, call: Call, batches: Open
) -> None:
    simulator = await simulate({**CREATE, **rule, "calls": 1})
    api = batches(simulator, timeout_s=0.5 if rule["fault"] == "hang" else 30.0)
    asked = requests(call(task_of("classify"), simulator), 3)
    assert isinstance(await failure_of(api.create(asked)), UnclearCreation)
    [found] = await api.list(0)
    assert found.requests == 3


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("bad_request", Fault.REJECTED),
        ("unauthorized", Fault.ACCOUNT),
        ("too_large", Fault.TOO_LARGE),
        ("rate_limited", Fault.THROTTLED),
        ("spend_limit", Fault.ACCOUNT),
        ("redirect", Fault.CONNECTION),
    ],
)
async def test_a_refused_batch_is_surely_not_there(
    fault: str, expected: Fault, simulate: Simulate, call: Call, batches: Open
) -> None:
    simulator = await simulate({**CREATE, "fault": fault, "retry_after_s": 7})
    asked = requests(call(task_of("classify"), simulator), 3)
    failure = await failure_of(batches(simulator).create(asked))
    assert (type(failure), failure.fault, failure.retry_after_s) == (CallError, expected, 7.0)
    assert await records(simulator, "batches") == []


async def test_a_full_queue_is_a_wait_and_an_overload_is_unclear_with_its_wait(
    simulate: Simulate, call: Call, batches: Open
) -> None:
    rule = {**CREATE, "fault": "overloaded", "retry_after_s": 3, "calls": 1}
    simulator = await simulate(rule, batch_queue=2)
    api, asked = batches(simulator), requests(call(task_of("classify"), simulator), 3)
    overloaded, full = [await failure_of(api.create(asked)) for _ in range(2)]
    assert isinstance(overloaded, UnclearCreation)
    assert overloaded.retry_after_s == 3.0
    assert (type(full), full.fault) == (CallError, Fault.THROTTLED)


async def test_a_connection_that_is_refused_has_sent_nothing(
    simulate: Simulate, call: Call, batches: Open
) -> None:
    simulator = await simulate()
    asked = requests(call(task_of("classify"), simulator), 3)
    await simulator.stop()
    failure = await failure_of(batches(simulator).create(asked))
    assert (type(failure), failure.fault) == (CallError, Fault.CONNECTION)


async def test_a_redirect_within_the_host_carries_the_whole_body(
    simulate: Simulate, call: Call, batches: Open
) -> None:
    location = "/v1/messages/batches?again"
    rule = {**CREATE, "fault": "redirect", "status": 307, "location": location, "calls": 1}
    simulator = await simulate(rule)
    asked = requests(call(task_of("classify"), simulator), 300)
    assert (await batches(simulator).create(asked)).requests == 300


async def test_a_batch_that_the_api_does_not_know_is_gone(
    simulate: Simulate, batches: Open, tmp_path: Any
) -> None:
    api = batches(await simulate())
    nobody = BatchStatus("msgbatch_x", True, 1, 0)
    for asked in (
        api.retrieve(nobody.id),
        api.cancel(nobody.id),
        api.results(nobody, tmp_path / "results"),
    ):
        failure = await failure_of(asked)
        assert isinstance(failure, BatchGone)
        assert failure.status == 404


async def test_an_id_cannot_lead_elsewhere(simulate: Simulate, batches: Open) -> None:
    simulator = await simulate()
    for name in ("", "../../v1/models", "a/cancel", "a?b"):
        assert (await failure_of(batches(simulator).retrieve(name))).fault is Fault.REJECTED
    assert simulator.state()["requests"] == 0


async def test_the_list_has_every_page_from_a_moment_on(
    simulate: Simulate, call: Call, batches: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.providers.anthropic_batches._PAGE", 2)
    simulator = await simulate()
    api, asked = batches(simulator), requests(call(task_of("classify"), simulator), 1)
    made = []
    for _ in range(7):
        made.append(await api.create(asked))
        await asyncio.sleep(0.002)  # the moments of creation differ
    assert [status.id for status in await api.list(0)] == [each.id for each in reversed(made)]
    since = await api.list(made[5].created_at_ms)
    assert {status.id for status in since} == {made[5].id, made[6].id}
    pages = simulator.state()["by_endpoint"]["batches"] - 7
    assert pages == 4 + 2


@pytest.mark.parametrize("fault", ["truncated_body", "reset_after_headers", "cut_gzip"])
async def test_results_that_break_off_are_read_again_and_stand_once(
    fault: str, simulate: Simulate, call: Call, batches: Open, tmp_path: Any
) -> None:
    simulator = await simulate({"fault": fault, "endpoint": "batch_results", "calls": 1})
    api = batches(simulator)
    made = await api.create(requests(call(task_of("classify"), simulator), 300))
    status = await ended(api, made)
    await api.results(status, tmp_path / "results")
    lines = (tmp_path / "results").read_bytes().splitlines()
    ids = [orjson.loads(line)["custom_id"] for line in lines]
    assert sorted(ids) == sorted(f"r{n}" for n in range(300))
    assert simulator.state()["by_endpoint"]["batch_results"] == 2


async def test_results_that_always_break_off_are_a_failure_of_the_connection(
    simulate: Simulate, call: Call, batches: Open, tmp_path: Any
) -> None:
    simulator = await simulate({"fault": "truncated_body", "endpoint": "batch_results"})
    api = batches(simulator)
    made = await api.create(requests(call(task_of("classify"), simulator), 300))
    failure = await failure_of(api.results(await ended(api, made), tmp_path / "results"))
    assert (failure.fault, "broke off" in failure.message) == (Fault.CONNECTION, True)
    assert simulator.state()["by_endpoint"]["batch_results"] == 3


async def test_empty_lines_are_no_results_and_missing_ones_are_asked_for_again(
    simulate: Simulate, call: Call, batches: Open, tmp_path: Any
) -> None:
    rules = [
        {"fault": "short_results", "endpoint": "batch_results", "calls": 1, "count": 3},
        {"fault": "blank_lines", "endpoint": "batch_results", "calls": 2},
    ]
    simulator = await simulate(*rules)
    api = batches(simulator)
    made = await api.create(requests(call(task_of("classify"), simulator), 20))
    path = tmp_path / "results"
    path.write_text("what was there before")
    await api.results(await ended(api, made), path)
    assert len(path.read_bytes().splitlines()) == 20


async def test_a_cancelled_batch_keeps_what_is_answered(
    simulate: Simulate, call: Call, batches: Open
) -> None:
    rule = {"fault": "stalled_batch", "share": 0.5}
    simulator = await simulate(rule, batch_cancel_ms=50.0)
    api = batches(simulator)
    made = await api.create(requests(call(task_of("classify"), simulator), 30))
    await api.cancel(made.id)
    status = await ended(api, made)
    assert status.succeeded + status.canceled == status.requests == 30
    assert status.succeeded > 0 < status.canceled
    await api.cancel(made.id)


@pytest.mark.parametrize("body", ["{}", "[]", '{"type":"message_batch"}', "<html>", ""])
async def test_what_is_no_batch_is_an_outage_and_no_defect(
    body: str, simulate: Simulate, batches: Open
) -> None:
    api = batches(await simulate({"fault": "other_body", "endpoint": "*", "body": body}))
    for asked in (api.retrieve("msgbatch_x"), api.list(0), api.cancel("msgbatch_x")):
        assert (await failure_of(asked)).fault is Fault.CONNECTION


def test_a_provider_without_batches_says_so() -> None:
    with pytest.raises(ConfigError, match="voyage has no Message Batches"):
        make_batch_api(task_of("embed"), None, environ=KEYS)
    with pytest.raises(ConfigError, match="no API key"):
        make_batch_api(task_of("classify"), None, environ={})
