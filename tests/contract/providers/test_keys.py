"""The key that the API gets, also while its file changes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.core.events import Paused, Resumed
from streams.errors import CallError, Fault
from streams.policies.retry import Backoff
from streams.providers import make_caller
from tests.contract.providers.conftest import ITEMS, task_of
from tests.contract.providers.http_proxy import http_proxy
from tests.running.doors import Door


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_every_task_calls_with_the_key_that_its_file_holds_now(operation, simulate, tmp_path):
    """The probe of a pause does, since it is a call like any other; and the account stays the
    same, with all that pauses there."""
    simulator = await simulate({"fault": "unauthorized", "times": 1})
    file = tmp_path / "key"
    file.write_text("sk-ant-old\n")
    url = "http://api.example.test" + ("/v1" if operation == "embed" else "")
    settings: Any = SimpleNamespace(base_url=url, api_key_file=file)
    async with http_proxy(simulator.port) as proxy:
        environ = {"HTTP_PROXY": proxy.url}
        tasks = [task_of(operation, name=name) for name in "tu"]
        callers = [make_caller(task, settings, environ=environ) for task in tasks]
        account = callers[0].account
        with pytest.raises(CallError) as caught:
            await callers[0](ITEMS)
        assert caught.value.fault is Fault.ACCOUNT
        file.write_text("sk-ant-new\n")
        for caller in callers:
            await caller(ITEMS)
        assert proxy.keys == ["sk-ant-old", "sk-ant-new", "sk-ant-new"]
        assert {caller.account for caller in callers} == {account}
        for caller in callers:
            await caller.aclose()


async def test_a_pause_for_a_refused_key_ends_with_the_probe_after_the_file_has_changed(
    simulate, tmp_path
):
    """It lasted until the worker was started anew."""
    simulator = await simulate()
    file = tmp_path / "key"
    file.write_text("old")
    settings: Any = SimpleNamespace(base_url="http://api.example.test", api_key_file=file)
    async with http_proxy(simulator.port) as proxy:
        proxy.right_key = "new"
        caller = make_caller(task_of("classify"), settings, environ={"HTTP_PROXY": proxy.url})
        door = Door(caller, max_items=4, account_backoff=Backoff(0.02, 0.02))
        door.arrive(ITEMS)
        await door.until_ended(3)
        assert door.outcomes == [], "a refused key is no item's fault"
        assert isinstance(door.pauses[-1], Paused)
        file.write_text("new")
        async with asyncio.timeout(10):
            while len(door.outcomes) < len(ITEMS):
                await door.until_ended(len(door.events) + 1)
        assert set(proxy.keys) == {"old", "new"}
        assert proxy.keys[-1] == "new"
        assert isinstance(door.pauses[-1], Resumed)
        await door.runner.stop()
        await caller.aclose()


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_the_key_in_a_refusal_is_hidden_also_after_it_has_changed(
    operation, simulate, tmp_path
):
    simulator = await simulate({"fault": "unauthorized", "message": "wrong: hush2 and nothing"})
    file = tmp_path / "key"
    file.write_text("hush1")
    url = simulator.voyage_url if operation == "embed" else simulator.url
    settings: Any = SimpleNamespace(base_url=url, api_key_file=file)
    caller = make_caller(task_of(operation), settings, environ={})
    file.write_text("hush2")
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert "hush" not in str(caught.value)
    await caller.aclose()
