"""The key that the API gets, also while its file changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import CallError, Fault
from streams.providers import make_caller
from tests.contract.providers.conftest import ITEMS, task_of
from tests.contract.providers.http_proxy import http_proxy


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
