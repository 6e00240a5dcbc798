"""1 % bad items through a worker: each is a dead letter, all others have results, for few calls."""

from __future__ import annotations

from random import Random

import pytest

from tests.integration.poisoned import poisoned

pytestmark = pytest.mark.kafka

ITEMS = 1_000


@pytest.mark.parametrize(
    ("fault", "code", "mean"),
    [("refusal", "refused", 9), ("bad_request", "rejected", 9), ("missing", "no_answer", 2)],
)
async def test_one_bad_item_in_a_hundred_costs_few_calls_and_no_neighbour(
    broker, seed, fault, code, mean
):
    bad = set(Random(seed).sample(range(ITEMS), ITEMS // 100))
    found = await poisoned(broker.bootstrap, fault, items=ITEMS, bad=bad, max_items=20)
    assert found.verdict == (0, 0, 0)
    assert found.dead == bad
    assert found.codes == {code}
    assert (found.retries + found.splits) / len(bad) <= mean
