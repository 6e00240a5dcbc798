"""Looks at an engine with each of its events: limits that only it knows are kept."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from streams.core.engine import Engine
from streams.core.events import Release
from streams.core.history import History
from tests.simulation.ledger import Violation

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.world import World

CHECK_EVERY = 7
"""Events between two looks at all of an engine's invariants, which take longer than the events."""

EXACT_S = 1e-6


def watch(
    engine: Engine, world: World, member: Member, max_in_flight: int, *, releases: bool = True
) -> None:
    """From now on. `releases`: whether what it releases goes to the sink."""
    if world.tracing:
        engine._history = History()
    handle, events = engine.handle, 0

    def watched(event: Any, now: float) -> Any:
        nonlocal events
        events += 1
        with world.guard():
            if not member.dead:
                _check_waiting(engine, world, now)
        actions = handle(event, now)
        with world.guard():
            if len(engine.admission.calls) > max_in_flight:
                raise Violation(f"{member.name}: {len(engine.admission.calls)} calls (G4)")
            for action in actions:
                if releases and isinstance(action, Release):
                    world.released(action.slots)
            if events % CHECK_EVERY == 0 or world.tracing:
                engine.check_invariants()
        return actions

    engine.handle = watched  # type: ignore[method-assign]


def _check_waiting(engine: Engine, world: World, now: float) -> None:
    """Until now nothing has changed but the time: no item should have been called for since."""
    opens_at = engine.admission.opens_at()
    if opens_at == inf:
        return
    for window in engine.windows:
        for queue in window._queues.values():
            slot = queue[0]
            late_s = now - max(slot.arrived_at + engine.limits.max_wait_s, opens_at)
            if late_s > EXACT_S:
                item = world.ledger.items[slot.item.partition][slot.item.offset]
                raise Violation(f"{item} has waited {late_s:.3f} s too long (G5)", item)
