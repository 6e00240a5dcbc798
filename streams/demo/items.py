"""The demo's input: docstrings of the standard library, or the records of a file, read and checked
as `streams publish` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from streams.codec.pointers import MissingError, Text
from streams.demo.texts import demo_items
from streams.errors import StreamsError, UsageError
from streams.jobs.files.formats import Format, Source
from streams.jobs.files.rejects import Rejects
from streams.jobs.files.rows import Records, Reject, too_long
from streams.jobs.files.text_field import advice

LARGEST_BYTES = 1_000_000
"""Limit of a record: every broker and the producer take it."""


class DemoItem(NamedTuple):
    """`value`: the record, byte for byte. `text`: the part that the task reads; None: it has none,
    and becomes a dead letter. `name`: its name for a person."""

    value: bytes
    text: str | None
    name: str


class Input(NamedTuple):
    """A file of items. `path`: None is standard input. `format`: None: guessed from the name.
    `text`: a JSON Pointer or a template."""

    path: Path | None
    format: Format | None = None
    text: str = "/text"

    def __str__(self) -> str:
        return f"--input {self.path or '-'}"


def docstring_items(count: int) -> list[DemoItem]:
    """The first `count` docstrings as items."""
    found = demo_items(count)
    return [DemoItem(orjson.dumps(item), item["text"], item["id"]) for item in found]


def items_of(source: Input, limit: int, tell: Callable[[str], None]) -> list[DemoItem]:
    """The first `limit` records of a file. Invalid records are counted, and reported with line and
    reason; further records are counted.

    Raises UsageError for a file that cannot be read, is empty or has no text, and StreamsError if
    it has lines and none is valid.
    """
    opened = Source(source.path, source.format)
    rejects = Rejects(None, tell, option="streams publish --rejects FILE")
    items: list[DemoItem] = []
    finder = Text(source.text)
    first: dict[str, Any] = {}
    try:
        for line, value, document in _valid(opened.records(LARGEST_BYTES), rejects):
            if len(items) == limit:
                tell(f"the first {limit} records of {source.path or '-'}; --items N for more")
                break
            first = first or document
            items.append(_item(finder, line, value, document))
    finally:
        opened.close()
    if rejects.count:
        tell(f"lines rejected: {rejects.count}")
    if not items and rejects.count:
        raise StreamsError(f"{source}: not one line is a valid record")
    if not items:
        raise UsageError(f"{source}: holds no records")
    without = sum(item.text is None for item in items)
    if without == len(items):
        raise UsageError(f"{source}: no record has a text at {source.text}; {advice(first)}")
    if without:
        tell(f"records without a text at {source.text}, which become dead letters: {without}")
    return items


def _valid(
    stretches: Iterator[Records], rejects: Rejects
) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Line, value and document of each valid record, in order. Rejects are counted up to the last
    record that is used."""
    for stretch in stretches:
        waiting = sorted(stretch.rejects, reverse=True)
        for line, value, document in zip(
            stretch.lines, stretch.values, stretch.documents, strict=True
        ):
            while waiting and waiting[-1].line < line:
                rejects.add([waiting.pop()])
            if len(value) > LARGEST_BYTES:
                reason = too_long(len(value), LARGEST_BYTES)
                rejects.add([Reject(line, reason, value, len(value))])
            else:
                yield line, value, document
        rejects.add(waiting[::-1])


def _item(finder: Text, line: int, value: bytes, document: dict[str, Any]) -> DemoItem:
    name = document.get("id")
    if not isinstance(name, str | int) or isinstance(name, bool):
        name = f"line {line}"
    try:
        text: str | None = finder.find(document)
    except (MissingError, ValueError):
        text = None
    return DemoItem(value, text, str(name))
