"""Runs the schedule of one seed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import NamedTuple

from tests.simulation import lateness
from tests.simulation.assembly import CLIENTS
from tests.simulation.ledger import Item, Violation
from tests.simulation.loop import virtual_world
from tests.simulation.parameters import Parameters, parameters
from tests.simulation.world import World


class Run(NamedTuple):
    """What became of a schedule. `violation`: the broken promise; None: all were kept. `aborted`:
    transactions that came to nothing. `recalled`: items whose answer was in the call ledger.
    `ended_at_s`: in the simulation's time. `lateness`: of the latest healthy item for the sake of
    the one that was refused alone, as a share of what it may be. `story`: everything that happened,
    if it was traced."""

    seed: int
    violation: str | None
    items: int
    calls: int
    written: int
    duplicates: int
    aborted: int
    recalled: int
    ended_at_s: float
    lateness: float
    story: str = ""


def run(seed: int, *, tracing: bool = False) -> Run:
    """The same seed is the same run, to the last call. `tracing` changes nothing but the speed."""
    given = parameters(seed)
    world, violation = _play(given, tracing=tracing)
    late_s, latest = 0.0, None
    if given.calm and violation is None:
        healthy, violation = _play(replace(given, alone="plain"), tracing=False)
        late_s, latest = lateness.latest(world.ledger, healthy.ledger)
        if violation is None and late_s > (bound_s := lateness.bound_s(given)):
            told = f"{latest} is {late_s:.1f} s late for another's fault, at most {bound_s:.1f} s"
            violation = Violation(told, latest)
    return Run(
        seed,
        None if violation is None else str(violation),
        sum(len(items) for items in world.ledger.items),
        world.ledger.calls,
        world.broker.written,
        world.ledger.duplicates,
        world.coordinator.aborted,
        sum(member.task.tally.from_ledger for member in world.all_members if member.started),
        world.now(),
        late_s / lateness.bound_s(given),
        _story(world, given, violation) if tracing and violation else "",
    )


def _play(given: Parameters, *, tracing: bool) -> tuple[World, Violation | None]:
    violation = None
    with virtual_world(given.seed, CLIENTS) as loop:
        world = World(given, loop, tracing=tracing)
        try:
            loop.run_until_complete(world.run())
        except Violation as error:
            violation = error
        except Exception as error:  # of the simulation itself: with its seed, too
            violation = Violation(f"the simulation failed: {error!r}")
        _clear(world)
    return world, violation


def explain(seed: int) -> str:
    """Runs it again, and tells everything: the parameters, what happened, and the whole history of
    the item whose promise was broken."""
    again = run(seed, tracing=True)
    return again.story or f"seed {seed}: every promise was kept"


def _story(world: World, given: Parameters, violation: Violation) -> str:
    item = violation.item
    lines = [str(violation), "", str(given), "", *world.ledger.events]
    if item is not None:
        lines += ["", f"history of {item}, key {item.key!r}:", *item.calls]
        lines += _engine_notes(world, item)
    return "\n".join(lines)


def _engine_notes(world: World, item: Item) -> list[str]:
    """The engines' own notes of the item, lane by lane."""
    lines = []
    for member in world.all_members:
        notes = member.engine if member.started else None
        history = None if notes is None else notes._history
        if history is None:
            continue
        for (lane, seq), said in list(history._notes.items()):
            if seq == item.offset and lane.where.partition == item.partition:
                lines += [f"{member.name} {lane!r}:", *(f"    {note}" for note in said)]
    return lines


def _clear(world: World) -> None:
    """End what is left, so that nothing of this run reaches the next. A call that others cancel has
    failed, and would be made again: so the runners go first."""
    for member in world.all_members:
        if member.started:
            member.task._runner.cancel()
        if member.pipeline is not None:
            member.pipeline.cancel()
    left = asyncio.all_tasks(world.loop)
    for task in left:
        task.cancel()
    if left:
        world.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
