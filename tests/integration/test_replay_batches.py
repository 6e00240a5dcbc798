"""`streams replay --mode batch` on a real broker, against the simulator's Message Batches."""

from __future__ import annotations

from typing import Any

import pytest

from streams.jobs.judge import judge, outcome_of
from tests.integration.harness import items, publish
from tests.integration.replays import records_of, replayer
from tests.integration.simulated import simulated

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]


async def test_a_range_goes_through_batches_at_half_price_in_order(broker: Any, topic: Any) -> None:
    source = await topic(partitions=3)
    sent = await publish(broker.bootstrap, source, [*items(300, 3), (b"bad", b"no JSON", 1)])
    with simulated() as api, replayer(broker, source, api) as replay:
        live = replay("--from", "earliest", "--into", f"{source}.live")
        assert live.code == 0, live.err
        ended = replay("--from", "earliest", "--mode", "batch")
        assert ended.code == 0, ended.err
        summary = ended.summary
        assert (summary["mode"], summary["state"]) == ("batch", "done")
        assert (summary["items"], summary["results"], summary["dead_letters"]) == (301, 300, 1)
        assert summary["cost_usd"] <= 0.53 * live.summary["cost_usd"]  # a canary is live
        found = await records_of(broker, ended.run, f"{source}.out", f"{source}.dead")
    outcomes = [outcome for record in found if (outcome := outcome_of(record)) is not None]
    assert judge(sent, outcomes) == (0, 0, 0)
