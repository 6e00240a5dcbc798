"""Runs the demo: publish real text, enrich it through the real SDK, judge the result.

texts ─► source topic ─► worker ─► anthropic SDK ─► simulator (own process)
                           └─► sink topic ─► judge ─► summary
"""

from __future__ import annotations

import asyncio
import json as codec
import logging
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.app import App
from streams.demo.texts import demo_items
from streams.demo.view import View
from streams.errors import BrokerError, StreamsError, UsageError
from streams.judge import Outcome, Verdict, judge, outcome_of
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_arguments, connected
from streams.model import Item
from streams.providers import TaskCaller, make_caller
from streams.settings import KafkaSettings, Settings

ENVIRON = {"ANTHROPIC_API_KEY": "demo"}
LATENCY_MS = 200
PARTITIONS = 4
LABELS = (
    "files and operating system",
    "network and internet",
    "text and data formats",
    "numbers and time",
    "processes and concurrency",
    "the Python language itself",
)
INSTRUCTIONS = "What is this piece of Python documentation about?"
ONE_ITEM_CALLS = 3
FINISH_WITHIN_S = 600.0

logger = logging.getLogger(__name__)


def run(items: int, input: Path | None, broker: str | None, json: bool) -> int:
    """The `demo` command; returns its exit code: 0 if nothing was lost, repeated or reordered.

    `items`: how many at most; `input`: a file of them; None: docstrings of the standard library.
    `broker`: None starts an embedded one. Raises StreamsError.
    """
    texts = demo_items(items) if input is None else _read(input, items)
    with EmbeddedBroker() if broker is None else nullcontext() as embedded:
        address = broker if embedded is None else embedded.bootstrap
        assert address is not None
        return asyncio.run(_demo(texts, address, View(as_json=json)))


def _read(path: Path, most: int) -> list[dict[str, Any]]:
    """JSON lines with a `text` where the name ends so, else a text a line; blank lines skipped."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"--input {path}: {error.strerror}") from error
    as_json = path.suffix in {".json", ".jsonl", ".ndjson"}
    items: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if line.strip() and len(items) < most:
            items.append(_item(path, number, line, as_json=as_json))
    if not items:
        raise UsageError(f"--input {path}: has no line with a text")
    return items


def _item(path: Path, number: int, line: bytes, *, as_json: bool) -> dict[str, Any]:
    if not as_json:
        return {"id": number, "text": line.decode("utf-8", "replace")}
    try:
        item = orjson.loads(line)
    except ValueError:
        item = None
    if not isinstance(item, dict) or "text" not in item:
        raise UsageError(f'--input {path}, line {number}: a JSON object with a "text" is needed')
    return item


async def _demo(texts: Sequence[dict[str, Any]], address: str, view: View) -> int:
    kafka = KafkaSettings(bootstrap_servers=address)
    name = f"demo-{secrets.token_hex(3)}"
    async with _simulator() as simulator:
        base_url, answers = simulator["anthropic_base_url"], simulator["answers"]
        view.say(f"API simulator at {base_url}, answers: {answers}")
        reading = asyncio.ensure_future(_read_ahead(base_url, texts))
        try:
            positions = await _publish(kafka, name, texts, view)
        finally:
            await asyncio.wait([reading])
        await reading
        settings = _settings(name, address, base_url)
        caller = make_caller(settings.tasks[0], settings.provider["anthropic"], environ=ENVIRON)
        app = App(settings, environ=ENVIRON)
        try:
            # The group takes seconds to form: time enough to time a client without batching.
            _, one_item_s = await asyncio.gather(app.start(), _one_item_call_s(caller))
            await _finish(app, len(texts), view)
            committed = await app.record_host.drain(10.0)
            summary = app.record_host.summary()
            verdict, samples = await _judge(kafka, name, positions)
        finally:
            await asyncio.gather(app.stop(), caller.aclose())
    summary = _complete(summary, verdict, one_item_s)
    view.results(samples)
    view.summary(summary)
    return 0 if committed and not any(verdict) and summary["items"] == len(texts) else 1


async def _read_ahead(base_url: str, texts: Sequence[dict[str, Any]]) -> None:
    """The simulator's encoder shares our processor: it reads before the clock runs."""
    body = orjson.dumps([str(text["text"]) for text in texts])
    async with ClientSession() as session:
        await session.post(f"{base_url}/simulator/read", data=body)


