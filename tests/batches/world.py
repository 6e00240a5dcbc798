"""Whole runs of batch mode in virtual time: everything around the real `BatchRun`.

    BatchRun ─► WorldApi (batches that take hours), WorldState, WorldDoor, live calls

Each of these takes steps: one before and one after what it does. A run can be killed at any step:
`Killed` is raised there, and nothing that this process does counts from then on. What it has done
stays: a batch whose creation nobody has answered is there.

A text says what becomes of it: "poison 3" makes the model decline the whole request, "mute 4" is
never answered, "dropped 5" needs no call; all others are answered, now and then not at once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from streams.batches.batch_door import Cursor, Ranges
from streams.batches.batch_operation import BatchOperation
from streams.batches.batch_run import BatchRun
from streams.batches.core.batch_packing import ChunkBounds
from streams.batches.core.run_terms import RunTerms
from streams.batches.run_head import RunHead
from streams.batches.run_report import RunSummary
from streams.core.call import Slot
from streams.core.limits import Limits
from streams.errors import CallError, Fault, ItemError
from streams.model import DROP, Reply, Unanswered, Usage
from streams.providers.batch_port import BatchGone, BatchStatus, UnclearCreation
from tests.simulation.loop import EPOCH_S, virtual_world

LIVE_NANO = 1_000
"""The price of an item that is called live; in a batch it is half."""

RUN = "replay7f3a"


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Weather:
    """How bad things are: shares of what goes wrong, from 0 to 1, and times in seconds."""

    errored: float = 0.03
    expired: float = 0.02
    unanswered: float = 0.01
    lost_creations: float = 0.0  # the batch is there up to ten seconds later, its answer is not
    unclear_creations: float = 0.0  # no answer, and no batch
    refused_creations: float = 0.0
    outages: float = 0.0  # of all other questions
    late_s: float = 0.0  # 404 so long after a creation and after the end
    strangers: float = 0.0  # another's batch of the same size at the same time
    takes_s: tuple[float, float] = (600.0, 7200.0)
    live_s: float = 2.0
    cancel_s: float = 30.0


class Text(NamedTuple):
    text: str


@dataclass
class WorldBatch:
    id: str
    requests: list[dict[str, Any]]
    created_at: float
    ends_at: float
    cancelled_at: float | None = None
    ended_at: float = 0.0
    lines: list[bytes] = field(default_factory=list)


class World:
    """`texts`: the input. `kill_at`: the numbers of the steps at which its process dies."""

    def __init__(
        self,
        seed: int,
        texts: Sequence[str],
        weather: Weather | None = None,
        *,
        kill_at: Sequence[int] = (),
        terms: RunTerms | None = None,
        deadline_s: float | None = None,
        cancel_at_s: float | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.texts = list(texts)
        self.weather = weather or Weather()
        self.kill_at = set(kill_at)
        self.limits = Limits(max_items=4, max_in_flight=5)
        self.terms = terms or RunTerms(bounds=ChunkBounds(max_requests=12))
        deadline = None if deadline_s is None else int((EPOCH_S + deadline_s) * 1000)
        self.head = RunHead(RUN, {}, int(EPOCH_S * 1000), deadline)
        self.steps = self.kills = 0
        self.alive = True
        self.state: dict[str, bytes] = {}
        self.emitted: list[tuple[int, Any]] = []
        self.batches: dict[str, WorldBatch] = {}
        self.answered: Counter[str] = Counter()
        self.answered_in_batches: Counter[str] = Counter()
        self.live_calls = 0
        self.vanish_at: tuple[float, set[int]] = (0.0, set())
        self.forgets: set[str] = set()
        self.refuses_parameters = False
        self.cancel_at_s = cancel_at_s
        self.ended_at = 0.0  # when the last run was over

    @property
    def now(self) -> float:
        """Virtual seconds; after the run, when it was over."""
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return self.ended_at

    async def step(self, seconds: float = 0.01) -> None:
        if seconds:
            await asyncio.sleep(seconds)
        if not self.alive:
            raise Killed
        self.steps += 1
        if self.steps in self.kill_at:
            self.alive = False
            raise Killed

    def happens(self, share: float) -> bool:
        return self.random.random() < share

    # -- the run -----------------------------------------------------------------------------------

    async def process(self, *, cancels: bool = False) -> RunSummary:
        """One process, until the run is over or it is killed."""
        self.alive = True
        records = await WorldState(self).load()
        head = RunHead.read(records) or self.head
        run = BatchRun(
            head,
            self.operation(),
            WorldDoor(self),
            WorldApi(self),
            WorldState(self),
            records,
            self.terms,
            cancels=cancels,
        )
        if self.cancel_at_s is not None:
            asyncio.get_running_loop().call_at(self.cancel_at_s, run.cancel)
        return await run.run()

    async def to_the_end(self) -> RunSummary:
        """Processes one after the other, each until it is killed."""
        while True:
            try:
                return await self.process()
            except Killed:
                self.kills += 1
                await asyncio.sleep(self.random.uniform(0, 120))

    # -- the operation -----------------------------------------------------------------------------

    def operation(self) -> BatchOperation:
        return BatchOperation(
            request=lambda items: {"texts": [item.text for item in items]},
            read=self.read,
            call=self.call,
            limits=self.limits,
            timeout_s=60.0,
            account=None,
            has_price=True,
        )

    def answer(self, texts: Sequence[str], *, live: bool) -> dict[str, Any]:
        """The API's message for a request."""
        nano = LIVE_NANO if live else LIVE_NANO // 2
        if any(text.startswith("poison") for text in texts):
            return {"refused": True, "nano": nano * len(texts)}
        answers = []
        for text in texts:
            silent = text.startswith("mute") or self.happens(self.weather.unanswered)
            answers.append(None if silent else f"about {text}")
            if not silent:
                self.answered[text] += 1
                self.answered_in_batches[text] += not live
        return {"answers": answers, "nano": nano * len(texts)}

    @staticmethod
    def read(items: Sequence[Any], message: Any) -> Reply:
        usage = Usage(10 * len(items), len(items), message["nano"])
        if message.get("refused"):
            raise CallError(Fault.REFUSED, "declined", usage=usage)
        answers = message["answers"]
        assert len(answers) == len(items), "a result of other items"
        given = [Unanswered.MISSING if each is None else {"says": each} for each in answers]
        for item, answer in zip(items, given, strict=True):
            assert answer is Unanswered.MISSING or answer == {"says": f"about {item.text}"}
        return Reply(given, usage)

    async def call(self, items: list[Any]) -> Reply:
        await self.step(self.random.uniform(0.5, 1.5) * self.weather.live_s)
        if self.refuses_parameters:
            raise CallError(Fault.REJECTED, "no such parameter")
        if self.happens(self.weather.outages):
            raise CallError(Fault.SERVER, "HTTP 500")
        message = self.answer([item.text for item in items], live=True)
        self.live_calls += 1
        await self.step(0)
        return self.read(items, message)

    # -- what must be true -------------------------------------------------------------------------

    def expected(self, text: str) -> Any:
        if text.startswith("poison"):
            return "refused"
        if text.startswith("mute"):
            return "no_answer"
        return DROP if text.startswith("dropped") else {"says": f"about {text}"}

    def check_emitted(self) -> None:
        """Every item once, in order, with its own outcome."""
        assert [seq for seq, _ in self.emitted] == [
            seq for seq in range(len(self.texts)) if seq not in self.vanished
        ]
        for seq, outcome in self.emitted:
            code = outcome.code if isinstance(outcome, ItemError) else outcome
            assert code == self.expected(self.texts[seq]), self.texts[seq]

    def check_submissions(self) -> None:
        """No request was submitted twice: not in the same round of the same chunk."""
        ids = [each["custom_id"] for batch in self.batches.values() for each in batch.requests]
        ours = [name for name in ids if name.startswith(RUN)]
        assert len(ours) == len(set(ours)), [n for n, k in Counter(ours).items() if k > 1]

    @property
    def vanished(self) -> set[int]:
        """The items that are not in the input any more."""
        at, vanished = self.vanish_at
        return vanished if self.now >= at else set()

    @property
    def paid_twice(self) -> int:
        """Answers to items that had one."""
        return sum(count - 1 for count in self.answered.values() if count > 1)

    @property
    def paid_twice_by_batches(self) -> int:
        return sum(count - 1 for count in self.answered_in_batches.values() if count > 1)


