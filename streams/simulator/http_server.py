"""The HTTP server: takes a request, finds its endpoint, plays its fault, sends its reply.

One handler without router or middleware, because the simulator must keep up with thousands of
calls a second on one core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from streams.simulator import fault_replies as faults
from streams.simulator.calls import Call
from streams.simulator.control import PREFIX, control, read_ahead
from streams.simulator.embeddings import texts_in
from streams.simulator.endpoints import MAX_BATCH_BYTES, Endpoint, find, max_bytes
from streams.simulator.fault_names import CONNECTION
from streams.simulator.journal import CLIENT_CLOSED
from streams.simulator.messages import read_items
from streams.simulator.script import Rule
from streams.simulator.simulation import Simulation
from streams.simulator.wire import RefusalError, Reply, refuse

_DROPPED: Final = 0
"""The status of a request whose connection was dropped instead of an answer."""


class Server:
    """Answers requests out of one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self._open: set[asyncio.Task[Any]] = set()

    async def drop(self) -> None:
        """Ends every request that is open; their connections are closed without an answer."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its headers to its reply. Cancelled when the client goes away."""
        if request.path.startswith(PREFIX):
            body = await request.read()
            if request.method == "POST" and request.path == f"{PREFIX}read":
                return _response(await read_ahead(self.simulation, body), {})
            reply = control(self.simulation, request.method, request.path, request.query, body)
            return _response(reply, {})
        endpoint, argument = find(request.method, request.path)
        simulation = self.simulation
        journal = simulation.journal
        n = journal.next_number()
        call = Call(
            n,
            endpoint.name,
            endpoint.provider,
            endpoint.counted,
            request.headers,
            simulation.request_id(n),
        )
        call.argument, call.query, call.host = argument, request.query, request.host
        call.method = request.method
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        call.arrived_at, call.started = simulation.wall(), simulation.now()
        journal.begin(call)
        try:
            return await self._exchange(request, call, endpoint)
        except asyncio.CancelledError:
            call.status = CLIENT_CLOSED
            raise
        except Exception:  # a defect of this server: aiohttp logs it and answers 500
            call.status = 500
            raise
        finally:
            self._open.discard(task)
            self._end(call)
            call.ended_at = simulation.wall()
            journal.end(call)

    async def _exchange(
        self, request: web.BaseRequest, call: Call, endpoint: Endpoint
    ) -> web.StreamResponse:
        """Reads, answers, waits as long as a real call would take, and sends."""
        rule: Rule | None = None
        try:
            await _read(request, call)
            rule = self.simulation.script.match(call)
            if rule is not None and not rule.billed:
                if rule.fault in CONNECTION:
                    return await self._no_reply(request, call, rule)
                scripted = faults.error_reply(rule, call)
                if scripted is not None:
                    await self._wait(call, call.delay_s)
                    return _sent(call, scripted)
            _check_key(call)
            reply = faults.corrupt_body(await endpoint.respond(self.simulation, call, rule), rule)
        except RefusalError as refusal:
            call.answered = call.cost_nano_usd = 0
            call.limit = refusal.limit
            await self._wait(call, call.delay_s)
            return _sent(call, refuse(refusal, call.provider, call.request_id))
        if endpoint.counted:
            await self._wait(call, self.simulation.due_s(call))
            reply = reply._replace(headers={**reply.headers, **self._end(call)})
        elif call.delay_s:
            await self._wait(call, call.delay_s)
        if rule is not None and rule.billed:
            if rule.fault in CONNECTION:
                return await self._no_reply(request, call, rule)
            reply = faults.error_reply(rule, call) or reply
        if endpoint.stream is not None:
            return await endpoint.stream(
                self.simulation, call, request, reply, _headers(call), rule
            )
        if faults.breaks_off(rule):
            return await self._break_off(request, call, reply, rule)
        return _sent(call, reply)

    def _end(self, call: Call) -> Mapping[str, str]:
        """Tells the limits that the call is over."""
        simulation = self.simulation
        return simulation.limits.end(call, simulation.now(), simulation.wall())

    async def _wait(self, call: Call, due_s: float) -> None:
        """Sleeps until `due_s` after the call's arrival."""
        if due_s > 0:
            remaining_s = call.started + due_s - self.simulation.now()
            if remaining_s > 0:
                await asyncio.sleep(remaining_s)

    async def _no_reply(
        self, request: web.BaseRequest, call: Call, rule: Rule
    ) -> web.StreamResponse:
        """Never answers, or resets the connection; no part of the reply reaches the client."""
        call.answered = 0
        if rule.fault == "hang":
            await faults.never()
        await self._wait(call, call.delay_s)
        call.status = _DROPPED
        faults.reset(request)
        return web.Response(status=500)

    async def _break_off(
        self, request: web.BaseRequest, call: Call, reply: Reply, rule: Rule | None
    ) -> web.StreamResponse:
        """Sends half of the reply, then ends the connection."""
        call.answered, call.status = 0, reply.status
        response = await faults.send_half(request, reply, _headers(call))
        if rule is not None and rule.fault == "reset_after_headers":
            faults.reset(request)
        else:
            faults.close(request)
        return response


async def _read(request: web.BaseRequest, call: Call) -> None:
    """Reads and parses the body. Raises RefusalError for one that is too large or not JSON."""
    if call.endpoint == "models" or request.method != "POST":
        return
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        body = None
    if body is None or len(body) > max_bytes(call.endpoint):
        raise RefusalError(413, "Request exceeds the maximum size")
    if not body and call.argument:
        return
    try:
        parsed: Any = orjson.loads(body)
    except ValueError:
        raise RefusalError(400, "The request body is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise RefusalError(400, "The request body should be an object")
    call.body = parsed
    model = parsed.get("model")
    call.model = model if isinstance(model, str) else ""
    if call.endpoint in ("messages", "count_tokens"):
        call.items = read_items(parsed)
    elif call.provider == "voyage":
        call.items = texts_in(parsed, call.endpoint)


def _check_key(call: Call) -> None:
    """Any key is accepted, in either header, but there must be one; and Anthropic's version."""
    bearer = call.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if call.provider == "voyage":
        if not bearer:
            raise RefusalError(401, "Provided API key is invalid.")
        return
    if not bearer and not call.headers.get("x-api-key"):
        raise RefusalError(401, "x-api-key header is required")
    if not call.headers.get("anthropic-version"):
        raise RefusalError(400, "anthropic-version: header is required")


def _headers(call: Call) -> dict[str, str]:
    if call.provider == "voyage":
        return {"x-request-id": call.request_id}
    return {"request-id": call.request_id, "anthropic-organization-id": "org_simulator"}


def _sent(call: Call, reply: Reply) -> web.Response:
    call.status = reply.status
    if reply.status >= 400 or not reply.body:
        call.answered = 0
    return _response(reply, _headers(call))


def _response(reply: Reply, headers: dict[str, str]) -> web.Response:
    headers = {**headers, **reply.headers, "Content-Type": reply.content_type}
    return web.Response(body=reply.body, status=reply.status, headers=headers)


class Request(web.BaseRequest):
    """A request that takes bodies up to the largest that an endpoint takes."""

    def __init__(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> None:
        loop = asyncio.get_running_loop()
        limit = MAX_BATCH_BYTES + 1
        super().__init__(message, payload, protocol, writer, task, loop, client_max_size=limit)
