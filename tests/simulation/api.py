"""The API: how long it takes, what it answers, and how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from streams.codec.records import estimate_tokens
from streams.errors import CallError, Fault, ItemError
from streams.model import DROP, Item, Reply, Unanswered, Usage
from tests.simulation import ledger
from tests.simulation.ledger import Violation
from tests.simulation.records import Kind

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.world import World

WEATHER = {
    "throttled": Fault.THROTTLED,
    "overloaded": Fault.THROTTLED,
    "resetting": Fault.CONNECTION,
    "failing": Fault.SERVER,
    "refusing": Fault.ACCOUNT,
}
ALONE = {
    Kind.FORBIDDEN: Fault.ACCOUNT,
    Kind.LIMITED: Fault.THROTTLED,
    Kind.FAILING: Fault.SERVER,
    Kind.BREAKING: Fault.CONNECTION,
    Kind.UNKNOWN: Fault.CLIENT,
}
EVERYBODYS = frozenset({*WEATHER.values(), *ALONE.values()} - {Fault.CLIENT})
CHANCE = (
    Fault.THROTTLED,
    Fault.CONNECTION,
    Fault.SERVER,
    Fault.TIMEOUT,
    Fault.BAD_REPLY,
    Fault.TRUNCATED,
    Fault.RETRY,
)
BAD_REPLIES = (Fault.BAD_REPLY, Fault.TRUNCATED)
LEFT_OUT = (Unanswered.MISSING, Unanswered.INVALID, Unanswered.CUT)


class Api:
    def __init__(self, world: World) -> None:
        self._world = world

    async def call(self, member: Member, items: Sequence[Item]) -> Reply:
        """As `streams.model.Caller`."""
        world = self._world
        if member.dead:
            await world.never()
        world.ledger.calls += 1
        known = [world.ledger.items[item.partition][item.offset] for item in items]
        lanes = [_lane_of(item, member) for item in items]
        call = f"call {world.ledger.calls} of {member.name} with {len(items)}"
        member.in_flight += 1
        with world.guard():
            self._check_limits(member, items)
            for item, lane in zip(known, lanes, strict=True):
                world.ledger.called(item, lane, member.tenures[item.partition], call)
        began_at, answers = world.now(), member.answers_before(world.now())
        try:
            await asyncio.sleep(self._latency_s())
            reply = await self._answer(known)
        except CallError as error:
            self._note(known, f"{call}: {error}")
            if error.fault in EVERYBODYS:
                _weigh(known, member, answers)
                _failed(known, member)
            elif error.fault is Fault.CLIENT:
                _count(known)
            raise
        except asyncio.CancelledError:
            self._note(known, f"{call}: cancelled or out of time")
            self._check_cancelled(member, call, world.now() - began_at)
            _count(known)
            raise
        finally:
            member.in_flight -= 1
        self._note(known, f"{call}: answered")
        member.count_answer(world.now())
        answered = []
        for item, lane, answer in zip(known, lanes, reply.answers, strict=True):
            if isinstance(answer, Unanswered):
                item.unanswered += 1
            else:
                item.answered_to.append(lane)
                answered.append(item)
        world.call_ledger.answered(member, answered)
        return reply

    def _check_cancelled(self, member: Member, call: str, after_s: float) -> None:
        """With a call ledger nobody ends a call that is paid, but its time limit."""
        parameters = self._world.parameters
        stops = member.dead or member.leaving
        if parameters.recorded and not stops and after_s < parameters.timeout_s - 1e-6:
            with self._world.guard():
                raise Violation(f"{call} was cancelled after {after_s:.3f} s")

    def _note(self, items: Sequence[ledger.Item], what: str) -> None:
        for item in items:
            self._world.ledger.note(what, item)

    def _check_limits(self, member: Member, items: Sequence[Item]) -> None:
        parameters = self._world.parameters
        if member.in_flight > parameters.max_in_flight:
            raise Violation(f"{member.name} has {member.in_flight} calls in flight (G4)")
        tokens = sum(estimate_tokens(item.text) for item in items)
        size = sum(len(item.text) for item in items)
        for name, value, most in (
            ("items", len(items), parameters.max_items),
            ("tokens", tokens, parameters.max_tokens),
            ("bytes", size, parameters.max_bytes),
        ):
            if most is not None and value > most:
                raise Violation(f"a call of {value} {name}, at most {most} are allowed (G5)")

    def _latency_s(self) -> float:
        random, usual_s = self._world.random, self._world.parameters.call_s
        if random.random() < 0.05:
            return min(usual_s * 10, self._world.parameters.timeout_s * 0.9)
        return min(usual_s * random.uniform(0.5, 1.5), self._world.parameters.timeout_s * 0.9)

    async def _answer(self, items: Sequence[ledger.Item]) -> Reply:
        world = self._world
        await self._weather(items)
        kinds = {item.kind for item in items}
        if Kind.HANGING in kinds:
            await world.never()
        if Kind.REJECTED in kinds:
            raise CallError(Fault.REJECTED, "400")
        if Kind.REFUSED in kinds:
            raise CallError(Fault.REFUSED, "declined")
        for kind in kinds & ALONE.keys():
            told = world.random.choice([None, 0.0, 1.0])
            raise CallError(ALONE[kind], kind.value, retry_after_s=told)
        if world.faulty(world.parameters.faulty_calls):
            await self._fail(world.random.choice(CHANCE), items)
        spoiling = 0.3 if world.weather.is_on("spoiling", 0) else 0.0
        answers = [self._answer_to(item, spoiling) for item in items]
        return Reply(answers, Usage(10 * len(items), 2 * len(items), 7))

    async def _weather(self, items: Sequence[ledger.Item]) -> None:
        """What happens to every call for a while."""
        world = self._world
        if world.weather.is_on("hanging", 0):
            await world.never()
        for kind, fault in WEATHER.items():
            until = world.weather.until(kind, 0)
            if until:
                told = [None, None, 0.0, 1.0, until - world.now()]
                retry_after_s = world.random.choice(told) if kind == "throttled" else None
                raise CallError(fault, kind, retry_after_s=retry_after_s)

    async def _fail(self, fault: Fault, items: Sequence[ledger.Item]) -> NoReturn:
        if fault is Fault.TIMEOUT:
            await self._world.never()
        if fault in BAD_REPLIES:
            for item in items:
                item.unanswered += 1
        raise CallError(fault, "by chance", retry_after_s=self._world.random.choice([None, 0.1]))

    def _answer_to(self, item: ledger.Item, spoiling: float) -> Any:
        kind, random = item.kind, self._world.random
        if kind is Kind.SILENT:
            return Unanswered.MISSING
        if kind is Kind.SPOILT:
            return Unanswered.INVALID
        if spoiling and random.random() < spoiling:
            return random.choice(LEFT_OUT)
        if kind is Kind.DROPPED:
            return DROP
        if kind is Kind.ANSWERED_BADLY:
            return ItemError("own_error", "of the item itself")
        answer: dict[str, Any] = {"of": [item.partition, item.offset]}
        if kind is Kind.HUGE:
            answer["pad"] = "y" * (2_000 if item.offset % 2 else 4_000)
        return answer


def _lane_of(item: Item, member: Member) -> Any:
    """Whom a call of the item answers to: an item of a pipeline may have lost its owner since."""
    return item.value if member.pipeline is not None else member.lanes[item.partition]


def _weigh(items: Sequence[ledger.Item], member: Member, answers: int) -> None:
    """What may befall everybody may be an item's if a call was answered since it befell the item
    last, whatever else it met in between, or since this one began, when `answers` had been."""
    for item in items:
        since = min(item.witness.get(member, answers), answers)
        item.counted += member.answers > since


def _failed(items: Sequence[ledger.Item], member: Member) -> None:
    for item in items:
        item.witness[member] = member.answers


def _count(items: Sequence[ledger.Item]) -> None:
    for item in items:
        item.counted += 1
