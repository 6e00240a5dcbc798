"""The endpoints of the Message Batches: create, list, retrieve, cancel, delete, results."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from streams.simulator import fault_replies as faults
from streams.simulator.batch_course import course_of
from streams.simulator.batch_work import work_off
from streams.simulator.batches import Batch
from streams.simulator.calls import Call
from streams.simulator.models import page_limit
from streams.simulator.wire import RefusalError, Reply

if TYPE_CHECKING:
    from streams.simulator.script import Rule
    from streams.simulator.simulation import Simulation


async def create(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/messages/batches."""
    course = course_of(simulation.settings, simulation.script.match_batch(call))
    now = simulation.now()
    batch = simulation.batches.create(simulation.seed, call.body.get("requests"), course, now)
    batch.host, call.body = call.host, {}
    simulation.submissions.add(batch)
    simulation.batches.start(work_off(simulation, batch))
    return _object(simulation, batch)


async def list_batches(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """GET /v1/messages/batches: the newest first; `after_id` goes on to older ones, `before_id`
    back to newer ones."""
    names = list(reversed(simulation.batches.by_name))
    limit = page_limit(call)
    after, before = call.query.get("after_id"), call.query.get("before_id")
    for name in (after, before):
        if name is not None and name not in simulation.batches.by_name:
            raise RefusalError(404, f"Message Batch '{name}' not found")
    if before is not None:
        newer = names[: names.index(before)]
        page, more = newer[-limit:], len(newer) > limit
    else:
        older = names if after is None else names[names.index(after) + 1 :]
        page, more = older[:limit], len(older) > limit
    now = simulation.now()
    body = {
        "data": [simulation.batches.by_name[name].as_json(now) for name in page],
        "has_more": more,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }
    return Reply(200, orjson.dumps(body))


def _batch(simulation: Simulation, call: Call) -> Batch:
    batch = simulation.batches.by_name.get(call.argument)
    if batch is None or batch.is_hidden(simulation.now()):
        raise RefusalError(404, f"Message Batch '{call.argument}' not found")
    return batch


def _object(simulation: Simulation, batch: Batch) -> Reply:
    return Reply(200, orjson.dumps(batch.as_json(simulation.now())))


async def retrieve(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """GET /v1/messages/batches/{id}."""
    return _object(simulation, _batch(simulation, call))


async def cancel(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/messages/batches/{id}/cancel: without effect on a batch that has ended."""
    batch = _batch(simulation, call)
    batch.cancel(simulation.now())
    return _object(simulation, batch)


async def delete(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """DELETE /v1/messages/batches/{id}: of a batch that has ended."""
    batch = _batch(simulation, call)
    if batch.status != "ended":
        raise RefusalError(400, "A Message Batch can be deleted when it has ended; cancel it first")
    del simulation.batches.by_name[batch.name]
    batch.results.clear()  # the submissions keep the rest
    return Reply(200, orjson.dumps({"id": batch.name, "type": "message_batch_deleted"}))


async def results(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """GET /v1/messages/batches/{id}/results: the lines, shuffled by the seed."""
    batch = _batch(simulation, call)
    if not batch.has_results(simulation.now()):
        raise RefusalError(404, f"Message Batch '{batch.name}' has no available results")
    lines = list(batch.results)
    random.Random(f"{simulation.seed} {batch.name}").shuffle(lines)
    if rule is not None and rule.fault == "short_results":
        del lines[-rule.count :]
    if rule is not None and rule.fault == "blank_lines":
        lines = [line + b"\n" for line in lines]
    return Reply(200, b"".join(lines), content_type="application/x-jsonl")


async def send_results(
    simulation: Simulation,
    call: Call,
    request: web.BaseRequest,
    reply: Reply,
    headers: dict[str, str],
    rule: Rule | None,
) -> web.StreamResponse:
    """Sends the lines in chunks that end anywhere, also within a line or a character; by script,
    half of them and then no more."""
    response = web.StreamResponse(headers={**headers, "Content-Type": reply.content_type})
    response.enable_chunked_encoding()
    await response.prepare(request)
    broken = faults.breaks_off(rule)
    end = len(reply.body) // 2 if broken else len(reply.body)
    sizes = random.Random(f"{simulation.seed} {call.argument} chunks")
    at = 0
    while at < end:
        size = sizes.randrange(1, 65_536) if sizes.random() < 0.9 else 1
        await response.write(reply.body[at : min(at + size, end)])
        at += size
    call.status = reply.status
    if not broken:
        await response.write_eof()
    elif rule is not None and rule.fault == "reset_after_headers":
        faults.reset(request)
    else:
        faults.close(request)
    return response
