"""What the API can do to a worker, through the real SDK and real topics: pauses that would wedge an
aiokafka consumer, faults of every class, and logs that tell nothing of what is processed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.integration.harness import publish, read, verdict
from tests.integration.running import done, item, logged, worker
from tests.integration.simulated import API_KEY, classifies, simulated

pytestmark = pytest.mark.kafka

MARKER = "MARKER-of-the-text"
KEY = {"ANTHROPIC_API_KEY": API_KEY}


def _codes(records: list[Any]) -> Counter[str]:
    return Counter(
        dict(record.headers)["streams-error-code"].decode()
        for record in records
        if record.topic.endswith(".dead")
    )


async def test_a_refused_account_pauses_longer_than_the_poll_interval_and_nothing_is_lost(
    broker, topic
):
    """401, 403 and spend limits: the task says so, waits with every partition full, and goes on by
    itself. aiokafka would have left the group after the (shortened) interval, for ever."""
    source = await topic(partitions=4)
    records = [(None, item(n, "good " + "x" * 2000), n % 4) for n in range(1200)]
    positions = await publish(broker.bootstrap, source, records)
    refusals = ["unauthorized", "forbidden", "spend_limit", "spend_cap", "billing"]
    with simulated() as api:
        api.script(*({"fault": fault, "calls": n} for n, fault in enumerate(refusals, 1)))
        # Calls that were under way together count as well, hence one in flight.
        config = classifies(source, api, max_in_flight=1)
        with worker(
            broker,
            source,
            config=config,
            settings="max_buffered_mb = 1",
            TEST_SOURCES="",
            TEST_POLL_MS="2000",
            TEST_ACCOUNT_S="1.5",
            **KEY,
        ) as process:
            await logged(process, "is paused (account)")
            await done(broker, process, source, [300] * 4)
            assert process.stop() == 0, process.log
            log = process.log
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert _codes(found) == {}
    assert log.count("ERROR task sentiment is paused (account)") == len(refusals)
    assert "goes on" in log
    assert API_KEY not in log


async def test_whatever_the_api_does_healthy_items_have_results_in_order_and_logs_tell_nothing(
    broker, topic
):
    """429 with and without retry-after, 529 bursts, resets, hangs, unreadable replies, a refusal of
    one item; beside it a function that raises with the item's text. No text, key or API key is
    in the log (G10)."""
    source, other = await topic("source", partitions=4), await topic("other")
    records = [(f"{MARKER}-key-{n}".encode(), item(n, f"{MARKER} {n}"), n % 4) for n in range(600)]
    records[123] = (records[123][0], item(123, f"poison {MARKER}"), 3)
    records[200] = (records[200][0], f'{{"text": "{MARKER}" broken'.encode(), 0)
    positions = await publish(broker.bootstrap, source, records)
    raising = [(None, item(n, f"{MARKER} {n}", **{"raise": n == 7}), 0) for n in range(20)]
    more = await publish(broker.bootstrap, other, raising)
    rules = [
        {"fault": "refusal", "text": "poison"},
        {"fault": "rate_limited", "calls": "3-5", "retry_after_s": 1},
        {"fault": "overloaded", "calls": "12-14"},
        {"fault": "reset", "calls": "20-21"},
        {"fault": "hang", "calls": "24-26"},
        {"fault": "invalid_json", "calls": "28-29"},
        {"fault": "server_error", "calls": "34-35"},
        {"fault": "missing", "calls": "38-39", "count": 2},
    ]
    with simulated() as api:
        api.script(*rules)
        config = classifies(source, api, timeout_s=2, max_attempts=6)
        with worker(broker, other, config=config, **KEY) as process:
            await done(broker, process, other, [20])
            await done(broker, process, source, [150] * 4, group=f"{other}-group", within_s=120)
            assert process.stop() == 0, process.log
            log = process.log
        played = {rule["fault"]: rule["played"] for rule in api.state()["script"]}
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert all(played.values()), played
    assert _codes(found) == {"refused": 1, "invalid_json": 1}
    judged, found = await verdict(broker.bootstrap, other, more)
    assert judged == (0, 0, 0)
    assert _codes(found) == {"function_error": 1}
    assert "is paused" in log
    for marker in ("MARKER", "poison", "sk-ant"):
        assert marker not in log, [line for line in log.splitlines() if marker in line]


async def test_a_wrong_answer_of_the_whole_api_is_not_a_topic_of_dead_letters(broker, topic):
    """An outage (5xx for everybody, no connection) delays; it does not fill the dead letters."""
    source = await topic()
    positions = await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(60)])
    with simulated() as api:
        api.script({"fault": "unavailable", "calls": "1-3"}, {"fault": "reset", "calls": "4-5"})
        config = classifies(source, api, max_attempts=1, max_in_flight=2)
        with worker(broker, source, config=config, TEST_SOURCES="", **KEY) as process:
            await done(broker, process, source, [60])
            assert process.stop() == 0, process.log
            assert process.summary["dead_letters"] == 0
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert len(await read(broker.bootstrap, [f"{source}.out"])) == 60


async def test_an_item_that_is_refused_each_time_is_a_dead_letter_and_no_partition_waits(
    broker, topic
):
    """A content filter that answers 403, among 300 items: after four minutes 250 of them waited."""
    source = await topic(partitions=3)
    texts = {n: f"{'POISON' if n == 137 else 'good'} number {n}" for n in range(300)}
    records = [(None, item(n, text), n % 3) for n, text in texts.items()]
    positions = await publish(broker.bootstrap, source, records)
    with simulated() as api:
        api.script({"fault": "forbidden", "text": "POISON"})
        config = classifies(source, api, max_items=20, max_attempts=2)
        with worker(broker, source, app=None, config=config, **KEY) as process:
            await done(broker, process, source, [100] * 3)
            assert process.stop() == 0, process.log
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert _codes(found) == {"account": 1}
