"""The records of the budget topic: what a worker claims for a task, and what it knows of its costs.

    key    {"task"}/{worker process}          value  {"number": 7, "hour": [495123, 1200], ...}

A period is a count of hours or days since the epoch (0: the total), money whole nano-dollars.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

from streams.policies.budget import PERIODS_S, Spent
from streams.policies.call_costs import Learned
from streams.policies.shared_budget import Claim


class BudgetRecord(NamedTuple):
    """`worker`: of one process. `learned`: what calls of the task cost."""

    task: str
    worker: str
    claim: Claim
    learned: Learned


def encode_budget(record: BudgetRecord) -> tuple[bytes, bytes]:
    """Key and value."""
    periods = {name: list(spent) for name, spent in record.claim.spending.items()}
    value = {"number": record.claim.number, **periods, "costs": list(record.learned)}
    return f"{record.task}/{record.worker}".encode(), orjson.dumps(value)


def decode_budget(key: bytes | None, value: bytes | None) -> BudgetRecord | None:
    """None: it is none of ours. A period that is not there counts as nothing."""
    task, _, worker = (key or b"").decode("utf-8", "replace").rpartition("/")
    try:
        raw = orjson.loads(value or b"")
        number, costs = int(raw["number"]), raw["costs"]
        spending = {name: Spent(*map(int, raw[name])) for name in PERIODS_S if name in raw}
        learned = Learned(float(costs[0]), float(costs[1]), int(costs[2]))
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    return BudgetRecord(task, worker, Claim(number, spending), learned) if task else None
