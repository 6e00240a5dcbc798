"""What workers write of their budgets is read back; what is none of theirs is passed over."""

from __future__ import annotations

import pytest

from streams.codec.budget_records import BudgetRecord, decode_budget, encode_budget
from streams.policies.budget import Spent
from streams.policies.call_costs import Learned
from streams.policies.shared_budget import Claim

SPENDING = {"hour": Spent(495_123, 1_200), "day": Spent(20_630, 1_300), "total": Spent(0, 10**12)}


@pytest.mark.parametrize("task", ["sentiment", "a.b-c", "with/a/slash"])
def test_a_record_is_read_as_it_was_written(task: str) -> None:
    record = BudgetRecord(task, "f00d", Claim(7, SPENDING), Learned(12.5, 0.25, 3))
    assert decode_budget(*encode_budget(record)) == record


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, None),
        (b"sentiment/f00d", None),
        (b"sentiment/f00d", b"no JSON"),
        (b"sentiment/f00d", b'{"number": 1}'),
        (b"sentiment/f00d", b'{"number": 1, "costs": [1, 1, 1], "hour": [1]}'),
        (b"no task", b'{"number": 1, "costs": [1, 1, 1]}'),
    ],
)
def test_what_is_no_record_of_ours_is_none(key: bytes | None, value: bytes | None) -> None:
    assert decode_budget(key, value) is None
