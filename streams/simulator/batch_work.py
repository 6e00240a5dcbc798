"""Does the requests of a Message Batch, one after the other in `batch_ms`.

Their `params` are checked when their turn comes, as the API does it: bad ones become `errored`
results. The rules of the script apply to each as a call to the endpoint `batch_request`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

from streams.simulator import fault_replies as faults
from streams.simulator.batches import Batch
from streams.simulator.calls import Call
from streams.simulator.messages import answer, read_items
from streams.simulator.prompt import input_tokens
from streams.simulator.simulation import Simulation
from streams.simulator.validation import check_message
from streams.simulator.wire import RefusalError, error_object

_STEP_S: Final = 0.01
"""How long a batch may keep the server busy before other requests get a turn."""
_NOT_IN_BATCHES: Final = ("stream", "speed")


async def work_off(simulation: Simulation, batch: Batch) -> None:
    """Answers the requests, the i-th of n at i/n of `batch_ms`; requests still open when the batch
    is canceled are not answered."""
    started = turn = simulation.now()
    total_s = simulation.settings.batch_ms / 1000
    many = len(batch.requests)
    await asyncio.sleep(0)
    for place, request in enumerate(batch.requests):
        due = started + total_s * (place + 1) / many
        if simulation.now() < due:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(batch.canceled.wait(), due - simulation.now())
        if simulation.now() - turn > _STEP_S:
            await asyncio.sleep(0)
            turn = simulation.now()
        if batch.canceled.is_set():
            batch.add(request["custom_id"], {"type": "canceled"})
        else:
            batch.add(request["custom_id"], await _result(simulation, request["params"]))
    batch.end()


async def _result(simulation: Simulation, params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of one request; the journal records it like a call, at half the price."""
    journal = simulation.journal
    n = journal.next_number()
    call = Call(n, "batch_request", "anthropic", False, {}, simulation.request_id(n))
    call.arrived_at = simulation.wall()
    call.body, call.model = params, str(params.get("model"))
    call.items = read_items(params)
    try:
        result = await _answered(simulation, call)
        call.status = 200 if result["type"] == "succeeded" else 0
    except RefusalError as refusal:
        call.status, call.answered = refusal.status, 0
        result = {"type": "errored", "error": error_object(refusal, call.request_id)}
    call.cost_nano_usd //= 2
    call.ended_at = simulation.wall()
    journal.end(call)
    return result


async def _answered(simulation: Simulation, call: Call) -> dict[str, Any]:
    rule = simulation.script.match(call)
    if rule is not None:
        if rule.fault == "expired":
            return {"type": "expired"}
        scripted = faults.refusal(rule)
        if scripted is not None:
            raise scripted
    for name in _NOT_IN_BATCHES:
        if call.body.get(name):
            raise RefusalError(400, f"{name}: is not supported in a batch")
    model = check_message(call.body, "2026-10-21")
    tokens = input_tokens(call.body)
    cached = simulation.cache.use(call.body, model, simulation.now())
    message = await answer(simulation, call, model, tokens, cached, rule)
    message["usage"]["service_tier"] = "batch"
    return {"type": "succeeded", "message": message}
