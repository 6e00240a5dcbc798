"""The whole comparison: both topics side by side, at once or after a survey.

Which record of an item counts is known when all have been seen. As long as no item comes twice on a
side, and few wait for the other side, one reading does; else both topics are surveyed first, which
keeps 8 bytes for each item and side, and read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import UsageError
from streams.jobs.diff.comparison import Comparison
from streams.jobs.diff.example_sources import SourceTexts, source_texts
from streams.jobs.diff.item_places import Matching, Numbers
from streams.jobs.diff.join import SIDES, Join, Lane, NotAtOnceError, Side
from streams.jobs.diff.sorting import AtOnce, Chosen, Sorting
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
    surveys, comparison = await _matched(kafka, job, progress)
    texts = await source_texts(kafka, comparison)
    return Found(job, surveys, comparison, texts, time.monotonic() - progress.started)


async def _matched(
    kafka: KafkaSettings, job: Diff, progress: DiffProgress
) -> tuple[Surveys, Comparison]:
    ways: tuple[Matching, ...] = ("position", "id", "key") if job.by is None else (job.by,)
    for matching in ways:
        try:
            if job.a != job.b and not (job.of_a or job.of_b):
                with suppress(NotAtOnceError):
                    return await _at_once(kafka, job, matching, progress)
            return await _in_two_steps(kafka, job, matching, progress)
        except UnmatchedError:
            continue
    raise UsageError(
        f"{job.a} and {job.b} cannot be matched by {job.by}: a record has none; --by names another"
        " way, and without it the best way is found"
    )


async def _at_once(
    kafka: KafkaSettings, job: Diff, matching: Matching, progress: DiffProgress
) -> tuple[Surveys, Comparison]:
    """Reads each topic once. Raises NotAtOnceError, UnmatchedError."""
    numbers = Numbers(matching)
    a, b = Survey(job.a, numbers, job.task), Survey(job.b, numbers, job.task)
    join, comparison = Join(to_disk=False), Comparison(job.examples)
    await _read(kafka, job, AtOnce({"a": a, "b": b}), join, comparison, progress)
    _check_sources(matching, a, b)
    for side in SIDES:
        comparison.add_missing(side, join.rest(side))
    return Surveys(numbers, a, b, sides(a, b, job.of_a, job.of_b)), comparison


async def _in_two_steps(
    kafka: KafkaSettings, job: Diff, matching: Matching, progress: DiffProgress
) -> tuple[Surveys, Comparison]:
    """Reads each topic twice. Raises UnmatchedError."""
    numbers = Numbers(matching)
    a = b = await _survey(kafka, job.a, Survey(job.a, numbers, job.task), progress)
    if job.b != job.a:
        b = await _survey(kafka, job.b, Survey(job.b, numbers, job.task), progress)
        _check_sources(matching, a, b)
    of_a, of_b = versions = sides(a, b, job.of_a, job.of_b)
    chosen = Chosen(numbers, {"a": a.chosen(of_a), "b": b.chosen(of_b)}, job.task)
    join, comparison = Join(to_disk=True), Comparison(job.examples)
    await _read(kafka, job, chosen, join, comparison, progress)
    return Surveys(numbers, a, b, versions), comparison


def _check_sources(matching: Matching, a: Survey, b: Survey) -> None:
    """Positions in different topics say nothing about each other. Raises UnmatchedError."""
    if matching != "position":
        return
    named_a, named_b = a.sources - {""}, b.sources - {""}
    if (named_a and named_b and not named_a & named_b) or ambiguous(a.sources | b.sources):
        raise UnmatchedError


async def _survey(
    kafka: KafkaSettings, topic: str, survey: Survey, progress: DiffProgress
) -> Survey:
    async with reading(kafka, topic) as reader:
        progress.total = progress.done + len(reader)
        for partition in reader.extents:
            while records := await reader.take(partition):
                survey.add(partition, records)
                progress.add(len(records))
    return survey


async def _read(
    kafka: KafkaSettings,
    job: Diff,
    sorting: Sorting,
    join: Join,
    comparison: Comparison,
    progress: DiffProgress,
) -> None:
    """Both topics side by side."""
    async with AsyncExitStack() as stack:
        stack.callback(join.close)
        readers: dict[Side, TopicReader] = {
            "a": await stack.enter_async_context(reading(kafka, job.a)),
            "b": await stack.enter_async_context(reading(kafka, job.b)),
        }
        progress.total = progress.done + sum(map(len, readers.values()))
        lanes = [Lane(side, number) for side, each in readers.items() for number in each.extents]
        while lanes:
            lane = _next(lanes, readers)
            records = await readers[lane.side].take(lane.partition)
            if not records:
                lanes.remove(lane)
                continue
            lane.done += len(records)
            compared, missing = sorting.sort(lane, records)
            comparison.add(join.add(lane, compared))
            comparison.add_missing(lane.side, missing)
            progress.add(len(records))


def _next(lanes: Sequence[Lane], readers: Mapping[Side, TopicReader]) -> Lane:
    here = [
        lane for lane in lanes if lane.waiting < AHEAD and readers[lane.side].has(lane.partition)
    ]
    return min(here or lanes, key=lambda lane: (lane.waiting, lane.done))