def run_world(world: World, seed: int = 0, *, within_s: float = 60 * 86_400.0) -> RunSummary:
    """The whole run in virtual time; returns when it is over."""
    with virtual_world(seed) as loop:

        async def limited() -> RunSummary:
            async with asyncio.timeout(within_s):
                return await world.to_the_end()

        try:
            return loop.run_until_complete(limited())
        finally:
            world.ended_at = loop.time()
            assert loop.defects == [], loop.defects


class WorldState:
    """Carries out `RunState`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def load(self) -> dict[str, bytes]:
        return dict(self._world.state)

    async def put(self, key: str, value: bytes | None) -> None:
        await self._world.step()
        if value is None:
            self._world.state.pop(key, None)
        else:
            orjson.loads(value)
            self._world.state[key] = value
        await self._world.step()


class WorldDoor:
    """Carries out `BatchDoor`: two lanes, the second with every other item."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.count = len(world.texts)

    def _slot(self, seq: int) -> Slot:
        text = self._world.texts[seq]
        lane = 0 if seq < len(self._world.texts) // 2 else 3
        size = len(text)
        slot = Slot(lane, seq, Text(text), tokens=size, size=size, memory=200)
        if text.startswith("dropped"):
            slot.outcome = DROP
        return slot

    async def slots(self, after: Cursor | None) -> AsyncIterator[list[Slot]]:
        first = 0 if after is None else after.seq + 1
        for seq in range(first, len(self._world.texts), 1):
            if seq not in self._world.vanished:
                yield [self._slot(seq)]

    async def again(self, ranges: Ranges) -> AsyncIterator[list[Slot]]:
        await self._world.step()
        for lane, first, last in ranges:
            slots = [
                self._slot(seq) for seq in range(first, last + 1) if seq not in self._world.vanished
            ]
            assert all(slot.lane == lane for slot in slots)
            yield slots

    async def emit(self, slots: list[Slot]) -> None:
        for slot in slots:
            await self._world.step(0)
            has = self._world.emitted and self._world.emitted[-1][0] >= slot.seq
            if not has:
                self._world.emitted.append((slot.seq, _value(slot.outcome)))
        await self._world.step()


