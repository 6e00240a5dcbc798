"""From one thread's loop into the other's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.world import World


class Hop:
    """Calls arrive in order, a little later."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last = 0.0

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any) -> None:
        at = max(self._last + 1e-7, self._world.now() + self._world.hop())
        self._last = at
        self._world.loop.call_at(at, callback, *args)

    def is_closed(self) -> bool:
        return False

    async def crossed(self) -> None:
        done = asyncio.Event()
        self.call_soon_threadsafe(done.set)
        await done.wait()
