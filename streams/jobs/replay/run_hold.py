"""One process does a run at a time: what gives it the right to, and what it may not do without."""

from __future__ import annotations

import asyncio
import secrets

from streams.errors import StreamsError
from streams.jobs.claim import Claim
from streams.jobs.replay.run_facts import OWNER
from streams.jobs.replay.run_topic import RunKeys


class RunHold:
    """This process's right to do a run. `claim`: None on the embedded broker, where nothing keeps
    another one out."""

    def __init__(self, run: str, keys: RunKeys, claim: Claim | None) -> None:
        self._run, self._keys, self._claim = run, keys, claim
        self._owner = secrets.token_hex(8)
        self._is_ours = self._was_ours = False
        self._taking = asyncio.Lock()

    def may_write(self) -> bool:
        """Whether no other process can have the run by now."""
        return self._is_ours and (self._claim is None or self._claim.holds())

    def may_send(self) -> bool:
        """Whether a record of the state may go into the socket: the first ones come before the run
        is ours, none after it may be another's."""
        return not self._was_ours or self.may_write()

    async def take(self) -> dict[str, bytes]:
        """Begin: the run's state, as no other process changes it from now on. Raises StreamsError
        while another one lives, and BrokerError."""
        if self._claim is not None:
            await self._claim.take(self._keys.load)
        await self._keys.put(OWNER, self._owner.encode())
        state = await self._keys.load()
        self._is_ours = self._was_ours = True
        return state

    async def keep(self) -> None:
        """Take the run again if the group has forgotten this process, as after a long stand-still;
        nothing is written before it is clear that no other one had it meanwhile. Raises
        StreamsError if one did, and BrokerError."""
        async with self._taking:
            if self._claim is None or self.may_write():
                return
            self._is_ours = False
            await self._claim.take(self._keys.load)
            if (await self._keys.load()).get(OWNER) != self._owner.encode():
                raise StreamsError(f"another process took over run {self._run} from this one")
            self._is_ours = True


class HeldKeys:
    """The keys of a run, written only while this process has it."""

    def __init__(self, keys: RunKeys, hold: RunHold) -> None:
        self._keys, self._hold = keys, hold

    async def load(self) -> dict[str, bytes]:
        return await self._keys.load()

    async def put(self, key: str, value: bytes | None) -> None:
        """Durable when it returns; None deletes the key. Raises BrokerError, and StreamsError where
        another process has the run."""
        await self._hold.keep()
        await self._keys.put(key, value)
