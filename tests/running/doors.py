"""A door that writes down what its runner does, and a door of each kind behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from streams.core.account import Account
from streams.core.call import Call, Slot
from streams.core.events import Arrived, Delivered, Opened, Paused, Resumed
from streams.core.limits import Limits
from streams.running.runner import Ended, Runner


class Door:
    """A runner with one lane. `delivers`: whether outcomes are delivered as they are released."""

    def __init__(
        self,
        caller: Any,
        *,
        timeout_s: float | None = 5.0,
        delivers: bool = True,
        cancels: bool = True,
        account: Account | None = None,
        **limits: Any,
    ) -> None:
        self.events: list[Ended] = []
        self.defects: list[BaseException] = []
        self.pauses: list[Paused | Resumed] = []
        self.released: list[list[Slot]] = []
        self.outcomes: list[Any] = []
        self.delivers = delivers
        self._arrived = 0
        self._changed = asyncio.Event()
        given = {"max_wait_s": 0.0, "max_attempts": 1, **limits}
        self.runner = Runner(
            caller,
            Limits(**given),
            timeout_s=timeout_s,
            on_release=self._release,
            on_ended=self._end,
            on_defect=self.defects.append,
            on_pause=self.pauses.append,
            cancels=cancels,
            account=account,
        )
        self.runner.handle(Opened("lane"))

    def arrive(self, items: Iterable[Any]) -> None:
        now = self.runner.now()
        slots = [
            Slot("lane", seq, item, arrived_at=now) for seq, item in enumerate(items, self._arrived)
        ]
        self._arrived += len(slots)
        self.runner.handle(Arrived(slots))

    def deliver(self) -> None:
        """What was released so far."""
        for slots in self.released:
            self.runner.handle(Delivered("lane", slots))

    async def until_ended(self, calls: int) -> None:
        async with asyncio.timeout(10):
            while len(self.events) < calls:
                self._changed.clear()
                await self._changed.wait()

    def _release(self, lane: str, slots: list[Slot]) -> None:
        self.released.append(slots)
        self.outcomes += [slot.outcome for slot in slots]
        if self.delivers:
            self.runner.handle(Delivered(lane, slots))

    def _end(self, call: Call, slots: Sequence[Slot], event: Ended) -> None:
        self.events.append(event)
        self._changed.set()