def _value(outcome: Any) -> Any:
    return orjson.loads(orjson.dumps(outcome)) if isinstance(outcome, orjson.Fragment) else outcome


class WorldApi:
    """Carries out `BatchApi`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, requests: Sequence[bytes]) -> BatchStatus:
        world, weather = self._world, self._world.weather
        await world.step()
        if world.happens(weather.refused_creations):
            raise CallError(Fault.THROTTLED, "too many requests wait", retry_after_s=30.0)
        if world.happens(weather.unclear_creations):
            raise UnclearCreation(Fault.CONNECTION, "reset")
        listed = [orjson.loads(each) for each in requests]
        if world.happens(weather.strangers):
            self._add([{"custom_id": f"stranger-{n}", "params": {"texts": []}} for n in listed])
        if world.happens(weather.lost_creations):
            self._add(listed, later_s=world.random.uniform(0, 10))
            await world.step(0)
            raise UnclearCreation(Fault.TIMEOUT, "no reply in time")
        batch = self._add(listed)
        await world.step(0)
        return self._status(batch)

    def _add(self, requests: list[dict[str, Any]], later_s: float = 0.0) -> WorldBatch:
        world = self._world
        name, created_at = f"msgbatch_{len(world.batches)}", world.now + later_s
        ends_at = created_at + world.random.uniform(*world.weather.takes_s)
        batch = world.batches[name] = WorldBatch(name, requests, created_at, ends_at)
        return batch

    async def _ask(self) -> None:
        await self._world.step()
        if self._world.happens(self._world.weather.outages):
            raise CallError(Fault.CONNECTION, "reset")

    def _find(self, batch_id: str) -> WorldBatch:
        batch = self._world.batches.get(batch_id)
        if batch is None or self._world.now < batch.created_at + self._world.weather.late_s:
            raise BatchGone(Fault.ACCOUNT, "not found", status=404)
        return batch

    def _status(self, batch: WorldBatch) -> BatchStatus:
        ended = self._end(batch)
        created_at_ms = int((EPOCH_S + batch.created_at) * 1000)
        kinds = Counter(orjson.loads(line)["result"]["type"] for line in batch.lines)
        counts = [kinds[kind] for kind in ("succeeded", "errored", "canceled", "expired")]
        return BatchStatus(batch.id, ended, len(batch.requests), created_at_ms, *counts)

    def _end(self, batch: WorldBatch) -> bool:
        """Makes the results once it has ended."""
        world, ends_at = self._world, batch.ends_at
        if batch.cancelled_at is not None:
            ends_at = min(ends_at, batch.cancelled_at + world.weather.cancel_s)
        if world.now < ends_at:
            return False
        if not batch.lines:
            batch.ended_at = ends_at
            done = (ends_at - batch.created_at) / (batch.ends_at - batch.created_at)
            for place, request in enumerate(batch.requests):
                in_time = place < done * len(batch.requests)
                result = self._result(request) if in_time else {"type": "canceled"}
                line = {"custom_id": request["custom_id"], "result": result}
                batch.lines.append(orjson.dumps(line))
            world.random.shuffle(batch.lines)
        return True

    def _result(self, request: dict[str, Any]) -> dict[str, Any]:
        world, weather = self._world, self._world.weather
        if world.happens(weather.expired):
            return {"type": "expired"}
        if world.happens(weather.errored):
            error = {"type": "api_error", "message": "Internal server error"}
            return {"type": "errored", "error": {"type": "error", "error": error}}
        message = world.answer(request["params"]["texts"], live=False)
        return {"type": "succeeded", "message": message}

    async def retrieve(self, batch_id: str) -> BatchStatus:
        await self._ask()
        return self._status(self._find(batch_id))

    async def list(self, since_ms: int) -> list[BatchStatus]:
        await self._ask()
        created = [
            each for each in self._world.batches.values() if each.created_at <= self._world.now
        ]
        statuses = [self._status(batch) for batch in created]
        return [status for status in statuses if status.created_at_ms >= since_ms]

    async def results(self, status: BatchStatus, path: Path) -> None:
        await self._ask()
        batch = self._find(status.id)
        late = self._world.now < batch.ended_at + self._world.weather.late_s
        if late or status.id in self._world.forgets:
            raise BatchGone(Fault.ACCOUNT, "no results yet", status=404)
        path.write_bytes(b"\n".join(batch.lines))  # noqa: ASYNC240  # the loop has no threads

    async def cancel(self, batch_id: str) -> None:
        await self._ask()
        batch = self._find(batch_id)
        if not self._end(batch) and batch.cancelled_at is None:
            batch.cancelled_at = self._world.now

    async def aclose(self) -> None:
        pass
