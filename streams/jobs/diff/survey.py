"""What a topic holds: its versions, and which record of an item counts.

A version is what one run (or live work) wrote under one fingerprint. Of several records of an item
the last one counts, among the versions that are selected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from streams.errors import UsageError
from streams.jobs.diff.enriched import Enriched, enriched
from streams.jobs.diff.item_places import NOWHERE, Numbers, Places, place
from streams.jobs.diff.join import NotAtOnceError, Numbered

LIVE = "live"
"""The name of what no replay has written, for `--a-run` and `--b-run`."""

MAX_VERSIONS = 1000


class Version(NamedTuple):
    fingerprint: str
    run: str

    def __str__(self) -> str:
        return f"fingerprint {self.fingerprint or 'not known'}, run {self.run or LIVE}"


class Selection(NamedTuple):
    """Which versions a side has. `run`: of this run; `LIVE`: of none. `fingerprint`: beginning so.
    None: any."""

    run: str | None = None
    fingerprint: str | None = None

    def holds(self, version: Version) -> bool:
        return (self.run is None or self.run == (version.run or LIVE)) and (
            self.fingerprint is None or version.fingerprint.startswith(self.fingerprint)
        )

    def __bool__(self) -> bool:
        return self != (None, None)


ANYTHING = Selection()


class UnmatchedError(Exception):
    """Items cannot be matched in this way: a record has no position, or no id."""


class VersionFacts:
    """The records of one version. `first_ms`: when the first was made; -1: not known."""

    def __init__(self) -> None:
        self.places = Places()
        self.records = 0
        self.first_ms = self.last_ms = -1

    def add(self, done_ms: int) -> None:
        self.records += 1
        if done_ms >= 0:
            self.last_ms = max(self.last_ms, done_ms)
            self.first_ms = done_ms if self.first_ms < 0 else min(self.first_ms, done_ms)


class Survey:
    """Adds up a topic's records. `tombstones`: without a result. `others`: no JSON, or of another
    task. `nameless`: without the key by which items are matched."""

    def __init__(self, topic: str, numbers: Numbers, task: str | None = None) -> None:
        self.topic = topic
        self.versions: dict[Version, VersionFacts] = {}
        self.tasks: Counter[str] = Counter()
        self.sources: set[str] = set()
        self.records = self.tombstones = self.others = self.nameless = 0
        self._numbers = numbers
        self._task = task

    def add(self, partition: int, records: Sequence[Any], *, once: bool = False) -> list[Numbered]:
        """The next records of one partition; returns the results. `once`: raise NotAtOnceError at
        the second result of an item. Raises UnmatchedError."""
        number_of, versions = self._numbers.of, self.versions
        results: list[Numbered] = []
        self.records += len(records)
        for record in records:
            if record.value is None:
                self.tombstones += 1
                continue
            found = enriched(record, self._task)
            if found is None or (self._task and found.task and found.task != self._task):
                self.others += 1
                continue
            number = number_of(found)
            if number is None:
                self._without_name(found)
                continue
            version = Version(found.fingerprint, found.run)
            facts = versions.get(version) or self._new(version)
            is_first = facts.places.put(number, place(partition, record.offset))
            if once and not (is_first and (len(versions) == 1 or self._is_new(version, number))):
                raise NotAtOnceError
            facts.add(found.done_ms)
            results.append(Numbered(number, found))
            if found.task not in self.tasks:
                self._of_task(found.task)
            if found.topic not in self.sources:
                self._of_source(found.topic)
        return results

    def _is_new(self, version: Version, number: int) -> bool:
        """Whether no other version has the item."""
        return all(
            facts.places.get(number) == NOWHERE
            for other, facts in self.versions.items()
            if other != version
        )

    def _new(self, version: Version) -> VersionFacts:
        if len(self.versions) == MAX_VERSIONS:
            raise UsageError(
                f"{self.topic} has results of more than {MAX_VERSIONS} fingerprints and runs:"
                " is it the sink of a task?"
            )
        facts = self.versions[version] = VersionFacts()
        return facts

    def _of_task(self, task: str) -> None:
        self.tasks[task] += 1
        if len(self.tasks) > 1 and self._task is None:
            raise UsageError(
                f"{self.topic} has results of several tasks: name one with --task"
                f" ({', '.join(sorted(self.tasks))})"
            )

    def _of_source(self, topic: str) -> None:
        self.sources.add(topic)
        if self._numbers.matching == "position" and ambiguous(self.sources):
            raise UnmatchedError

    def _without_name(self, found: Enriched) -> None:
        if self._numbers.matching != "key":
            raise UnmatchedError
        self.nameless += 1

    def chosen(self, versions: Sequence[Version]) -> Places:
        """The record of each item that counts."""
        if len(versions) == 1:
            return self.versions[versions[0]].places
        found = Places()
        for version in versions:
            found.include(self.versions[version].places)
        return found


def ambiguous(sources: Set[str]) -> bool:
    """Whether a position without its topic ("") may be of any of several."""
    return "" in sources and len(sources) > 2


Sides = tuple[list[Version], list[Version]]


def sides(a: Survey, b: Survey, of_a: Selection, of_b: Selection) -> Sides:
    """The versions of each side. Two topics: all, or those that the selections hold. One topic
    alone: what a selection names against all else; without any the oldest fingerprint against the
    newest, or the oldest run against the newest where there is one fingerprint. Raises UsageError
    where a side has none."""
    if a is not b:
        return _selected(a, of_a), _selected(b, of_b)
    if of_a and of_b:
        return _selected(a, of_a), _selected(a, of_b)
    if of_a or of_b:
        named = _selected(a, of_a or of_b)
        others = [version for version in a.versions if version not in named]
        if not others:
            raise UsageError(
                f"{a.topic} has nothing but {_listing(a.versions)}: name a second topic"
            )
        return (named, others) if of_a else (others, named)
    return _oldest_and_newest(a)


def _selected(survey: Survey, selection: Selection) -> list[Version]:
    found = [version for version in survey.versions if selection.holds(version)]
    if survey.versions and not found:
        raise UsageError(f"{survey.topic} has no such results; it has {_listing(survey.versions)}")
    return found


def _oldest_and_newest(survey: Survey) -> Sides:
    versions = survey.versions
    in_time = sorted(versions, key=lambda version: versions[version].first_ms)
    for part in (0, 1):  # of the fingerprint and of the run in a version
        names = list(dict.fromkeys(version[part] for version in in_time))
        if len(names) > 1:
            old, new = (
                [version for version in in_time if version[part] == name]
                for name in (names[0], names[-1])
            )
            return old, new
    raise UsageError(
        f"{survey.topic} has one version only ({_listing(versions) or 'no results'}), and nothing"
        " to compare it with: name a second topic, or replay into it first"
    )


def _listing(versions: Mapping[Version, VersionFacts]) -> str:
    shown = [f"{version} ({facts.records:,})" for version, facts in list(versions.items())[:5]]
    return "; ".join(shown) + ("; ..." if len(versions) > 5 else "")