def _settings(name: str, address: str, base_url: str) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": address},
            "worker": {"id": name, "web": ""},
            "provider": {"anthropic": {"base_url": base_url}},
            "task": [
                {
                    "name": "topic",
                    "source": name,
                    "sink": f"{name}.topic",
                    "operation": "classify",
                    "provider": "anthropic",
                    "model": "claude-haiku-5-5",
                    "labels": list(LABELS),
                    "instructions": INSTRUCTIONS,
                }
            ],
        }
    )


@asynccontextmanager
async def _simulator() -> AsyncIterator[dict[str, Any]]:
    """The simulator as a process of its own, so that it takes no time from the worker's loop."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streams.simulator", "--port", "0", "--latency-ms", str(LATENCY_MS),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        if not line:
            raise StreamsError("the API simulator did not start")
        yield codec.loads(line)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _publish(
    kafka: KafkaSettings, topic: str, texts: Sequence[dict[str, Any]], view: View
) -> list[tuple[int, int]]:
    """Publish every text; returns where each stands."""
    arguments = client_arguments(kafka)
    async with connected(AIOKafkaAdminClient(**arguments), kafka.bootstrap_servers) as admin:
        answer = await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
        if code := answer.topic_errors[0][1]:
            raise BrokerError(f"the topic {topic} could not be created (error {code})")
    async with connected(AIOKafkaProducer(**arguments), kafka.bootstrap_servers) as producer:
        with view.progress("publishing", len(texts)) as advance:
            sent = []
            for number, text in enumerate(texts):
                sent.append(
                    await producer.send(topic, orjson.dumps(text), partition=number % PARTITIONS)
                )
                advance(1)
            metadata = [await each for each in sent]
    # The position by count: the embedded broker's acknowledged offsets are those of its batches.
    view.say(f"published {len(metadata)} items to {topic}")
    seen = [0] * PARTITIONS
    positions = []
    for number in range(len(texts)):
        partition = number % PARTITIONS
        positions.append((partition, seen[partition]))
        seen[partition] += 1
    return positions


async def _one_item_call_s(caller: TaskCaller) -> float:
    """The latency of a call with one item, as a client without batching would make it."""
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


async def _judge(
    kafka: KafkaSettings, name: str, positions: list[tuple[int, int]]
) -> tuple[Verdict, list[dict[str, Any]]]:
    """Read the sink and the dead letters back, and compare them with what was published."""
    topics = [f"{name}.topic", f"{name}.dead"]
    consumer = AIOKafkaConsumer(
        **client_arguments(kafka), auto_offset_reset="earliest", enable_auto_commit=False
    )
    outcomes: list[Outcome] = []
    samples: list[dict[str, Any]] = []
    quiet = 0
    async with connected(consumer, kafka.bootstrap_servers):
        consumer.assign([TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)])
        while quiet < 2 and (len(outcomes) < len(positions) or not quiet):
            fetched = await consumer.getmany(timeout_ms=500)
            quiet = 0 if fetched else quiet + 1
            for records in fetched.values():
                for record in records:
                    outcome = outcome_of(record)
                    if outcome is not None:
                        outcomes.append(outcome)
                    if len(samples) < 5 and record.topic == topics[0]:
                        samples.append(orjson.loads(record.value))
    return judge(positions, outcomes), samples


def _complete(summary: dict[str, Any], verdict: Verdict, one_item_s: float) -> dict[str, Any]:
    """The worker's summary with what only the judge and the clock know, in the contract's order."""
    first = ("items", "results", "dead_letters")
    summary = {**{key: summary[key] for key in first}, **verdict._asdict(), **summary}
    serial = summary["items"] * one_item_s
    summary["one_call_per_item_s"] = round(serial, 3)
    summary["speedup"] = round(serial / summary["elapsed_s"], 1) if summary["elapsed_s"] else 0.0
    return summary
