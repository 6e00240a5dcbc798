"""Headers whose names are not UTF-8, which aiokafka's parser refuses, through a worker, `tail` and
a redrive."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest

from streams.kafka.consume.fetched_records import allow_any_record
from tests.cli.command import streams
from tests.integration.harness import read
from tests.integration.running import done, item, worker
from tests.kafka.raw_batches import batch, body, framed, produce

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

STRANGE = [(b"gr\xf6\xdfe", b"1"), (b"\xff\xfe", None), ("\u00e9".encode(), b""), (b"", b"\xff")]
NAMES = [(name.decode("utf-8", "surrogateescape"), value) for name, value in STRANGE]
GZIP = 1


async def _send(broker: Any, source: str, partition: int, records: list[bytes]) -> None:
    """Compressed, since the broker looks into those least."""
    now_ms = int(time.time() * 1000)
    raw = batch([framed(each) for each in records], compression=GZIP, timestamp=now_ms)
    assert await produce(broker.bootstrap, source, partition, raw) == 0


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_names_that_are_not_utf_8_pass_into_results_and_dead_letters(
    broker, topic, guarantee
):
    allow_any_record()
    source = await topic(partitions=2)
    strange = [
        body(0, item(0), STRANGE, b"k"),
        body(1, b"{", STRANGE, b"k"),
        body(2, item(2), [(b"plain", b"1")], b"k"),
    ]
    await _send(broker, source, 0, strange)
    await _send(broker, source, 1, [body(n, item(n)) for n in range(5)])
    with worker(broker, source, settings=f'guarantee = "{guarantee}"') as process:
        await done(broker, process, source, [3, 5])
        assert process.stop() == 0, process.log
    topics = [f"{source}.out", f"{source}.dead"]
    found = await read(broker.bootstrap, topics, isolation="read_committed")
    results = {r.offset: r for r in found if r.topic.endswith(".out") and r.partition == 0}
    first, last = (record for _, record in sorted(results.items()))
    assert list(first.headers) == NAMES
    assert (first.key, list(last.headers)) == (b"k", [("plain", b"1")])
    (no_json,) = [r for r in found if r.topic.endswith(".dead")]
    assert list(no_json.headers)[: len(NAMES)] == NAMES
    assert dict(no_json.headers)["streams-error-code"] == b"invalid_json"


async def test_tail_prints_names_that_are_not_utf_8_as_valid_json(broker, topic):
    source = await topic()
    await _send(broker, source, 0, [body(0, b"1", STRANGE), body(1, b"2", [(b"base64:", b"x")])])
    printed = await asyncio.to_thread(
        streams, "tail", source, "--json", "--count", "2", "--broker", broker.bootstrap
    )
    assert printed.code == 0, printed.err
    first, second = map(orjson.loads, printed.out.splitlines())
    assert first["headers"] == {
        "base64:Z3L232U=": "1", "base64://4=": None, "\u00e9": "", "": {"base64": "/w=="},
    }  # fmt: skip
    assert second["headers"] == {"base64:YmFzZTY0Og==": "x"}


async def test_a_redrive_sends_strange_names_as_they_were(broker, topic):
    allow_any_record()
    source = await topic()
    await _send(broker, source, 0, [body(0, b"{", STRANGE, b"k")])
    with worker(broker, source) as process:
        await done(broker, process, source, [1])
        assert process.stop() == 0, process.log
    shown = await asyncio.to_thread(
        streams, "dead", "show", f"{source}.dead", "0/0", "--broker", broker.bootstrap
    )
    assert "header     gr\\xf6\\xdfe: 1" in shown.out, shown.err
    driven = await asyncio.to_thread(
        streams, "dead", "redrive", f"{source}.dead", "--broker", broker.bootstrap
    )
    assert driven.code == 0, driven.err
    _, again = await read(broker.bootstrap, [source])
    assert list(again.headers)[: len(NAMES)] == NAMES
