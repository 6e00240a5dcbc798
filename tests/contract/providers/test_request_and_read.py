"""A call is `request`, one `send` and `read`; a Message Batch has the same request and reading."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import pytest

from streams.errors import CallError, Fault
from streams.model import Quota, RateLimits
from streams.operations import Completion, Prompt
from streams.providers import WireReply, function_caller, make_caller, register_provider, registry
from tests.contract.providers.conftest import ITEMS, KEYS, task_of
from tests.operations.conftest import items_of

OPERATIONS = ["classify", "extract", "generate", "embed"]


async def batch_results(url: str, params: dict[str, Any]) -> dict[str, Any]:
    """What a Message Batch through the SDK gives for each request, by its custom_id."""
    async with anthropic.AsyncAnthropic(api_key="any", base_url=url, max_retries=0) as client:
        requests: Any = [{"custom_id": name, "params": each} for name, each in params.items()]
        batch = await client.messages.batches.create(requests=requests)
        async with asyncio.timeout(10):
            while batch.processing_status != "ended":
                await asyncio.sleep(0.01)
                batch = await client.messages.batches.retrieve(batch.id)
        lines = await client.messages.batches.results(batch.id)
        return {line.custom_id: line.result.to_dict() async for line in lines}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_request_is_the_sdks_keywords_in_values_that_json_has(operation, simulate, call):
    request = call(task_of(operation), await simulate()).request(ITEMS)
    assert json.loads(json.dumps(request)) == request
    assert request["model"] in ("claude-haiku-5-5", "voyage-4")


@pytest.mark.parametrize("operation", ["classify", "extract", "generate"])
async def test_the_same_request_in_a_message_batch_has_the_same_answers_at_half_the_price(
    operation, simulate, call
):
    simulator = await simulate()
    caller = call(task_of(operation), simulator)
    halves = {"a": ITEMS[:2], "b": ITEMS[2:]}
    called = {name: await caller(items) for name, items in halves.items()}
    results = await batch_results(
        simulator.url, {name: caller.request(items) for name, items in halves.items()}
    )
    for name, items in halves.items():
        reply = caller.read(items, results[name]["message"])
        assert reply.answers == called[name].answers
        assert reply.usage.input_tokens == called[name].usage.input_tokens
        assert reply.usage.output_tokens == called[name].usage.output_tokens
        assert reply.usage.cost_nano_usd == called[name].usage.cost_nano_usd // 2 > 0


async def test_a_refusal_within_a_batch_is_read_as_one_in_a_call_with_its_bill(simulate, call):
    """A batch's request that "succeeded" may hold a refusal."""
    simulator = await simulate({"fault": "refusal", "endpoint": "batch_request"})
    caller = call(task_of("classify"), simulator)
    results = await batch_results(simulator.url, {"a": caller.request(ITEMS)})
    with pytest.raises(CallError) as caught:
        caller.read(ITEMS, results["a"]["message"])
    assert caught.value.fault is Fault.REFUSED
    assert caught.value.usage.cost_nano_usd == round(simulator.state()["cost_usd"] * 1e9)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("message", [None, [], "text", 7, {}, {"content": 1, "data": [1]}])
async def test_a_message_of_any_form_is_a_bad_reply_and_no_defect(
    operation, message, simulate, call
):
    with pytest.raises(CallError) as caught:
        call(task_of(operation), await simulate()).read(ITEMS, message)
    assert caught.value.fault is Fault.BAD_REPLY


LIMITS = {
    "requests_per_minute": 600,
    "input_tokens_per_minute": 1_000_000,
    "output_tokens_per_minute": 200_000,
}


async def test_a_reply_carries_what_its_headers_say_of_the_limits(simulate, call):
    reply = await call(task_of("classify"), await simulate(**LIMITS))(ITEMS)
    limits = reply.rate_limits
    assert [quota.limit for quota in limits] == list(LIMITS.values())
    assert limits.requests.remaining == 599
    assert all(0 <= quota.remaining <= quota.limit for quota in limits)
    assert all(0 <= quota.reset_s <= 61 for quota in limits)


async def test_a_reply_without_such_headers_carries_none(simulate, call):
    simulator = await simulate(voyage_requests_per_minute=600)
    assert (await call(task_of("classify"), simulator)(ITEMS)).rate_limits is None
    assert (await call(task_of("embed"), simulator)(ITEMS)).rate_limits is None


async def test_a_429_carries_what_its_headers_say_of_the_limits(simulate, call):
    caller = call(task_of("classify"), await simulate(**{**LIMITS, "requests_per_minute": 1}))
    await caller(ITEMS)
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert caught.value.fault is Fault.THROTTLED
    limits = caught.value.rate_limits
    assert limits.requests[:2] == (1, 0)
    assert 50 <= limits.requests.reset_s <= 61  # the API gives whole seconds, rounded up
    assert limits.output_tokens.limit == 200_000


