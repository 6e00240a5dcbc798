"""Looks up the source records of examples: a flip says little without the text behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streams.codec.pointers import as_text
from streams.codec.strict_json import read
from streams.errors import BrokerError
from streams.jobs.dead.lookup import Lookup
from streams.jobs.diff.comparison import Comparison
from streams.jobs.diff.enriched import Enriched
from streams.kafka.admin import Admin
from streams.kafka.client import broker_answer, client_arguments, connected
from streams.model import Position

if TYPE_CHECKING:
    from streams.settings import KafkaSettings

MAX_LOOKUPS = 300
SHOWN_CHARACTERS = 500

SourceTexts = dict[Position, str]
"""By position: the `text` member of a source record, else the whole record; cut where it is
long."""


async def source_texts(kafka: KafkaSettings, comparison: Comparison) -> SourceTexts:
    """Without those whose source is not known or gone, and those beyond `MAX_LOOKUPS`."""
    wanted = dict.fromkeys(_positions(comparison))
    found: SourceTexts = {}
    admin = Admin(**client_arguments(kafka))
    async with connected(admin, kafka.bootstrap_servers), Lookup(kafka) as lookup:
        described = await broker_answer(admin.describe_topics(), admin)
        partitions = {each["topic"]: len(each["partitions"]) for each in described}
        for position in list(wanted)[:MAX_LOOKUPS]:
            if position.partition >= partitions.get(position.topic, 0):
                continue
            try:
                record, _ = await lookup.record(position)
            except BrokerError:
                continue  # the comparison is done, and stands without it
            if record is not None and record.value is not None:
                found[position] = _text(record.value)
    return found


def _positions(comparison: Comparison) -> Iterator[Position]:
    for example in comparison.examples():
        yield from _position(example.pair.a, example.pair.b)
    for sample in comparison.missing_examples.values():
        for result in sample.items():
            yield from _position(result)


def _position(*results: Enriched) -> Iterator[Position]:
    for result in results:
        if result.topic:
            yield Position(result.topic, result.partition, result.offset)
            return


def _text(value: bytes) -> str:
    try:
        found = read(value)
        text = found.get("text") if isinstance(found, dict) else found
        text = found if text is None else text
        text = as_text(text)
    except ValueError:
        text = value.decode("utf-8", "replace")
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
