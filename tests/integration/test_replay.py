"""`streams replay` in live mode on a real broker: the range again, in order and complete."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.harness import items, publish
from tests.integration.replays import positions, records_of, replayer
from tests.integration.simulated import simulated

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]


async def test_a_range_is_done_again_in_order_and_counted(broker: Any, topic: Any) -> None:
    source = await topic(partitions=3)
    sent = await publish(broker.bootstrap, source, items(120, 3))
    with simulated() as api, replayer(broker, source, api) as replay:
        ended = replay("--from", "earliest", "--until", "latest")
        assert ended.code == 0, ended.err
        summary = ended.summary
        found = await records_of(broker, ended.run, f"{source}.out")
        assert (summary["run"], summary["state"], summary["mode"]) == (ended.run, "done", "live")
        assert (summary["items"], summary["results"]) == (120, 120)
        assert (summary["lost"], summary["duplicated"], summary["out_of_order"]) == (0, 0, 0)
        assert sorted(positions(found)) == sorted(sent)
        assert all(dict(record.headers)["streams-fingerprint"] for record in found)
        assert summary["calls"] == api.state()["requests"]
