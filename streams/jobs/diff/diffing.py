"""The whole comparison: a survey of both topics, then both side by side.

A topic is read twice: which record of an item counts, and what the items are matched by, is known
when all have been seen. The survey keeps 8 bytes for each item and side.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.errors import UsageError
from streams.jobs.diff.comparison import Comparison
from streams.jobs.diff.example_sources import SourceTexts, source_texts
from streams.jobs.diff.item_places import Matching, Numbers
from streams.jobs.diff.join import Join, Lane
from streams.jobs.diff.survey import (
    ANYTHING,
    Selection,
    Sides,
    Survey,
    UnmatchedError,
    ambiguous,
    sides,
)
from streams.kafka.topic_reader import TopicReader, reading
from streams.running.bar import State, rate

if TYPE_CHECKING:
    from streams.settings import KafkaSettings


AHEAD = 3000
"""A partition with fewer results that wait for the other side may be read on, so that there is
something to do while a fetch of another one is under way."""


@dataclass(frozen=True)
class Diff:
    """What to compare. `a`, `b`: topics, which may be the same. `of_a`, `of_b`: which results of
    them. `task`: whose results, where a topic has those of several. `by`: how items are matched;
    None: by position, else by id, else by key, as the records allow. `examples`: of each kind of
    difference."""

    a: str
    b: str
    of_a: Selection = ANYTHING
    of_b: Selection = ANYTHING
    task: str | None = None
    by: Matching | None = None
    examples: int = 3


@dataclass
class DiffProgress:
    """`done` of `total` records are read; every change calls `changed`."""

    tell: Callable[[str], None]
    changed: Callable[[DiffProgress], None]
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    total: int = 0

    def add(self, records: int) -> None:
        self.done += records
        self.changed(self)

    def state(self) -> State:
        """What a bar shows."""
        elapsed_s = time.monotonic() - self.started
        text = f"read {self.done:,}/{self.total:,}"
        return State(text, rate(self.done, elapsed_s), self.done, self.total)


class Surveys(NamedTuple):
    """`versions`: those of each side. `a` and `b` are one object where the topics are one."""

    numbers: Numbers
    a: Survey
    b: Survey
    versions: Sides


class Found(NamedTuple):
    """The result of a diff. `texts`: of the examples' source records."""

    job: Diff
    surveys: Surveys
    comparison: Comparison
    texts: SourceTexts
    elapsed_s: float


async def diff(kafka: KafkaSettings, job: Diff, progress: DiffProgress) -> Found:
    """Compare the results of the two topics, as far as they go now. Raises UsageError where there
    is nothing to compare, and BrokerError: no such topic, no answer, a record that cannot be
    read."""
    surveys = await _survey(kafka, job, progress)
    comparison = await _compare(kafka, job, surveys, progress)
    texts = await source_texts(kafka, comparison)
    return Found(job, surveys, comparison, texts, time.monotonic() - progress.started)


async def _survey(kafka: KafkaSettings, job: Diff, progress: DiffProgress) -> Surveys:
    ways: tuple[Matching, ...] = ("position", "id", "key") if job.by is None else (job.by,)
    for matching in ways:
        numbers = Numbers(matching)
        try:
            a = await _survey_of(kafka, job.a, Survey(job.a, numbers, job.task), progress)
            b = a
            if job.b != job.a:
                b = await _survey_of(kafka, job.b, Survey(job.b, numbers, job.task), progress)
            _check_sources(matching, a, b)
        except UnmatchedError:
            continue
        return Surveys(numbers, a, b, sides(a, b, job.of_a, job.of_b))
    raise UsageError(
        f"{job.a} and {job.b} cannot be matched by {job.by}: a record has none; --by names another"
        " way, and without it the best way is found"
    )


def _check_sources(matching: Matching, a: Survey, b: Survey) -> None:
    """Positions in different topics say nothing about each other. Raises UnmatchedError."""
    if matching != "position":
        return
    named_a, named_b = a.sources - {""}, b.sources - {""}
    if (named_a and named_b and not named_a & named_b) or ambiguous(a.sources | b.sources):
        raise UnmatchedError


async def _survey_of(
    kafka: KafkaSettings, topic: str, survey: Survey, progress: DiffProgress
) -> Survey:
    async with reading(kafka, topic) as reader:
        before = progress.done
        progress.total = max(progress.total, before + len(reader))
        for partition in reader.extents:
            while records := await reader.take(partition):
                survey.add(partition, records)
                progress.add(len(records))
    return survey


async def _compare(
    kafka: KafkaSettings, job: Diff, surveys: Surveys, progress: DiffProgress
) -> Comparison:
    numbers, a, b, (of_a, of_b) = surveys
    comparison = Comparison(job.examples)
    join = Join(numbers, a.chosen(of_a), b.chosen(of_b), job.task)
    async with AsyncExitStack() as stack:
        stack.callback(join.close)
        readers = {
            "a": await stack.enter_async_context(reading(kafka, job.a)),
            "b": await stack.enter_async_context(reading(kafka, job.b)),
        }
        progress.total = progress.done + sum(map(len, readers.values()))
        await _join(readers, join, comparison, progress)
    return comparison


async def _join(
    readers: dict[Any, TopicReader], join: Join, comparison: Comparison, progress: DiffProgress
) -> None:
    lanes = [
        Lane(side, partition) for side, reader in readers.items() for partition in reader.extents
    ]
    while lanes:
        here = [
            each
            for each in lanes
            if each.waiting < AHEAD and readers[each.side].has(each.partition)
        ]
        lane = min(here or lanes, key=lambda each: (each.waiting, each.done))
        if records := await readers[lane.side].take(lane.partition):
            joined = join.add(lane, records)
            comparison.add(joined.pairs)
            comparison.add_missing(lane.side, joined.missing)
            progress.add(len(records))
        else:
            lanes.remove(lane)
