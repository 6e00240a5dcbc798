"""Decodes source records into items, and says what an item weighs.

Nothing that a record may hold raises: each record becomes one `Item`, in order, and one that can
have no call has its outcome settled at once. What counts as JSON: see `streams.codec.strict_json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from streams.codec.pointers import MissingError, Pointer, Text, as_text
from streams.codec.strict_json import has_float, may_lose_value, plain, read_object
from streams.errors import ItemError
from streams.model import DROP, FORWARD, Headers, Item, Outcome

Tombstones = Literal["forward", "drop", "dead_letter"]


class SourceRecord(Protocol):
    """The attributes of a record that are read: those that it has in its batch."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class BrokenValue(bytes):
    """The value of a record that cannot be read as a whole. `problem`: why. `content`: the value,
    None where there is none, or where it cannot be read."""

    problem: str
    content: bytes | None

    @classmethod
    def of(cls, content: bytes | None, problem: str) -> BrokenValue:
        value = cls(content or b"")
        value.content, value.problem = content, problem
        return value


class Decoded(NamedTuple):
    """`items`: one per record, in the records' order. `settled`: the outcome of those that need no
    call, by their place in `items`: an `ItemError`, `DROP` or `FORWARD`; empty as a rule.

    An item that did not decode has the value None and the text "": it carries the record's facts.
    """

    items: list[Item]
    settled: dict[int, Outcome]


class TextLimit(NamedTuple):
    """The limit of one text, by `estimate_tokens` and in bytes of UTF-8."""

    tokens: int
    bytes: int


class Decoder:
    """Decodes the records of one task.

    `text`, `id`: see `streams.codec.pointers`; both may raise ValueError. An id that is missing or
    null is `topic/partition/offset`; any other JSON value is kept, objects and arrays too.
    `tombstones`: what happens to a record with a null value; `dead_letter` has the code
    `tombstone`. `limit`: a longer text is cut to this; None: no text is cut.
    """

    def __init__(
        self,
        *,
        text: str = "/text",
        id: str = "/id",
        tombstones: Tombstones = "forward",
        limit: TextLimit | None = None,
    ) -> None:
        self._text = Text(text)
        self._id = Pointer(id)
        self._tombstones: Tombstones = tombstones
        self._limit = limit

    def decode(self, records: Sequence[SourceRecord], topic: str, partition: int) -> Decoded:
        """The records of one partition. Never raises, whatever a record holds, and no record
        changes another's item."""
        decoded = self._decode(records, topic, partition)
        if self._limit is not None:
            items = decoded.items
            for n, item in enumerate(items):
                text = cut(item.text, self._limit)
                if text is not item.text:
                    items[n] = item._replace(text=text)
        return decoded

    def _decode(self, records: Sequence[SourceRecord], topic: str, partition: int) -> Decoded:
        items: list[Item] = []
        settled: dict[int, Outcome] = {}
        text_key, id_key = self._text.key, self._id.key
        if text_key is None or id_key is None:
            for record in records:
                self._decode_any(record, topic, partition, items, settled)
            return Decoded(items, settled)
        # The common case, spelled out: this runs for every item.
        loads, new, append = orjson.loads, tuple.__new__, items.append
        has_no_digits = _WITHOUT_DIGITS.issuperset
        for record in records:
            raw = record.value
            try:
                value = loads(raw)  # type: ignore[arg-type]  # None raises
                text, name = value[text_key], value.get(id_key)
                as_written = has_no_digits(map(type, value.values())) or (
                    type(name) in _WITHOUT_DIGITS and not (may_lose_value(raw) and has_float(value))  # type: ignore[arg-type]
                )
            except (ValueError, LookupError, TypeError, AttributeError):
                as_written = False
            if not as_written or type(text) is not str:
                self._decode_any(record, topic, partition, items, settled)
                continue
            if name is None:
                name = f"{topic}/{partition}/{record.offset}"
            # fmt: off
            append(new(Item, (value, text, name, record.key, tuple(record.headers), topic,
                              partition, record.offset, record.timestamp, raw)))
            # fmt: on
        return Decoded(items, settled)

    def _decode_any(
        self,
        record: SourceRecord,
        topic: str,
        partition: int,
        items: list[Item],
        settled: dict[int, Outcome],
    ) -> None:
        name = f"{topic}/{partition}/{record.offset}"
        value, text, raw = None, "", record.value
        try:
            if isinstance(raw, BrokenValue):  # orjson refuses a subclass of bytes
                settled[len(items)] = ItemError(
                    "invalid_record", f"the record cannot be read: {raw.problem}"
                )
                raw = raw.content
            elif raw is None:
                settled[len(items)] = self._tombstone()
            else:
                value = read_object(raw)
                text = self._text.find(value)
                name = self._name(value, name)
                value = plain(value)
        except MissingError as error:
            settled[len(items)] = ItemError("no_text", f"the item has nothing at {error.pointer}")
        except ValueError as error:
            value = None
            settled[len(items)] = ItemError("invalid_json", str(error))
        # fmt: off
        items.append(Item(value, text, name, record.key, tuple(record.headers), topic, partition,
                          record.offset, record.timestamp, raw))
        # fmt: on

    def _name(self, value: dict[str, Any], position: str) -> Any:
        try:
            name = self._id.find(value)
        except MissingError:
            return position
        if type(name) in (dict, list):
            as_text(name)  # raises for a name that cannot be written into the result
        return position if name is None else name

    def _tombstone(self) -> Outcome:
        if self._tombstones == "dead_letter":
            return ItemError("tombstone", "the record has a null value")
        return DROP if self._tombstones == "drop" else FORWARD


