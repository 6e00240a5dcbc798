"""Puts an enrichment, or new members, into a JSON object without touching any other byte of it.

The document is scanned as bytes, never parsed and written again: numbers keep their digits, and
duplicate keys, escapes and whitespace stay as they are. It must be a valid JSON object in UTF-8,
which every decoded item's `raw` is; no byte of a multi-byte character can then be taken for syntax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

MEMBER = "enrichment"

_SPACE = b" \t\n\r"
_BACKSLASH = ord("\\")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SKIP_SPACE = re.compile(rb"[ \t\n\r]*+")
_SKIP_STRING = re.compile(_STRING, re.DOTALL)
_SKIP_SCALAR = re.compile(rb"[^,\]} \t\n\r]++")
_BRACKETS = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)


class NotAnObjectError(ValueError):
    """The document has an `enrichment` that is neither an object nor null: the task's result would
    replace the source's own data."""


class Enrichment:
    """Splices the results of one task into documents."""

    __slots__ = ("_name", "_task", "_whole")

    def __init__(self, task: str) -> None:
        self._task = task
        self._name = json.dumps(task, ensure_ascii=False).encode() + b":"
        self._whole = b'"%b":{%b' % (MEMBER.encode(), self._name)

    def splice(self, document: bytes, result: bytes) -> bytes:
        """The document with `"enrichment": {"<task>": <result>}` added as its last member.

        Where it has an `enrichment` object already (the last one, if the key is repeated, as
        parsers read it), the task joins it as its last member, or replaces its own earlier result
        where that stands; null is replaced. Raises `NotAnObjectError` for an enrichment of another
        kind. `result`: JSON.
        """
        if _may_have(document):
            outer = _last_member(document, 0, MEMBER)
            if outer is not None:
                return self._join(document, outer, result)
        return _append(document, len(document), b"%b%b}" % (self._whole, result))

    def _join(self, document: bytes, outer: Span, result: bytes) -> bytes:
        start, end = outer
        if document[start:end] == b"null":
            return b"%b{%b%b}%b" % (document[:start], self._name, result, document[end:])
        if document[start : start + 1] != b"{":
            raise NotAnObjectError
        inner = _last_member(document, start, self._task)
        if inner is not None:
            return b"%b%b%b" % (document[: inner.start], result, document[inner.end :])
        return _append(document, end, self._name + result)


def _may_have(document: bytes) -> bool:
    """Whether a key may be `enrichment`, if only with escapes: those of ASCII letters are \\u006_
    and \\u007_."""
    if document.find(b"enrichment") >= 0:  # `in` costs twice as much
        return True
    return _BACKSLASH in document and (b"\\u006" in document or b"\\u007" in document)


class Span(NamedTuple):
    """Where a value is: `document[start:end]`."""

    start: int
    end: int


def append_members(document: bytes, members: bytes) -> bytes:
    """The JSON object with these members after its own. `members`: `"name":value`, separated by
    commas; the object has none of the names."""
    return _append(document, len(document), members)


def _append(document: bytes, end: int, member: bytes) -> bytes:
    """Adds a member just before the brace that closes the object; between that brace and `end`
    there is only whitespace."""
    brace = document.rindex(b"}", 0, end)
    last = brace - 1
    while document[last] in _SPACE:
        last -= 1
    comma = b"" if document[last] == 0x7B else b","  # no value ends with {: the object is empty
    return b"%b%b%b%b" % (document[:brace], comma, member, document[brace:])


def _last_member(document: bytes, start: int, name: str) -> Span | None:
    """The value of the last member of that name in the object that starts at or after `start`."""
    found = None
    for key, span in _members(document, start):
        if key == name:
            found = span
    return found


def _members(document: bytes, start: int) -> Iterator[tuple[str, Span]]:
    at = _after_space(document, start) + 1  # past {
    while True:
        at = _after_space(document, at)
        if document[at] == 0x7D:  # }
            return
        if document[at] == 0x2C:  # ,
            at = _after_space(document, at + 1)
        key_end = _after_value(document, at)
        key: str = json.loads(document[at:key_end].decode())
        at = _after_space(document, key_end) + 1  # past :
        at = _after_space(document, at)
        end = _after_value(document, at)
        yield key, Span(at, end)
        at = end


def _after_space(document: bytes, at: int) -> int:
    match = _SKIP_SPACE.match(document, at)
    assert match is not None
    return match.end()


def _after_value(document: bytes, at: int) -> int:
    if document[at] == 0x22:  # "
        match = _SKIP_STRING.match(document, at)
    elif document[at] not in b"{[":
        match = _SKIP_SCALAR.match(document, at)
    else:
        depth = 0
        for bracket in _BRACKETS.finditer(document, at):
            kind = document[bracket.start()]
            if kind in b"{[":
                depth += 1
            elif kind in b"}]":
                depth -= 1
                if depth == 0:
                    return bracket.end()
        match = None
    if match is None:
        raise ValueError("not a valid JSON object")
    return match.end()
