"""What will happen in a run, from its seed alone.

The same seed gives the same plan; what the processes make of it depends on the machine. A plan
keeps a worker at work or about to start at every moment: standing still is always a defect.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

FAULTS_S = 9.0
"""Faults begin within this time after the first commit."""

FROZEN_S = (6.5, 9.0)
"""Longer than the session (6 s)."""

BROKER_STILL_S = (1.0, 5.0)
MOST_WORKERS = 4

Rule = dict[str, Any]


class Step(NamedTuple):
    """`at_s`: after the first commit. `who`: the number of a worker, from 0 in the order in which
    they are started, or of a node; `start` always starts the next worker."""

    at_s: float
    what: str
    who: int = 0


class Work(NamedTuple):
    """What the workers do. `calls`: keys of `[task.batch]` and `[task.calls]`. `with_api`: through
    the SDK to the simulator; else a function of the user's. `poison`: one item in so many is
    refused; None: none. `shutdown_s`: their `shutdown_timeout_s`."""

    guarantee: str = "at_least_once"
    partitions: int = 4
    with_api: bool = False
    latency_ms: int = 100
    calls: Mapping[str, int] = MappingProxyType(
        {"max_items": 20, "max_wait_ms": 50, "max_in_flight": 5}
    )
    poison: int | None = None
    drain_s: float = 1
    shutdown_s: float = 12


class Plan(NamedTuple):
    """`nodes`: of the broker. `publish_s`: over how long the items arrive; 0: all are there before
    the first worker. `rules`: the simulator's script."""

    seed: int
    nodes: int
    work: Work
    items: int
    publish_s: float
    workers: int
    rules: list[Rule]
    steps: list[Step]


PALETTE: list[Rule] = [
    {"fault": "rate_limited", "every": 17, "retry_after_ms": 400},
    {"fault": "rate_limited", "calls": "20-26", "retry_after_s": 1},
    {"fault": "overloaded", "every": 13},
    {"fault": "overloaded", "calls": "30-36"},
    {"fault": "server_error", "every": 19},
    {"fault": "hang", "every": 31},
    {"fault": "hang", "every": 37, "billed": True},
    {"fault": "reset", "every": 16},
    {"fault": "reset", "every": 27, "billed": True},
    {"fault": "reset_after_headers", "every": 21},
    {"fault": "truncated_body", "every": 23},
    {"fault": "empty_body", "every": 29},
    {"fault": "missing", "every": 23, "count": 2},
    {"fault": "duplicate", "every": 11},
    {"fault": "conflicting", "every": 25},
    {"fault": "unknown_id", "every": 24},
    {"fault": "reordered", "every": 5},
    {"fault": "enum_case", "every": 7},
    {"fault": "outside_enum", "every": 28},
    {"fault": "max_tokens", "every": 26},
    {"fault": "delay", "every": 9, "delay_ms": 900},
]
"""Nothing here may cost a healthy item its result: what counts as an attempt is rare. Nor may it be
an outage: one worker alone meets 7 overloaded calls within half a minute, and 16 in some minutes,
since each is a probe after a longer pause (seed 5010)."""

# Before the others: the first rule that is due gives a call its fault.
POISON_RULES: list[Rule] = [
    {"fault": "refusal", "text": "POISON"},
    {"fault": "bad_request", "text": "POISON"},
    {"fault": "missing", "text": "POISON"},
]


def plan(seed: int, *, guarantee: str = "at_least_once", nodes: int = 1) -> Plan:
    """`nodes`: of the broker, 1 or 3."""
    chance = random.Random(f"{seed}/{nodes}")  # the same faults under both guarantees
    with_api = chance.random() < 0.7
    workers = chance.choice([2, 2, 3])
    rules: list[Rule] = []
    if with_api:
        rules = [chance.choice(POISON_RULES), *chance.sample(PALETTE, chance.randint(2, 5))]
    work = Work(
        guarantee=guarantee,
        partitions=chance.randint(3, 8),
        with_api=with_api,
        latency_ms=chance.choice([50, 150, 400]),
        calls={
            "max_items": chance.choice([5, 10, 20]),
            "max_wait_ms": chance.choice([10, 50]),
            "max_in_flight": chance.choice([2, 4, 6]),
        },
        poison=chance.choice([60, 150, 400]),
    )
    return Plan(
        seed=seed,
        nodes=nodes,
        work=work,
        items=chance.randrange(500, 1300),
        publish_s=chance.choice([0.0, 5.0, 9.0]),
        workers=workers,
        rules=rules,
        steps=sorted(_steps(chance, workers, nodes)),
    )


def _steps(chance: random.Random, workers: int, nodes: int) -> Iterator[Step]:
    """At least one worker goes on, or the next begins within two seconds."""
    living, frozen_to, number = set(range(workers)), dict[int, float](), workers
    now, broker_busy_to = 0.5, 0.0
    for what in _kinds(chance, nodes):
        now += chance.uniform(0.3, FAULTS_S / 4)
        if what in ("kill", "stop", "freeze"):
            able = sorted(who for who in living if frozen_to.get(who, 0.0) < now)
            if not able:
                continue
            who = chance.choice(able)
            yield Step(now, what, who)
            if what == "freeze":
                frozen_to[who] = now + chance.uniform(*FROZEN_S)
                yield Step(frozen_to[who], "thaw", who)
            else:
                living.discard(who)
            if len(able) == 1 or chance.random() < 0.6:
                what = "start"
                now += chance.uniform(0.0, 2.0)
        if what == "start":
            if len(living) < MOST_WORKERS:
                yield Step(now, "start", number)
                living.add(number)
                number += 1
        elif what == "grow":
            yield Step(now, "grow")
        elif what.startswith("node") and now > broker_busy_to:
            node, still = chance.randrange(nodes), chance.uniform(*BROKER_STILL_S)
            broker_busy_to = now + still + (4.0 if what == "node_kill" else 0.0)
            yield Step(now, what, node)
            yield Step(now + still, "node_thaw" if what == "node_freeze" else "node_start", node)


def _kinds(chance: random.Random, nodes: int) -> list[str]:
    weights = {
        "kill": 6,
        "stop": 3,
        "freeze": 4,
        "start": 2,
        "grow": 1,
        "node_freeze": 2 if nodes == 1 else 3,
        "node_kill": 1 if nodes == 1 else 4,
    }
    return chance.choices([*weights], [*weights.values()], k=chance.randint(2, 4))