_WITHOUT_DIGITS = frozenset({str, int, bool, type(None)})
"""What is neither a float nor holds one, which may have digits of its own: a function's value has
not, an id has."""


def estimate_tokens(text: str) -> int:
    """About how many tokens the text takes, on the high side: a microbatch is closed by the sum.

    A third of a token per ASCII character (English prose takes about a quarter, code and newer
    tokenizers more), 0.9 per Cyrillic or accented letter, 1.5 per Chinese or Japanese character,
    2.1 per emoji; at least 1.
    """
    characters = len(text)
    if text.isascii():
        return characters // 3 + 1
    return (9 * text_bytes(text) - 4 * characters) // 15 + 1


def text_bytes(text: str) -> int:
    """The text's length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def cut(text: str, limit: TextLimit) -> str:
    """The longest beginning of the text within the limit; the text itself if it fits."""
    fits, too_long = 0, len(text) + 1
    if _fits(text, limit):
        return text
    while too_long - fits > 1:  # a longer text never takes less
        middle = (fits + too_long) // 2
        if _fits(text[:middle], limit):
            fits = middle
        else:
            too_long = middle
    return text[:fits]


def _fits(text: str, limit: TextLimit) -> bool:
    return estimate_tokens(text) <= limit.tokens and text_bytes(text) <= limit.bytes


_ITEM_BYTES = 900
_ERROR_BYTES = 750
_MEMBER_BYTES = 115
_OBJECT_BYTES = 200
_ARRAY_BYTES = 80
_HEADER_BYTES = 170
_MAX_PER_BYTE = 80
_WIDE = 2
_ARRAY = ord("[")  # `in` takes a number a few times faster than bytes


class Weights(NamedTuple):
    """Of each item: its text by `estimate_tokens` and in bytes of UTF-8, and about how much memory
    it holds until it is settled, on the high side; for back-pressure.

    Memory: measured on CPython 3.11 with tracemalloc; `tests/records/test_weights.py` tests it. 900
    bytes for the item, its slot and their numbers, whatever the record holds; the value, the key
    and the headers byte for byte; the text as Python has it (up to 4 bytes a character); and the
    decoded value by its commas, brackets and other strings, at most 80 bytes for each byte that is
    not text. Its result is not included.
    """

    tokens: list[int]
    bytes: list[int]
    memory: list[int]


def weigh(items: Sequence[Item]) -> Weights:
    # The simplest code for each measured figure: this runs for every item.
    weights = Weights([], [], [])
    add_tokens, add_bytes, add_memory = (each.append for each in weights)
    for value, text, _, key, headers, _, _, _, _, raw in items:
        size = characters = len(text)
        if text.isascii():
            add_tokens(characters // 3 + 1)
        else:
            add_tokens(estimate_tokens(text))
            size = text_bytes(text)
        add_bytes(size)
        memory = _ITEM_BYTES + text.__sizeof__()
        if key is not None:
            memory += len(key)
        if headers:
            for name, content in headers:
                memory += _HEADER_BYTES + len(name) + (len(content) if content is not None else 0)
        if raw is None or value is None:
            add_memory(memory + _ERROR_BYTES + (len(raw) if raw else 0))
            continue
        rest = len(raw)
        memory += rest
        if text in value.values():
            rest = rest - size if rest > size else 0
        else:  # made of other strings, which the value holds too
            memory += text.__sizeof__()
        if _ARRAY not in raw and raw.rfind(b"{") <= 0:
            structure = _MEMBER_BYTES * len(value)
        else:
            structure = _MEMBER_BYTES * raw.count(b",")
            structure += _OBJECT_BYTES * raw.count(b"{") + _ARRAY_BYTES * raw.count(b"[")
        structure += rest if raw.isascii() else _WIDE * rest  # the strings beside the text
        limit = _MAX_PER_BYTE * rest
        add_memory(memory + (structure if structure < limit else limit))
    return weights
