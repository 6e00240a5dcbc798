"""Makes a plan happen, and judges what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from tests.chaos.account import Account
from tests.chaos.fleet import Fleet, name_of
from tests.chaos.schedule import Plan, Step
from tests.chaos.simulator import SimulatorProcess
from tests.chaos.watch import Watch, watching
from tests.conftest import _create_topic
from tests.integration.topics import grow_topic

BEGIN_WITHIN_S = 60.0
STALL_S = 30.0
"""A partition with lag that does not move for so long, while no fault is under way, stands still:
the session (6 s), a start of a worker on a busy machine, and as much again."""

GRACE_S = 10.0
SESSION_S = 6.0
LEARNS_S = 3.0
"""How long a worker that was lost may write before it learns of it: a heartbeat's time."""

FROZEN, CUT_OFF = "frozen", "cut off"
PUBLISH_EVERY_S = 0.25
NEW_ITEMS = 30
HISTORIES = 5


class StalledError(AssertionError):
    """A partition with lag made no progress."""


class Run:
    """One plan on one broker. `go` returns its figures; `account` has everything."""

    def __init__(self, broker: Any, plan: Plan, simulator: SimulatorProcess) -> None:
        self.plan = plan
        self.account = Account(plan.guarantee)
        self._broker = broker
        self._source = f"chaos-{plan.seed}-{plan.nodes}-{time.time_ns() % 10**9}"
        self._simulator = simulator
        self._fleet = Fleet(broker.bootstrap, plan, self._source, simulator)
        self._began = time.monotonic()
        self._stopped_from: dict[int, dict[int, int]] = {}
        self._ends: dict[int, int] = {}
        self._disturbed_at = 0.0
        self._longest_stand_s = 0.0
        self._number = 0
        self._partitions = plan.partitions
        # A new leader, or a transaction's marker, shows a record later than its writer knew of it.
        grace_s = GRACE_S if plan.guarantee == "exactly_once" or plan.nodes > 1 else 0.0
        self._watch = Watch(
            broker.bootstrap, self._fleet.group, self._source, plan.partitions,
            self.account, self.now, grace_s,
        )  # fmt: skip
        self._producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, enable_idempotence=True, metadata_max_age_ms=2000
        )

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def _say(self, what: str) -> None:
        self.account.events.append((self.now(), what))
        self._disturbed_at = self.now()

    # -- the course of a run -------------------------------------------------------------------

    async def go(self) -> dict[str, Any]:
        """Raises AssertionError with the plan, the histories of the items that break a promise,
        and the workers' logs."""
        for name in (self._source, f"{self._source}.out", f"{self._source}.dead"):
            await _create_topic(self._broker, name, self.plan.partitions, {})
        always = {"fault": "delay", "delay_ms": self.plan.latency_ms}
        self._simulator.begin([always, *self.plan.rules])
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._producer)
                await stack.enter_async_context(watching(self._watch))
                await self._work()
            self._note_calls()
            broken = self.account.violations()
            assert not broken, f"{len(broken)} promises are broken: {broken[:20]}"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._told()}") from None
        finally:
            self._fleet.close()
        return self._figures()

    async def _work(self) -> None:
        plan = self.plan
        first = plan.items if not plan.publish_s else plan.items // 10
        await self._publish(first)
        for _ in range(plan.workers):
            self._fleet.start()
        publishing = asyncio.ensure_future(self._publish_slowly(plan.items - first))
        try:
            await self._begun()
            zero = self.now()
            for step in plan.steps:
                await asyncio.sleep(max(0.0, zero + step.at_s - self.now()))
                await self._take(step)
            await publishing
            await self._finish()
        finally:
            publishing.cancel()
            self._broker.heal()

    async def _begun(self) -> None:
        while not any(self._watch.committed.values()):
            if self.now() > BEGIN_WITHIN_S:
                raise StalledError(f"nothing was committed within {BEGIN_WITHIN_S:g} s")
            await asyncio.sleep(0.05)

    async def _finish(self) -> None:
        """Everything is done, nothing stands still, and every worker stops in order."""
        if not self._fleet.living():
            self._fleet.start()
        while not self._done():
            self._look_for_a_stall()
            assert not self._fleet.ended(), f"ended by themselves: {self._fleet.ended()}"
            await asyncio.sleep(0.1)
        for who in self._fleet.living():
            await self._stop(who)
        for who in list(self._fleet.stopping):
            await self._stopped(who)

    def _done(self) -> bool:
        committed = self._watch.committed
        return all(committed.get(place, 0) >= end for place, end in self._ends.items())

    def _look_for_a_stall(self) -> None:
        for partition, end in self._ends.items():
            at = self._watch.committed.get(partition, 0)
            if at >= end:
                continue
            still_s = self.now() - max(self._watch.moved_at.get(partition, 0.0), self._disturbed_at)
            self._longest_stand_s = max(self._longest_stand_s, still_s)
            if still_s > STALL_S:
                raise StalledError(f"partition {partition} stands at {at} of {end}")

    # -- items ---------------------------------------------------------------------------------

    async def _publish_slowly(self, count: int) -> None:
        steps = max(1, int(self.plan.publish_s / PUBLISH_EVERY_S))
        for step in range(steps):
            await self._publish(count * (step + 1) // steps - count * step // steps)
            if self.plan.publish_s:
                await asyncio.sleep(PUBLISH_EVERY_S)

    async def _publish(self, count: int, partition: int | None = None) -> None:
        """`partition`: None for each in turn."""
        sent = []
        for _ in range(count):
            number, self._number = self._number, self._number + 1
            poison = number % self.plan.poison == self.plan.poison - 1
            text = f"{'POISON' if poison else 'item'} {number} of {self._source}"
            where = number % self._partitions if partition is None else partition
            value = orjson.dumps({"id": number, "text": text})
            sent.append((text, poison, await self._producer.send(self._source, value, None, where)))
        for text, poison, future in sent:
            written = await future
            place = written.partition, written.offset
            self.account.offer(place, text)
            if poison:
                self.account.poison.add(place)
            self._ends[place[0]] = max(self._ends.get(place[0], 0), place[1] + 1)

    # -- faults --------------------------------------------------------------------------------

    async def _take(self, step: Step) -> None:
        """Carry out one step."""
        who, fleet = step.who, self._fleet
        self._say(f"{step.what} {who}")
        match step.what:
            case "start":
                fleet.start()
            case "kill":
                fleet.kill(who)
                await self._lose(who, "killed")
            case "stop":
                await self._stop(who)
            case "freeze":
                await fleet.reading(who)
                fleet.freeze(who)
                await self._lose(who, FROZEN)
            case "thaw":
                fleet.thaw(who)
                self.account.back(FROZEN, self.now() + LEARNS_S, name_of(who))
            case "grow":
                await self._grow()
            case _:
                await self._disturb_node(step)
        self._say(f"{step.what} {who} done")

    async def _lose(self, who: int, why: str) -> None:
        """It can commit no more: what is committed now is what was committed last."""
        committed = await self._watch.committed_now()
        self.account.lost(self.now(), name_of(who), why, committed)

    async def _stop(self, who: int) -> None:
        await self._fleet.reading(who)
        self._stopped_from[who] = dict(self._watch.committed)
        self._fleet.stop(who)

    async def _stopped(self, who: int) -> None:
        """0; or 1 where the broker was away: then what was not committed is made again."""
        code = await self._fleet.stopped(who, 30.0)
        self._say(f"worker {who} stopped with {code}")
        away = any(step.what.startswith("node") for step in self.plan.steps)
        assert code == 0 or (code == 1 and away), f"worker {who} stopped with {code}"
        if code:
            self.account.lost(self.now(), name_of(who), "stopped", self._stopped_from[who])

    async def _grow(self) -> None:
        self._partitions += 1
        new = self._partitions - 1
        await grow_topic(self._broker.bootstrap, self._source, self._partitions)
        while new not in await self._producer.partitions_for(self._source):
            await self._producer.client.force_metadata_update()
            await asyncio.sleep(0.05)
        self._watch.source_partitions = self._partitions
        await self._publish(NEW_ITEMS, new)

    async def _disturb_node(self, step: Step) -> None:
        """Cut off from the broker any worker may lose its session, and with it what it has not
        committed."""
        node = self._broker.nodes[step.who]
        acts: dict[str, Callable[[], None]] = {
            "node_freeze": node.freeze,
            "node_kill": node.kill,
            "node_thaw": node.thaw,
            "node_start": node.start,
        }
        away = step.what in ("node_freeze", "node_kill")
        if away:
            for who in self._fleet.living():
                self.account.lost(self.now(), name_of(who), CUT_OFF, self._watch.committed)
        await asyncio.to_thread(acts[step.what])
        if not away:
            self.account.back(CUT_OFF, self.now() + SESSION_S + LEARNS_S)

    # -- the end -------------------------------------------------------------------------------

    def _note_calls(self) -> None:
        if not self.account.paid:
            for place, call in self._fleet.calls(self.account.offered):
                self.account.paid[place].append(call)

    def _told(self) -> str:
        self._note_calls()
        places = [place for place, _ in self.account.violations() if place is not None]
        plan = self.plan
        return "\n".join(
            [
                f"replay: make chaos ARGS='--seed {plan.seed} --runs 1 --guarantee "
                f"{plan.guarantee} --nodes {plan.nodes}'",
                f"plan: {plan}",
                *(self.account.history(place) for place in dict.fromkeys(places[:HISTORIES])),
                self._fleet.logs(),
            ]
        )

    def _figures(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "seed": plan.seed,
            "guarantee": plan.guarantee,
            "nodes": plan.nodes,
            "with_api": plan.with_api,
            "faults": [f"{step.what} {step.who}" for step in plan.steps],
            **self.account.figures(),
            "longest_stand_s": round(self._longest_stand_s, 1),
            "looks": self._watch.looks,
            "seconds": round(self.now(), 1),
        }
