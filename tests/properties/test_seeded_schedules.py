"""Longer histories than Hypothesis draws, many of them, each from its seed.

The same machine and the same model as in `test_engine_machine.py`, driven by a seeded generator: no
shrinking, but ten times the steps per second. A seed that once found a defect stays in `FOUND`.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from streams.core import Limits
from streams.core import order as sequencer
from streams.errors import Fault
from streams.model import Usage
from streams.policies.retry import Backoff

from .test_engine_machine import (
    ANSWERS,
    BREAKERS,
    DISTURBANCES,
    DONE_BEFORE,
    ITEMS,
    EngineMachine,
)

FOUND: list[int] = [674]
SEEDS = [*FOUND, *range(int(40 * float(os.environ.get("STREAMS_TEST_EFFORT", "1"))))]
STEPS = 150


def limits(random: Random) -> Limits:
    return Limits(
        max_items=random.randint(1, 6),
        max_wait_s=random.choice([0.0, 0.05]),
        max_tokens=random.choice([None, None, 8, 20]),
        max_bytes=random.choice([None, None, 8, 20]),
        max_in_flight=random.randint(1, 5),
        max_attempts=random.randint(1, 5),
        max_asks=random.randint(0, 3),
        split=random.random() < 0.8,
        order=random.choice(["partition", "key", "none"]),
        max_beyond_bytes=random.choice([None, 4, 8, 12, 30]),
        backoff=Backoff(0.5, 4.0),
        breaker=random.choice(BREAKERS),
    )


def step(machine: EngineMachine, random: Random, faulty: float) -> None:
    """One event; `faulty`: how much of what is answered is a failure."""
    which = random.randint(0, 9)
    dice = random.random()
    if dice < 0.25:
        items = random.choices(ITEMS, k=random.randint(1, 8))
        lane, done = random.choice("abc"), random.choice(DONE_BEFORE)
        machine.arrive(lane, items, random.randint(0, 3), done)
    elif dice < 0.65 and machine.model.calls:
        failed = random.random() < faulty
        if failed and random.random() < 0.6:
            retry_after_s = random.choice([None, None, 0.0, 0.2, 3.0])
            machine.fail(which, random.choice(list(Fault)), retry_after_s)
        elif failed:
            machine.reply_in_part(which, random.choices(ANSWERS, k=random.randint(1, 6)))
        else:
            machine.reply_in_full(which, random.choice([None, Usage(7, 2, 1_001)]))
    elif dice < 0.8 and machine.undelivered:
        machine.deliver(which, random.randint(1, 9))
    elif dice < 0.97:
        machine.let_time_pass(random.choice([0.001, 0.02, 0.05, 0.3, 2.0, 40.0]))
    else:
        machine.disturb(random.choice(DISTURBANCES), which)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_history_keeps_the_promises(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    monkeypatch.setattr(sequencer, "COMPACT_ABOVE", seed % 2 * 1000)
    machine = EngineMachine()
    machine.begin(limits(random), Random(seed + 1))
    faulty = random.choice([0.1, 0.5, 0.9])
    for _ in range(STEPS):
        step(machine, random, faulty)
        machine.the_engine_is_consistent()
        machine.the_engine_agrees_with_the_model()
        machine.nothing_that_is_due_waits()
    machine.teardown()
