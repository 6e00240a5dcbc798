"""Seeded faults over several workers on Apache Kafka: nothing lost, nothing out of order, and no
copy that no lost worker explains. `make chaos` has 200 of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.run import carry_out
from tests.chaos.schedule import plan
from tests.integration.guarantees import refused

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.needs("version_4", "nodes")]


async def _one(where: Any, run: tuple[int, str, int], simulator: Any, report: Any) -> None:
    seed, guarantee, nodes = run
    if reason := refused(guarantee):
        pytest.skip(reason)
    report(await carry_out(where, plan(seed, guarantee=guarantee, nodes=nodes), simulator))


@pytest.mark.timeout(240)
@pytest.mark.together("chaos")  # beside the other tests that harm a broker of their own
async def test_every_item_is_accounted_for(own_broker, run, simulator, report):
    """G1, G2, G3 on one node: workers are killed, frozen, stopped and started, the broker stands
    still or dies, topics grow, the API misbehaves."""
    await _one(own_broker, run, simulator, report)


@pytest.mark.timeout(240)
async def test_every_item_is_accounted_for_on_three_nodes(cluster, run, simulator, report):
    """The same, with nodes of three killed and frozen one after the other."""
    await _one(cluster, run, simulator, report)
