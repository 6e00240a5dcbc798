"""`check --connect` asks the APIs what the worker will ask them, once, and tells what it cost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from streams.cli.access import checks
from streams.settings.load import settings_of
from streams.simulator import Simulator, SimulatorSettings, serve
from tests.contract.providers.http_proxy import http_proxy

pytest.importorskip("anthropic")
pytest.importorskip("voyageai")

KEYS = {"ANTHROPIC_API_KEY": "sk-ant-secret", "VOYAGE_API_KEY": "pa-secret"}


def settings(url: str, voyage_url: str, *more: dict[str, Any]) -> Any:
    """Two tasks, and more of them: classify where they do not say."""
    tasks = [
        {"name": "n", "labels": ["a", "b"]},
        {"name": "m", "operation": "embed"},
        *more,
    ]
    raw: dict[str, Any] = {
        "kafka": {"bootstrap_servers": "embedded"},
        "worker": {"id": "w"},
        "task": [
            {"operation": "classify", "source": f"{task['name']}.in", "sink": "out", **task}
            for task in tasks
        ],
        "provider": {"anthropic": {"base_url": url}, "voyage": {"base_url": voyage_url}},
    }
    return settings_of(raw, {}, need_tasks=True)


@pytest.fixture
async def simulate() -> AsyncIterator[Callable[..., Awaitable[Simulator]]]:
    started: list[Simulator] = []

    async def start(*rules: dict[str, Any]) -> Simulator:
        started.append(await serve(SimulatorSettings(latency_ms=0, answers="hash", script=rules)))
        return started[-1]

    yield start
    for simulator in started:
        await simulator.stop()


async def found(settings: Any, environ: dict[str, str] = KEYS) -> list[Any]:
    return [check async for check in checks(settings, environ)]


async def test_both_apis_answer_one_call_of_each_task_and_its_cost_is_told(simulate: Any) -> None:
    simulator = await simulate()
    broker, claude, voyage = await found(settings(simulator.url, simulator.voyage_url))
    assert broker == ("broker", True, "embedded: starts with the worker")
    assert claude[:2] == ("anthropic claude-haiku-5-5", True)
    assert re.fullmatch(r"answers to classify; \d+ tokens in, \d+ out, \$0\.0000\d+", claude[2]), (
        claude
    )
    assert voyage[:2] == ("voyage voyage-4", True)
    assert re.fullmatch(
        r"answers with 1024 dimensions; \d+ tokens in, 0 out, \$0\.00000\d+", voyage[2]
    ), voyage
    assert simulator.state()["calls"] == 2


async def test_tasks_that_ask_the_same_are_asked_for_once_and_others_each(simulate: Any) -> None:
    simulator = await simulate()
    more = [
        {"name": "same", "labels": ["a", "b"]},
        {"name": "other", "labels": ["a", "c"]},
        {"name": "vectors", "operation": "embed", "dimension": 256},
    ]
    asked = await found(settings(simulator.url, simulator.voyage_url, *more))
    assert len(asked) == 1 + 4
    assert [check[2].partition(";")[0] for check in asked[1:]] == [
        "answers to classify",
        "answers with 1024 dimensions",
        "answers to classify",
        "answers with 256 dimensions",
    ]
    assert simulator.state()["calls"] == 4


async def test_a_gateway_without_the_models_endpoint_is_fine(simulate: Any) -> None:
    simulator = await simulate({"fault": "not_found", "endpoint": "models"})
    asked = await found(settings(simulator.url, simulator.voyage_url))
    assert all(ok for _, ok, _ in asked)


async def test_a_model_that_refuses_the_configured_dimension_fails_there(simulate: Any) -> None:
    """It was the first call of the worker that failed, and its task paused."""
    simulator = await simulate()
    law = {"name": "law", "operation": "embed", "model": "voyage-law-2"}
    url, voyage_url = simulator.url, simulator.voyage_url
    *_, check = await found(settings(url, voyage_url, {**law, "dimension": 256}))
    assert check[:2] == ("voyage voyage-law-2", False)
    assert "output_dimension" in check[2]
    *_, check = await found(settings(url, voyage_url, law))
    assert check[:2] == ("voyage voyage-law-2", True)
    assert check[2].startswith("answers with 1024 dimensions")


async def test_a_model_that_the_api_does_not_have_and_a_key_that_it_refuses_fail(
    simulate: Any,
) -> None:
    simulator = await simulate({"fault": "unauthorized", "endpoint": "embeddings"})
    unknown = {"name": "u", "labels": ["a", "b"], "model": "claude-next"}
    asked = await found(settings(simulator.url, simulator.voyage_url, unknown))
    failed = {what: detail for what, ok, detail in asked if not ok}
    assert list(failed) == ["voyage voyage-4", "anthropic claude-next"]
    assert failed["voyage voyage-4"].startswith("account: HTTP 401")
    assert failed["anthropic claude-next"].startswith("account: HTTP 404")


async def test_a_refusal_to_judge_our_sample_is_an_answer(simulate: Any) -> None:
    simulator = await simulate({"fault": "refusal"})
    _, claude, _ = await found(settings(simulator.url, simulator.voyage_url))
    assert claude[1]
    assert claude[2].startswith("answers, but refused")


async def test_the_price_of_a_model_that_is_in_no_list_is_not_known(simulate: Any) -> None:
    simulator = await simulate()
    law = {"name": "law", "operation": "embed", "model": "voyage-law-2"}
    *_, check = await found(settings(simulator.url, simulator.voyage_url, law))
    assert check[2].endswith("cost not known")


async def test_a_missing_key_and_an_api_that_is_away_are_told_without_the_key() -> None:
    away = settings("http://127.0.0.1:1", "http://127.0.0.1:1/v1")
    without = {name: text for name, ok, text in await found(away, {}) if not ok}
    assert list(without) == ["anthropic claude-haiku-5-5", "voyage voyage-4"]
    assert "set ANTHROPIC_API_KEY" in without["anthropic claude-haiku-5-5"]
    refused = {name: text for name, ok, text in await found(away) if not ok}
    assert refused["anthropic claude-haiku-5-5"].startswith("connection: the connection failed")
    assert "secret" not in str(refused)


async def test_it_goes_the_workers_way_through_the_proxy(simulate: Any) -> None:
    simulator = await simulate()
    away = settings("http://api.example.test", "http://voyage.example.test/v1")
    async with http_proxy(simulator.port) as proxy:
        asked = await found(away, {**KEYS, "HTTP_PROXY": proxy.url})
        assert all(ok for _, ok, _ in asked)
        assert sorted(line.split()[1] for line in proxy.log) == [
            "http://api.example.test/v1/messages",
            "http://voyage.example.test/v1/embeddings",
        ]
