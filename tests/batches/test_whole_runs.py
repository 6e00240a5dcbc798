"""Whole runs in virtual time: killed at any step, and with everything that an API does."""

from __future__ import annotations

import random

import pytest

from tests.batches.world import Weather, World, run_world

ROUGH = Weather(
    lost_creations=0.1,
    unclear_creations=0.1,
    refused_creations=0.1,
    outages=0.05,
    late_s=40.0,
    strangers=0.2,
)


def texts(count: int, seed: int = 0) -> list[str]:
    """Mostly good ones."""
    chance = random.Random(seed)
    kinds = ["text"] * 97 + ["poison", "mute", "dropped"]
    return [f"{chance.choice(kinds)} {n}" for n in range(count)]


def test_every_item_gets_its_outcome_once_and_in_order_at_half_the_price() -> None:
    world = World(1, [f"text {n}" for n in range(300)])
    summary = run_world(world)
    world.check_emitted()
    world.check_submissions()
    assert summary.equation == "300 items = 300 results + 0 dead letters + 0 drops"
    assert world.paid_twice == 0


STEPS = 900
"""About as many as a rough run of 240 items takes."""


@pytest.mark.parametrize("kill", range(50))
def test_killed_at_any_step_nothing_is_lost_duplicated_or_submitted_twice(kill: int) -> None:
    chance = random.Random(kill)
    at = sorted(chance.sample(range(1, STEPS), 3))
    world = World(kill, texts(240, kill), ROUGH, kill_at=at)
    summary = run_world(world, kill)
    world.check_emitted()
    world.check_submissions()
    assert summary.state == "done"
    assert world.kills >= 1
    assert world.paid_twice <= world.kills * 5 * 4  # live calls under way, at most
