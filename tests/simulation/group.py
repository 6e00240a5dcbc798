"""The group: members, generations, eager rebalances, sessions and committed offsets, as a Kafka
coordinator keeps them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import CoordinatorNotAvailableError, RequestTimedOutError

from streams.codec.committed import Committed

if TYPE_CHECKING:
    from tests.simulation.world import World


class Assigned(NamedTuple):
    generation: int
    partitions: list[int]


class Group:
    """`members`: those that the coordinator knows, and the generation that each last joined."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.members: dict[Any, int] = {}
        self.generation = 0
        self.offsets: dict[int, tuple[int, str]] = {}
        self.owners: dict[int, Any] = {}
        self._joined: dict[Any, asyncio.Future[Assigned | None]] = {}
        self._preparing = False
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def at_rest(self) -> bool:
        """No rebalance is under way, and everybody alive takes part."""
        alive = [member for member in self._world.members if member.started and not member.leaving]
        return not self._preparing and all(
            member.dead or (member in self.members and member.consumer.at_rest) for member in alive
        )

    # -- membership ------------------------------------------------------------------------------

    async def join(self, member: Any) -> Assigned:
        """Take part in the next generation. Also by one that was put out: as somebody new."""
        world, assigned = self._world, None
        while assigned is None:
            await world.reaches_coordinator(member)
            self.members.setdefault(member, 0)
            self._joined[member] = world.loop.create_future()
            answer = self._joined[member]
            self._prepare()
            self._complete_if_all()
            assigned = await answer
            await world.reaches_coordinator(member)
        return assigned

    def leave(self, member: Any) -> None:
        self._world.note(f"{member.name} leaves the group")
        self._remove(member)

    def lose(self, member: Any, why: str) -> None:
        """The member's session is over; it may not know that."""
        if member not in self.members:
            return
        self._world.note(f"{member.name} is put out of the group: {why}")
        member.lost()
        self._remove(member)

    def _remove(self, member: Any) -> None:
        if self.members.pop(member, None) is None:
            return
        waiting = self._joined.pop(member, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)  # it is told that nobody knows it
        if self.members:
            self._prepare()
            self._complete_if_all()

    def _prepare(self) -> None:
        """Ask everybody to join anew."""
        if self._preparing:
            return
        self._preparing = True
        world = self._world
        self._deadline = world.loop.call_later(world.parameters.rebalance_s, self._put_out_slow)
        for member in self.members:
            if member not in self._joined:
                world.loop.call_later(world.heartbeat(), self._tell, member)

    def _tell(self, member: Any) -> None:
        """A heartbeat is answered: join anew."""
        cut_until = self._world.cut_until(member)
        if cut_until:
            self._world.loop.call_at(cut_until + self._world.heartbeat(), self._tell, member)
        else:
            member.rejoin()

    def _put_out_slow(self) -> None:
        for member in [each for each in self.members if each not in self._joined]:
            self.lose(member, "it did not join in time")
        self._complete_if_all()

    def _complete_if_all(self) -> None:
        if not self._preparing or set(self.members) != set(self._joined):
            return
        self._preparing = False
        if self._deadline is not None:
            self._deadline.cancel()
        if not self.members:
            return
        self.generation += 1
        shares = self._shares()
        self._world.note(
            f"generation {self.generation}: "
            + ", ".join(f"{member.name} {share}" for member, share in shares.items())
        )
        for member, answer in self._joined.items():
            self.members[member] = self.generation
            if not answer.done():
                answer.set_result(Assigned(self.generation, shares[member]))
        self._joined.clear()

    def _shares(self) -> dict[Any, list[int]]:
        """Evenly: each keeps what it had as far as that goes, or not, by the assignor."""
        world, members = self._world, list(self.members)
        shares: dict[Any, list[int]] = {member: [] for member in members}
        partitions = list(range(world.parameters.partitions))
        most = -(-len(partitions) // len(members))
        if world.parameters.assignor == "shuffled":
            world.random.shuffle(partitions)
        left = []
        for partition in partitions:
            owner = self.owners.get(partition)
            sticky = world.parameters.assignor == "sticky" and owner in shares
            if sticky and len(shares[owner]) < most:
                shares[owner].append(partition)
            else:
                left.append(partition)
        for partition in left:
            shares[min(members, key=lambda member: len(shares[member]))].append(partition)
        self.owners = {n: member for member, share in shares.items() for n in share}
        return {member: sorted(share) for member, share in shares.items()}

    # -- offsets ---------------------------------------------------------------------------------

    async def commit(self, member: Any, generation: int, offsets: dict[int, Committed]) -> bool:
        """False: the group has moved on. Raises KafkaError. A request that was sent is carried out
        also where nobody waits for its answer any more."""
        request = self._world.loop.create_task(self._commit(member, generation, offsets))
        request.add_done_callback(_retrieved)
        return await asyncio.shield(request)

    async def _commit(self, member: Any, generation: int, offsets: dict[int, Committed]) -> bool:
        world, weather = self._world, self._world.weather
        reaches = world.random.random() < 0.5
        tenures = {partition: member.tenures[partition] for partition in offsets}
        texts = {partition: (said.offset, said.metadata) for partition, said in offsets.items()}
        async with member.connection:
            await world.under_way(member)
            if weather.is_on("commits fail", 0) or world.faulty(0.01):
                member.trouble(world.now())
                raise CoordinatorNotAvailableError
            if until := weather.until("commits hang", 0):
                member.trouble(until)
                await asyncio.sleep(until - world.now())
        if member.dead and not reaches:
            await world.never()
        if self.members.get(member) != generation or generation != self.generation:
            return False
        with world.guard():
            for partition, text in texts.items():
                world.ledger.commit(tenures[partition], Committed.read(*text))
                self.offsets[partition] = text
        if weather.is_on("commits unanswered", 0):
            member.trouble(world.now() + 2.0)
            await asyncio.sleep(2.0)
            raise RequestTimedOutError
        await asyncio.sleep(world.soon())
        return True

    async def committed(self, member: Any, partitions: list[int]) -> dict[int, Committed]:
        """What was committed last of each; nothing where nothing was."""
        world = self._world
        await world.reaches_coordinator(member)
        if world.weather.is_on("commits fail", 0):
            member.trouble(world.now())  # it cannot go on with what it could not commit
            raise CoordinatorNotAvailableError
        found = {n: Committed.read(*self.offsets[n]) for n in partitions if n in self.offsets}
        await asyncio.sleep(world.soon())
        return found


def _retrieved(request: asyncio.Future[Any]) -> None:
    if not request.cancelled():
        request.exception()
