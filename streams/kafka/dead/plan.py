"""What becomes of each letter of a redrive: sent, and what of it and where, or why not."""

from __future__ import annotations

from typing import Any, NamedTuple

from streams.kafka.client import answered
from streams.kafka.dead.job import Progress, Redrive
from streams.kafka.dead.letters import DeadLetter, letter_of, sent_again
from streams.kafka.dead.lookup import Lookup, original
from streams.kafka.dead.memory import Memory
from streams.kafka.topics import TopicFacts, describe
from streams.results import record_bytes

TOLD = 5
"""Skipped letters of which the reason is told."""


class Planned(NamedTuple):
    """A letter and what is sent of it, and where."""

    letter: DeadLetter
    topic: str
    partition: int
    record: tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


class Planner:
    """Plans for one redrive. Topics are described when a letter first names them."""

    def __init__(self, job: Redrive, progress: Progress, admin: Any, lookup: Lookup) -> None:
        self._job, self._progress = job, progress
        self._admin, self._lookup = admin, lookup
        self._facts: dict[str, TopicFacts | None] = {}

    async def plan(self, record: Any, memory: Memory, *, room: int) -> tuple[Planned | None, bool]:
        """What is to be sent for a record, and whether it is done then. `room`: letters that this
        chunk has already."""
        job, progress = self._job, self._progress
        before = memory.has(record.partition, record.offset)
        letter = letter_of(record)
        if letter is None or (before and not job.everything):
            return None, True
        full = job.count is not None and progress.sent + room >= job.count
        if full or not job.choice.holds(letter):
            return None, before
        try:
            return await self._made(letter), True
        except ValueError as error:
            self._skip(letter, str(error))
            return None, before

    async def _made(self, letter: DeadLetter) -> Planned:
        """Raises ValueError, with the reason, for a letter that cannot be sent."""
        topic = self._job.into or letter.source.topic
        target, source = await self.topic(topic), await self.topic(letter.source.topic)
        if target is None:
            raise ValueError(f"the topic {topic} does not exist: create it, or send --into another")
        if letter.omitted:
            if source is None or letter.source.partition >= source.partitions:
                left_out = " and ".join(letter.omitted)
                raise ValueError(f"it is without its {left_out}, and its source partition is gone")
            found = await original(self._lookup, letter)
            parts = {"key": found.key, "value": found.value, "headers": list(found.headers)}
            letter = letter._replace(**parts, omitted={})
        headers = sent_again(letter)
        size = record_bytes(letter.key, letter.value, headers)
        if size > target.max_message_bytes:
            raise ValueError(f"{topic} takes {target.max_message_bytes} bytes, and it has {size}")
        same = source is not None and source.partitions == target.partitions
        partition = _partition(letter, target.partitions, same=same)
        return Planned(letter, topic, partition, (letter.key, letter.value, headers))

    def _skip(self, letter: DeadLetter, reason: str) -> None:
        skipped = self._progress.skipped
        if skipped.total() < TOLD:
            self._progress.tell(f"skipped {letter.place}: {reason}")
        elif skipped.total() == TOLD:
            self._progress.tell("more are skipped; the last line has their number")
        skipped.add(letter.code)

    async def topic(self, name: str) -> TopicFacts | None:
        if name not in self._facts:
            found = await answered(describe(self._admin, [name]))
            self._facts[name] = found.get(name)
        return self._facts[name]


def _partition(letter: DeadLetter, partitions: int, *, same: bool) -> int:
    """The source's partition where the topic has as many, else by key; keyless letters go to the
    source's partition modulo theirs (contract G2)."""
    from streams.kafka.publish.places import place_of

    if same and letter.source.partition < partitions:
        return letter.source.partition
    if letter.key is not None:
        return place_of(letter.key, partitions)
    return letter.source.partition % partitions
