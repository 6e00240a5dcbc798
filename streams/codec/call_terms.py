"""What an item says of its call: with which others it may share it, and when it is to be back.

call key   the value at the task's `key`       flush_by   the header `streams-flush-by`, else
                                                          the value at the task's `flush_by`
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from streams.codec.moments import moment_ms
from streams.codec.pointers import MissingError, Pointer
from streams.codec.strict_json import compact
from streams.model import Headers, Item

FLUSH_BY_HEADER: Final = "streams-flush-by"


class FlushBys(NamedTuple):
    """`at_ms`: when outcomes are to be back, in ms since the epoch, by the items' places; of those
    that say it. `invalid`: the places of those that say it by what is no time."""

    at_ms: dict[int, float]
    invalid: list[int]


class CallTerms:
    """`key`, `flush_by`: JSON Pointers into an item's value; None: none. `reads_flush_by`: without
    it no item has one, not by a header either. ValueError for an invalid pointer."""

    def __init__(
        self, key: str | None = None, flush_by: str | None = None, *, reads_flush_by: bool = True
    ) -> None:
        self._key = None if key is None else Pointer(key)
        self._flush_by = None if flush_by is None else Pointer(flush_by)
        self._reads_flush_by = reads_flush_by

    def call_keys(self, items: Sequence[Item]) -> Sequence[Hashable]:
        """Of each item, in order: equal for those that may share a call. None for all that have no
        value there, null included: they share calls with each other."""
        if self._key is None:
            return (None,) * len(items)
        return [_comparable(_found(self._key, item.value)) for item in items]

    def flush_bys(self, items: Sequence[Item]) -> FlushBys:
        """Of the items that have one."""
        found = FlushBys({}, [])
        if not self._reads_flush_by:
            return found
        pointer = self._flush_by
        for place, item in enumerate(items):
            if pointer is None and not item.headers:
                continue  # the common case
            written: Any = _header(item.headers)
            try:
                if written is not None:
                    written = written.decode()  # UnicodeDecodeError is a ValueError
                elif pointer is not None:
                    written = _found(pointer, item.value)
                if written is not None:
                    found.at_ms[place] = moment_ms(written)
            except ValueError:
                found.invalid.append(place)
        return found


def _found(pointer: Pointer, value: Any) -> Any:
    try:
        return pointer.find(value)
    except MissingError:
        return None


def _header(headers: Headers) -> bytes | None:
    """The last of that name counts, as Kafka's clients have it."""
    return next((value for name, value in reversed(headers) if name == FLUSH_BY_HEADER), None)


def _comparable(value: Any) -> Hashable:
    """In Python `true` equals 1, and objects and arrays are no keys: those by their JSON."""
    if value is None or isinstance(value, str) or type(value) in (int, float):
        return value  # type: ignore[no-any-return]
    try:
        return (orjson.dumps(value, option=orjson.OPT_SORT_KEYS),)
    except TypeError:  # a number of more digits, a lone surrogate, or nested deep
        return (compact(value),)
