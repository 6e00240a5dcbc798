"""`check --connect` asks the APIs, as cheaply as they can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from streams.cli.access import checks
from streams.settings.load import settings_of
from streams.simulator import SimulatorSettings, serve

KEYS = {"ANTHROPIC_API_KEY": "sk-ant-secret", "VOYAGE_API_KEY": "pa-secret"}


def settings(url: str, voyage_url: str) -> Any:
    task = {"name": "n", "source": "s", "sink": "t", "operation": "classify", "labels": ["a", "b"]}
    raw = {
        "kafka": {"bootstrap_servers": "embedded"},
        "worker": {"id": "w"},
        "task": [task, {"name": "m", "source": "s2", "sink": "t2", "operation": "embed"}],
        "provider": {"anthropic": {"base_url": url}, "voyage": {"base_url": voyage_url}},
    }
    return settings_of(raw, {}, need_tasks=True)


async def test_both_apis_answer_one_cheap_call_each() -> None:
    pytest.importorskip("anthropic")
    pytest.importorskip("voyageai")
    simulator = await serve(SimulatorSettings(latency_ms=0, answers="hash"))
    try:
        found = [
            check async for check in checks(settings(simulator.url, simulator.voyage_url), KEYS)
        ]
        assert found == [
            ("broker", True, "embedded: starts with the worker"),
            ("anthropic claude-haiku-5-5", True, "Claude Haiku 5.5 answers"),
            ("voyage voyage-4", True, "answers with 1024 dimensions"),
        ]
    finally:
        await simulator.stop()


async def test_a_missing_key_and_an_api_that_is_away_are_told_without_the_key() -> None:
    pytest.importorskip("anthropic")
    away = settings("http://127.0.0.1:1", "http://127.0.0.1:1/v1")
    without = {name: text async for name, ok, text in checks(away, {}) if not ok}
    assert list(without) == ["anthropic claude-haiku-5-5", "voyage voyage-4"]
    assert "set ANTHROPIC_API_KEY" in without["anthropic claude-haiku-5-5"]
    refused = {name: text async for name, ok, text in checks(away, KEYS) if not ok}
    assert refused["anthropic claude-haiku-5-5"].startswith("APIConnectionError")
    assert "secret" not in str(refused)
