"""Old against new, as users come to it: a prompt changes, a range is done again, and compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.command import streams
from tests.integration.harness import items, publish
from tests.integration.replays import replayer
from tests.integration.simulated import simulated

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]


@pytest.mark.parametrize("mode", ["envelope", "merge", "result"])
async def test_a_replay_with_another_prompt_is_compared_with_what_was_there(
    broker: Any, topic: Any, mode: str
) -> None:
    """In the sink itself, whatever form results have, and in a topic of its own."""
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, items(60, 2))
    with simulated() as api, replayer(broker, source, api) as replay:
        form = f'[task.output]\nmode = "{mode}"\n'
        config = replay.config + form
        changed = config.replace('"neutral"]', '"neutral", "mixed"]')
        for each, into in ((config, "out"), (changed, "out"), (changed, "side")):
            replay.configure(broker, each)
            ended = replay("--from", "earliest", "--into", f"{source}.{into}")
            assert ended.code == 0, ended.err
        for other in ("out", "side"):
            done = streams(
                *("diff", f"{source}.out", f"{source}.{other}", "--json"),
                *("--broker", broker.bootstrap),
            )
            assert done.code == 0, done.err
            found = json.loads(done.out)
            assert (found["matched_by"], found["compared"]) == ("position", 60)
            assert (found["missing_in_a"], found["missing_in_b"]) == (0, 0)
            if other == "out":
                old, new = (found[side]["versions"][0]["fingerprint"] for side in ("a", "b"))
                assert old != new
                assert found["changed"] > 0
            else:  # the last of each item counts
                assert found["equal"] == 60
            known = mode == "envelope"
            assert all((found[side]["cost_usd"] is not None) == known for side in ("a", "b"))
            texts = [each["text"] for flip in found["labels"]["flips"] for each in flip["examples"]]
            assert not known or all(text.startswith("item ") for text in texts)
