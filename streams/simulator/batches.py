"""Message Batches: created at once, worked off one request after the other in `batch_ms`, ended.

The requests' `params` are checked when they are worked off, as the API does it: bad ones become
`errored` results. The rules of the script apply to each as a call to the endpoint `batch_request`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams.simulator import fault_replies as faults
from streams.simulator.calls import Call
from streams.simulator.messages import answer, read_items
from streams.simulator.prompt import input_tokens
from streams.simulator.validation import check_message
from streams.simulator.wire import RefusalError, error_object

if TYPE_CHECKING:
    from streams.simulator.simulation import Simulation

MOST_REQUESTS: Final = 100_000
LIFETIME: Final = datetime.timedelta(hours=24)
_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_STEP_S: Final = 0.01
"""How long a batch may keep the server busy before it lets others in."""
_NOT_STREAMED: Final = ("stream", "speed")


class Batch:
    """One Message Batch. `results`: a line of JSON for each request done, in their order."""

    def __init__(self, name: str, requests: Sequence[Mapping[str, Any]], host: str) -> None:
        self.name = name
        self.host = host
        self.requests = requests
        self.results: list[bytes] = []
        self.counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
        self.created_at = _now()
        self.ended_at: datetime.datetime | None = None
        self.cancel_initiated_at: datetime.datetime | None = None
        self.canceled = asyncio.Event()

    @property
    def status(self) -> str:
        if self.ended_at is not None:
            return "ended"
        return "in_progress" if self.cancel_initiated_at is None else "canceling"

    def as_json(self) -> dict[str, Any]:
        """The object as the API gives it: counts stay 0 until the batch has ended."""
        ended = self.ended_at is not None
        counts = self.counts if ended else dict.fromkeys(self.counts, 0)
        url = f"http://{self.host}/v1/messages/batches/{self.name}/results"
        return {
            "id": self.name,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": {"processing": 0 if ended else len(self.requests), **counts},
            "created_at": _stamp(self.created_at),
            "expires_at": _stamp(self.created_at + LIFETIME),
            "ended_at": _stamp(self.ended_at),
            "cancel_initiated_at": _stamp(self.cancel_initiated_at),
            "archived_at": None,
            "results_url": url if ended else None,
        }

    def cancel(self) -> None:
        """Ends the work on what is not done yet; without effect on a batch that has ended."""
        if self.ended_at is None and self.cancel_initiated_at is None:
            self.cancel_initiated_at = _now()
            self.canceled.set()

    def add(self, custom_id: str, result: Mapping[str, Any]) -> None:
        """Notes the result of the next request."""
        self.counts[result["type"]] += 1
        self.results.append(orjson.dumps({"custom_id": custom_id, "result": result}) + b"\n")


class Batches:
    """The batches there are, and the tasks that work them off."""

    def __init__(self) -> None:
        self.known: dict[str, Batch] = {}
        self._made = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, simulation: Simulation, requests: Any, host: str) -> Batch:
        """Takes a batch and starts to work it off. Raises RefusalError (400)."""
        check_requests(requests)
        self._made += 1
        batch = Batch(f"msgbatch_sim{simulation.seed:x}n{self._made:06d}", requests, host)
        self.known[batch.name] = batch
        task = asyncio.create_task(_work_off(simulation, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return batch

    def stop(self) -> None:
        """Ends all work; nothing is kept."""
        for task in self._tasks:
            task.cancel()
        self.known.clear()


def check_requests(requests: Any) -> None:
    """Refuses what is refused at once: the list's form, its length and its ids."""
    if not isinstance(requests, list) or not requests:
        raise RefusalError(400, "requests: List should have at least 1 item")
    if len(requests) > MOST_REQUESTS:
        raise RefusalError(400, f"requests: at most {MOST_REQUESTS} are allowed")
    seen = set()
    for place, request in enumerate(requests):
        if not isinstance(request, dict) or not isinstance(request.get("params"), dict):
            raise RefusalError(400, f"requests.{place}.params: Field required")
        custom_id = request.get("custom_id")
        if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
            raise RefusalError(
                400,
                f"requests.{place}.custom_id: should match '^[a-zA-Z0-9_-]{{1,64}}$'",
            )
        if custom_id in seen:
            raise RefusalError(400, f"requests.{place}.custom_id: '{custom_id}' is not unique")
        seen.add(custom_id)


async def _work_off(simulation: Simulation, batch: Batch) -> None:
    """Works off the requests, the i-th of n at i/n of `batch_ms`; those left when the batch is
    canceled are not done."""
    started = turn = simulation.now()
    whole_s = simulation.settings.batch_ms / 1000
    many = len(batch.requests)
    await asyncio.sleep(0)
    for place, request in enumerate(batch.requests):
        due = started + whole_s * (place + 1) / many
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
    batch.ended_at = _now()


async def _result(simulation: Simulation, params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of one request; it stands in the ledger like a call, at half the price."""
    ledger = simulation.ledger
    n = ledger.next_number()
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
    ledger.end(call)
    return result


async def _answered(simulation: Simulation, call: Call) -> dict[str, Any]:
    rule = simulation.script.match(call)
    if rule is not None:
        if rule.fault == "expired":
            return {"type": "expired"}
        scripted = faults.refusal(rule)
        if scripted is not None:
            raise scripted
    for name in _NOT_STREAMED:
        if call.body.get(name):
            raise RefusalError(400, f"{name}: is not supported in a batch")
    model = check_message(call.body, "2026-10-21")
    tokens = input_tokens(call.body)
    cached = simulation.cache.use(call.body, model, simulation.now())
    message = await answer(simulation, call, model, tokens, cached, rule)
    message["usage"]["service_tier"] = "batch"
    return {"type": "succeeded", "message": message}


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _stamp(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