async def test_a_reply_of_no_use_carries_them_too(simulate, call):
    """It counted in the limits like any other."""
    with pytest.raises(CallError) as caught:
        await call(task_of("classify"), await simulate({"fault": "refusal"}, **LIMITS))(ITEMS)
    assert caught.value.fault is Fault.REFUSED
    assert caught.value.rate_limits.requests[:2] == (600, 599)


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_callers_of_one_key_address_and_model_share_an_account(operation, simulate, call):
    simulator = await simulate()
    task = task_of(operation)
    account = call(task, simulator).account
    assert call(task_of(operation, name="u", labels=("x", "y")), simulator).account == account
    others = [
        call(task_of(operation, model="another"), simulator),
        call(task, "http://127.0.0.1:1/v1"),
        call(task, simulator, {name: f"{key}-2" for name, key in KEYS.items()}),
    ]
    assert len({account, *(caller.account for caller in others)}) == 4
    assert all("key-of-the-test" not in part for part in account)


def test_a_custom_function_has_no_account():
    assert function_caller(len).account is None


class Echo:
    """A provider of a user's own, in two steps."""

    operations = frozenset({"generate"})
    account = ("echo", "here")

    def request(self, request: Prompt) -> dict[str, Any]:
        return {"prompt": request.user}

    async def send(self, params: dict[str, Any], timeout_s: float) -> WireReply:
        rows, _ = json.JSONDecoder().raw_decode(params["prompt"])
        return WireReply({"rows": rows}, RateLimits(requests=Quota(9)))

    def read(self, message: Any) -> Completion:
        return Completion([{"type": "text", "text": json.dumps(message["rows"])}], "end_turn")

    def describe(self) -> dict[str, Any]:
        return {"provider": "echo"}

    async def aclose(self) -> None:
        pass


async def test_a_registered_provider_may_have_the_two_steps(monkeypatch):
    monkeypatch.setattr(registry, "_factories", {})  # other tests list the names
    register_provider("echo", lambda task, settings, environ: Echo())
    caller = make_caller(task_of("generate", provider="echo"), None, environ={})
    items = items_of(["a", "b"])
    reply = await caller(items)
    assert reply.answers == [{"text": "a"}, {"text": "b"}]
    assert reply.rate_limits == RateLimits(requests=Quota(9))
    assert caller.account == ("echo", "here")
    assert caller.read(items, {"rows": [{"id": "1", "text": "c"}]}).answers[0] == {"text": "c"}
    with pytest.raises(CallError, match="the provider failed: KeyError") as caught:
        caller.read(items, {})
    assert caught.value.fault is Fault.BAD_REPLY
    assert caught.value.__context__ is None


class OneStep:
    """A provider of a user's own, in one step: what the port was before."""

    operations = frozenset({"generate"})

    async def send(self, request: Prompt, timeout_s: float) -> Completion:
        return Completion([{"type": "text", "text": '[{"id": "1", "text": "x"}]'}], "end_turn")

    def describe(self) -> dict[str, Any]:
        return {"provider": "one"}

    async def aclose(self) -> None:
        pass


async def test_tasks_of_a_provider_in_one_step_share_an_account_by_its_name_and_model(monkeypatch):
    monkeypatch.setattr(registry, "_factories", {})
    register_provider("one", lambda task, settings, environ: OneStep())
    task = task_of("generate", provider="one")
    caller = make_caller(task, None, environ={})
    assert caller.account == make_caller(task, None, environ={}).account == ("one", task.model)
    assert (await caller(items_of(["a"]))).answers == [{"text": "x"}]


@pytest.mark.parametrize("response", [None, {"text": "x"}, SystemExit(3)])
@pytest.mark.parametrize("provider", [Echo, OneStep])
async def test_whatever_a_registered_provider_does_its_call_fails_as_a_bad_reply(
    provider, response, monkeypatch
):
    """It was an AttributeError, and sys.exit() ended the worker."""

    async def send(self: Any, asked: Any, timeout_s: float) -> Any:
        if isinstance(response, SystemExit):
            raise response
        return response

    monkeypatch.setattr(registry, "_factories", {})
    monkeypatch.setattr(provider, "send", send)
    register_provider("odd", lambda task, settings, environ: provider())
    caller = make_caller(task_of("generate", provider="odd"), None, environ={})
    with pytest.raises(CallError, match="the provider failed") as caught:
        await caller(items_of(["a"]))
    assert caught.value.fault is Fault.BAD_REPLY
