"""The examples that read Kafka, by the commands of their docstrings, on the embedded broker."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests import forked
from tests.cli.command import started, streams
from tests.examples.programs import END_WITHIN_S, EXAMPLES
from tests.integration.simulated import simulated


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """The configuration of the examples, with another port."""
    broker = started("broker", "--json")
    try:
        address = json.loads(broker.stdout.readline())["bootstrap"]
        yield {
            "STREAMS_CONFIG": str(EXAMPLES / "streams.toml"),
            "STREAMS_KAFKA__BOOTSTRAP_SERVERS": address,
            "STREAMS_WORKER__WEB": "",
        }
        broker.send_signal(signal.SIGTERM)
        broker.communicate(END_WITHIN_S)
    finally:
        broker.kill()


class Worker:
    """`streams worker --app APP`; `until` waits for what it says."""

    def __init__(self, app: str, variables: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if name[:8] != "STREAMS_"}
        self._log = ""
        self.process = forked.started(
            "streams", "worker", "--json", "--app", app,
            stdout=forked.PIPE, stderr=forked.PIPE,
            cwd=EXAMPLES.parent, env={**clean, **variables},
        )  # fmt: skip

    def until(self, text: str) -> None:
        deadline = time.monotonic() + END_WITHIN_S
        while text not in self._log:
            assert select.select([self.process.stderr], [], [], deadline - time.monotonic())[0]
            piece = os.read(self.process.stderr.fileno(), 1 << 16)
            assert piece, self._log
            self._log += piece.decode()

    def stop(self) -> dict[str, Any]:
        """SIGTERM; its exit line."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(END_WITHIN_S)
        assert self.process.returncode == 0
        found: dict[str, Any] = json.loads(out)
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def working(app: str, source: str, variables: dict[str, str]) -> Iterator[None]:
    """The worker of an example on 24 reviews, until the block ends."""
    published = streams("publish", source, EXAMPLES / "reviews.csv", variables=variables)
    assert published.code == 0, published.err
    worker = Worker(app, variables)
    try:
        worker.until(f"reading {source}/0")
        yield
        assert worker.stop()["items"] == 24
    finally:
        worker.close()


def records(topic: str, count: int, variables: dict[str, str]) -> list[dict[str, Any]]:
    """The first `count` records, as soon as they are there."""
    found = streams("tail", topic, "--count", str(count), "--json", variables=variables)
    assert found.code == 0, found.err
    return found.lines


def test_reviews_get_the_facts_of_their_product_and_others_are_dead_letters(
    variables: dict[str, str],
) -> None:
    with working("examples.stream_function:app", "reviews", variables):
        results = [each["value"] for each in records("reviews.products", 21, variables)]
        dead = records("reviews.dead", 3, variables)
    products = {each["product"]: each["enrichment"]["products"] for each in results}
    assert {*products} == {"kettle", "lamp", "backpack", "headphones"}
    assert products["kettle"] == {"maker": "Boreal", "price_usd": 39.9}
    assert {letter["headers"]["streams-error-code"] for letter in dead} == {"unknown_product"}
    assert {letter["value"]["product"] for letter in dead} == {"toaster"}


def test_documents_get_the_vectors_of_their_chunks_in_the_order_of_their_partition(
    variables: dict[str, str],
) -> None:
    with simulated(latency_ms=0) as api:
        variables = {**variables, **api.variables}
        with working("examples.stream_documents:app", "documents", variables):
            found = records("documents.vectors", 24, variables)
    assert {len(vector) for each in found for vector in each["value"]["result"]["vectors"]} == {256}
    places = [
        (each["value"]["source"]["partition"], each["value"]["source"]["offset"]) for each in found
    ]
    for partition in range(4):
        offsets = [offset for where, offset in places if where == partition]
        assert offsets == sorted(offsets)
    assert len({*places}) == 24
