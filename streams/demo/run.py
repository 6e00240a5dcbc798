"""Runs the demo: publish real text, enrich it through the real SDK, judge the result.

items ─► source topic ─► worker ─► anthropic SDK ─► simulator (own process)
                           └─► sink topic ─► judge ─► summary
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import orjson
from aiohttp import ClientSession
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from streams.app import App
from streams.demo.findings import Place, find
from streams.demo.items import DemoItem, Input, docstring_items, items_of
from streams.demo.view import View
from streams.errors import BrokerError, StreamsError
from streams.jobs.judge import Verdict
from streams.jobs.own_simulator import ENVIRON, own_simulator
from streams.kafka.admin import Admin
from streams.kafka.broker.tansu import EmbeddedBroker
from streams.kafka.client import client_arguments, connected
from streams.model import Item
from streams.providers import TaskCaller, make_caller
from streams.settings import KafkaSettings, Settings

PARTITIONS = 4
LABELS = (
    "files and operating system",
    "network and internet",
    "text and data formats",
    "numbers and time",
    "processes and concurrency",
    "the Python language itself",
)
ONE_ITEM_CALLS = 3
READY_WITHIN_S = 60.0
FINISH_WITHIN_S = 600.0

logger = logging.getLogger(__name__)


class Question(NamedTuple):
    """The question to the model about each item."""

    labels: tuple[str, ...]
    instructions: str = ""


DOCSTRINGS = Question(LABELS, "What is this piece of Python documentation about?")


def run(
    items: int, source: Input | None, question: Question | None, broker: str | None, *, json: bool
) -> int:
    """The `demo` command; returns its exit code: 0 if nothing was lost, repeated or reordered.

    `items`: how many at most. `source`: a file of them; None: docstrings of the standard library.
    `question`: None: the labels that suit docstrings. `broker`: None starts an embedded one. Raises
    StreamsError.
    """
    view = View(as_json=json)
    found = docstring_items(items) if source is None else items_of(source, items, view.say)
    asked = question or (DOCSTRINGS if source is None else Question(LABELS, "What is it about?"))
    if source is not None and question is None:
        view.say(f"labels: {', '.join(LABELS)}; --labels a,b,c for your own")
    text = "/text" if source is None else source.text
    with EmbeddedBroker() if broker is None else nullcontext() as embedded:
        address = broker if embedded is None else embedded.bootstrap
        assert address is not None
        return asyncio.run(_demo(found, asked, text, address, view))


async def _demo(
    items: Sequence[DemoItem], question: Question, text: str, address: str, view: View
) -> int:
    kafka = KafkaSettings(bootstrap_servers=address)
    name = f"demo-{secrets.token_hex(3)}"
    async with own_simulator() as simulator:
        base_url, answers = simulator["anthropic_base_url"], simulator["answers"]
        view.say(f"API simulator at {base_url}, answers: {answers}")
        await _create(kafka, name)
        settings = _settings(name, question, text, address, base_url)
        caller = make_caller(settings.tasks[0], settings.provider["anthropic"], environ=ENVIRON)
        app = App(settings, environ=ENVIRON)
        try:
            view.say("starting the worker: its group takes some seconds to form")
            # Time for work that would otherwise share the processor with the stream.
            _, one_item_s = await asyncio.gather(
                _started(app), _one_item_call_s(caller, base_url, items)
            )
            places = await _publish(kafka, name, items, view)
            await _finish(app, len(items), view)
            committed = await app.record_host.drain(10.0)
            summary = app.record_host.summary()
            del summary["late_items"]  # a demo has no deadlines
            topics = (f"{name}.label", f"{name}.dead")
            partitions = [TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]
            findings = await find(kafka, partitions, places)
        finally:
            await asyncio.gather(app.stop(), caller.aclose())
    summary = _complete(summary, findings.verdict, one_item_s)
    view.results(findings, dict(zip(places, items, strict=True)))
    view.summary(summary)
    as_expected = committed and not any(findings.verdict) and summary["items"] == len(items)
    return 0 if as_expected else 1


async def _started(app: App) -> None:
    """The worker has its partitions: it reads new records at once."""
    await app.start()
    deadline = time.monotonic() + READY_WITHIN_S
    while not app.record_host.ready:
        if app.fatal is not None:
            raise app.fatal
        if time.monotonic() > deadline:
            raise StreamsError(f"the worker has no partitions after {READY_WITHIN_S:g} s")
        await asyncio.sleep(0.02)


async def _read_ahead(base_url: str, items: Sequence[DemoItem]) -> None:
    """The simulator's encoder shares our processor: it prepares the texts before the clock
    starts."""
    body = orjson.dumps([item.text for item in items if item.text is not None])
    async with ClientSession() as session:
        await session.post(f"{base_url}/simulator/read", data=body)


def _settings(name: str, question: Question, text: str, address: str, base_url: str) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": address},
            "worker": {"id": name, "web": ""},
            "provider": {"anthropic": {"base_url": base_url}},
            "task": [
                {
                    "name": "label",
                    "source": name,
                    "sink": f"{name}.label",
                    "operation": "classify",
                    "provider": "anthropic",
                    "model": "claude-haiku-5-5",
                    "labels": list(question.labels),
                    "instructions": question.instructions,
                    "text": text,
                }
            ],
        }
    )


async def _create(kafka: KafkaSettings, topic: str) -> None:
    admin = Admin(**client_arguments(kafka))
    async with connected(admin, kafka.bootstrap_servers):
        answer = await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
        if code := answer.topic_errors[0][1]:
            raise BrokerError(f"the topic {topic} could not be created (error {code})")


async def _publish(
    kafka: KafkaSettings, topic: str, items: Sequence[DemoItem], view: View
) -> list[Place]:
    """Publish every item; returns the position of each. Raises BrokerError."""
    producer = AIOKafkaProducer(**client_arguments(kafka))
    async with connected(producer, kafka.bootstrap_servers):
        with view.progress("publishing", len(items)) as advance:
            try:
                sent = []
                for number, item in enumerate(items):
                    partition = number % PARTITIONS
                    sent.append(await producer.send(topic, item.value, partition=partition))
                    advance(1)
                await asyncio.gather(*sent)
            except KafkaError as error:
                raise BrokerError(f"the broker takes no items: {error!r}") from error
    view.say(f"published {len(items)} items to {topic}")
    # By count: the embedded broker's acknowledged offsets are those of its batches.
    return [(number % PARTITIONS, number // PARTITIONS) for number in range(len(items))]


async def _one_item_call_s(caller: TaskCaller, base_url: str, items: Sequence[DemoItem]) -> float:
    """The latency of a call with one item, as a client without batching would make it."""
    await _read_ahead(base_url, items)
    item = Item({}, "Return the current time.", "one", None, (), "demo", 0, 0, 0, b"")
    await caller([item])  # opens the connection
    began = time.monotonic()
    for _ in range(ONE_ITEM_CALLS):
        await caller([item])
    return (time.monotonic() - began) / ONE_ITEM_CALLS


async def _finish(app: App, count: int, view: View) -> None:
    deadline = time.monotonic() + FINISH_WITHIN_S
    with view.progress("enriching", count) as advance:
        done = 0
        while done < count:
            if app.fatal is not None:
                raise app.fatal
            if time.monotonic() > deadline:
                raise StreamsError(
                    f"{count - done} items have no result after {FINISH_WITHIN_S:g} s"
                )
            await asyncio.sleep(0.02)
            now = sum(task.tally.items for task in app.record_host.tasks)
            advance(now - done)
            done = now


def _complete(summary: dict[str, Any], verdict: Verdict, one_item_s: float) -> dict[str, Any]:
    """The worker's summary with the judge's numbers and the elapsed time, in the contract's
    order."""
    first = ("items", "results", "dead_letters")
    summary = {**{key: summary[key] for key in first}, **verdict._asdict(), **summary}
    serial = summary["items"] * one_item_s
    summary["one_call_per_item_s"] = round(serial, 3)
    summary["speedup"] = round(serial / summary["elapsed_s"], 1) if summary["elapsed_s"] else 0.0
    return summary
