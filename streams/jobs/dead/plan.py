"""A redrive: what to send again, its progress, and what happens to each letter."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.codec.record_size import record_bytes
from streams.jobs.dead.letters import Choice, DeadLetter, letter_of, redrive_headers
from streams.jobs.dead.lookup import Lookup, original
from streams.jobs.dead.memory import Memory
from streams.kafka.client import broker_answer
from streams.kafka.produce.parcels import Record
from streams.kafka.topics import TopicFacts, describe
from streams.policies.code_counts import CodeCounts
from streams.running.bar import State, rate

MAX_REASONS = 5
"""How many skipped letters are reported with their reason."""


@dataclass(frozen=True)
class Redrive:
    """What to send again. `into`: a topic for all of them, None: each into its own source.
    `everything`: also letters sent again before. `count`: at most so many, `rate`: letters a
    second; None: no limit. `dry`: only look."""

    topic: str
    choice: Choice
    into: str | None = None
    everything: bool = False
    count: int | None = None
    rate: float | None = None
    dry: bool = False


@dataclass
class Progress:
    """The state so far; every change calls `changed`. `sent`: acknowledged letters (with `dry`:
    letters to send). `skipped`: letters that could not be sent, by code. `continued`: an earlier
    run has sent some, which are not sent again."""

    tell: Callable[[str], None]
    changed: Callable[[Any], None]
    started: float = field(default_factory=time.monotonic)
    sent: int = 0
    into: Counter[str] = field(default_factory=Counter)
    codes: CodeCounts = field(default_factory=CodeCounts)
    skipped: CodeCounts = field(default_factory=CodeCounts)
    continued: bool = False

    @property
    def skipped_count(self) -> int:
        return self.skipped.total()

    def state(self) -> State:
        """What a bar shows."""
        elapsed_s = time.monotonic() - self.started
        facts = f"{rate(self.sent, elapsed_s)}  skipped {self.skipped_count:,}"
        return State(f"sent again {self.sent:,}", facts, self.sent, None)

    def add(self, plans: Sequence[LetterPlan]) -> None:
        """These letters are acknowledged."""
        self.sent += len(plans)
        self.into.update(plan.topic for plan in plans)
        for plan in plans:
            self.codes.add(plan.letter.code)
        self.changed(self)


def summary(job: Redrive, progress: Progress) -> Mapping[str, Any]:
    """The keys that `--json` prints."""
    elapsed = time.monotonic() - progress.started
    return {
        "redriven": 0 if job.dry else progress.sent,
        **({"would_redrive": progress.sent, "dry_run": True} if job.dry else {}),
        "skipped": progress.skipped_count,
        "into": dict(progress.into),
        "codes": dict(progress.codes),
        "elapsed_s": round(elapsed, 3),
    }


class LetterPlan(NamedTuple):
    """A letter, its record to send, and where to."""

    letter: DeadLetter
    topic: str
    partition: int
    record: Record


class Planner:
    """Plans one redrive. Asks for a topic's facts when a letter first names it."""

    def __init__(self, job: Redrive, progress: Progress, admin: Any, lookup: Lookup) -> None:
        self._job, self._progress = job, progress
        self._admin, self._lookup = admin, lookup
        self._facts: dict[str, TopicFacts | None] = {}

    async def plan(
        self, record: Any, memory: Memory, *, room: int
    ) -> tuple[LetterPlan | None, bool]:
        """What to send for a record, and whether the record is done then. `room`: letters already
        in this chunk."""
        job, progress = self._job, self._progress
        before = memory.has(record.partition, record.offset)
        letter = letter_of(record)
        if letter is None or (before and not job.everything):
            return None, True
        full = job.count is not None and progress.sent + room >= job.count
        if full or not job.choice.holds(letter):
            return None, before
        try:
            return await self._plan(letter), True
        except ValueError as error:
            self.skip(letter, str(error))
            return None, before

    async def _plan(self, letter: DeadLetter) -> LetterPlan:
        """Raises ValueError, with the reason, for a letter that cannot be sent."""
        topic = self._job.into or letter.source.topic
        target, source = await self.topic(topic), await self.topic(letter.source.topic)
        if target is None:
            raise ValueError(f"the topic {topic} does not exist: create it, or send --into another")
        if letter.omitted:
            if source is None or letter.source.partition >= source.partitions:
                missing_parts = " and ".join(letter.omitted)
                raise ValueError(
                    f"it is without its {missing_parts}, and its source partition is gone"
                )
            found = await original(self._lookup, letter)
            parts = {"key": found.key, "value": found.value, "headers": list(found.headers)}
            letter = letter._replace(**parts, omitted={})
        headers = redrive_headers(letter)
        size = record_bytes(letter.key, letter.value, headers)
        if size > target.max_message_bytes:
            raise ValueError(f"{topic} takes {target.max_message_bytes} bytes, and it has {size}")
        same = source is not None and source.partitions == target.partitions
        partition = _partition(letter, target.partitions, same=same)
        return LetterPlan(letter, topic, partition, (letter.key, letter.value, headers, None))

    def skip(self, letter: DeadLetter, reason: str) -> None:
        """The letter is not sent, for this reason."""
        skipped = self._progress.skipped
        if skipped.total() < MAX_REASONS:
            self._progress.tell(f"skipped {letter.place}: {reason}")
        elif skipped.total() == MAX_REASONS:
            self._progress.tell("more are skipped; the last line has their number")
        skipped.add(letter.code)

    async def topic(self, name: str) -> TopicFacts | None:
        if name not in self._facts:
            found = await broker_answer(describe(self._admin, [name]), self._admin)
            self._facts[name] = found.get(name)
        return self._facts[name]


def _partition(letter: DeadLetter, partitions: int, *, same: bool) -> int:
    """The source's partition if the topic has as many, else by key; keyless letters go to the
    source's partition modulo theirs (contract G2)."""
    from streams.jobs.publish.places import place_of

    if same and letter.source.partition < partitions:
        return letter.source.partition
    if letter.key is not None:
        return place_of(letter.key, partitions)
    return letter.source.partition % partitions
