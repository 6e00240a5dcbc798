"""Does the requests of a Message Batch, the i-th of n at i/n of the time that it takes.

Their `params` are checked when their turn comes, as the API does it: bad ones become `errored`
results. The rules of the script apply to each as a call to the endpoint `batch_request`. Batches
work in turns of a few milliseconds, so that none holds up another, nor the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from streams.simulator import fault_replies as faults
from streams.simulator.batches import Batch
from streams.simulator.calls import Call
from streams.simulator.encoder import digest
from streams.simulator.messages import answer, read_items
from streams.simulator.prompt import input_tokens
from streams.simulator.simulation import Simulation
from streams.simulator.validation import check_message
from streams.simulator.wire import RefusalError, error_object

_TURN_S: Final = 0.005
"""How long a batch may keep the server busy before others get a turn; and the shortest sleep."""
_NOT_IN_BATCHES: Final = ("stream", "speed")


async def work_off(simulation: Simulation, batch: Batch) -> None:
    """Answers the requests until the batch ends: with the last of them, when it expires, or when
    its cancelling is done. What is answered by then stays."""
    batches = simulation.batches
    stalled = _stalled(simulation, batch)
    todo = [place for place in range(batch.size) if place not in stalled]
    each_s = batch.course.takes_s / batch.size
    done = 0
    while True:
        async with batches.turn:
            done = await _turn(simulation, batch, todo, done, each_s)
            await asyncio.sleep(0)  # the server's turn
        if done == len(todo) and not stalled:
            break
        due = batch.created + each_s * (todo[done] + 1) if done < len(todo) else batch.ends
        await _sleep(simulation, batch, min(due, batch.ends))
        if simulation.now() >= batch.ends:
            break
    kind = "expired" if batch.cancel_initiated_at is None else "canceled"
    for place in sorted([*todo[done:], *stalled]):
        batch.add(place, {"type": kind}, 0)
    batch.end(simulation.now())


async def _turn(
    simulation: Simulation, batch: Batch, todo: list[int], done: int, each_s: float
) -> int:
    """Answers what is due, from `todo[done]` on, for one turn; returns how much is done."""
    turn_ends = min(simulation.now() + _TURN_S, batch.ends)
    while done < len(todo):
        place = todo[done]
        now = simulation.now()
        if now >= turn_ends or now < batch.created + each_s * (place + 1):
            break
        await _answer(simulation, batch, place)
        done += 1
    return done


async def _sleep(simulation: Simulation, batch: Batch, until: float) -> None:
    """Until this moment, or until the batch is canceled."""
    now = simulation.now()
    if until <= now:
        return
    sleep_s = max(until - now, _TURN_S)
    if batch.canceled.is_set():
        await asyncio.sleep(sleep_s)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(sleep_s):
            await batch.canceled.wait()


def _stalled(simulation: Simulation, batch: Batch) -> set[int]:
    """The places of the requests that are never answered, drawn from the seed by their ids."""
    share = batch.course.stalled
    if not share:
        return set()
    return {
        place
        for place, custom_id in enumerate(batch.custom_ids)
        if digest(simulation.seed, "stalled", custom_id) / 2**64 < share
    }


async def _answer(simulation: Simulation, batch: Batch, place: int) -> None:
    """Does one request; the journal records it like a call, at half the price."""
    journal = simulation.journal
    n = journal.next_number()
    call = Call(n, "batch_request", "anthropic", False, {}, simulation.request_id(n))
    call.arrived_at = simulation.wall()
    params: Mapping[str, Any] = orjson.loads(batch.params[place])
    call.body, call.model = params, str(params.get("model"))
    call.items = read_items(params)
    try:
        result = await _result(simulation, call)
        call.status = 200 if result["type"] == "succeeded" else 0
    except RefusalError as refusal:
        call.status, call.answered = refusal.status, 0
        result = {"type": "errored", "error": error_object(refusal, call.request_id)}
    call.cost_nano_usd //= 2
    call.ended_at = simulation.wall()
    journal.end(call)
    if result["type"] == "succeeded":
        simulation.submissions.answer(batch, place, call.cost_nano_usd)
    batch.add(place, result, call.cost_nano_usd)


async def _result(simulation: Simulation, call: Call) -> dict[str, Any]:
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
