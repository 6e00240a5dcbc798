"""Deterministic pieces of text: a first sentence, a phrase, a number, a string of a format."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Final

_LONGEST_SENTENCE: Final = 200
_SCAN_CHARACTERS: Final = 2_000
"""Characters of a long text that are looked at."""
_SENTENCE_END: Final = re.compile(r"[.!?…](?=\s|$)|[。！？]|\n\s*\n")
_WORD: Final = re.compile(r"\w[\w'’-]*")
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d{1,12}(?:\.\d{1,6})?(?![\w])", re.ASCII)
_EPOCH: Final = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def first_sentence(text: str) -> str:
    """The first sentence of `text`, at most 200 characters, spaces around it removed."""
    start = text[:_SCAN_CHARACTERS].strip()
    end = _SENTENCE_END.search(start)
    sentence = start[: end.end()].strip() if end else start
    return sentence if len(sentence) <= _LONGEST_SENTENCE else sentence[:_LONGEST_SENTENCE].rstrip()


def phrase(text: str, drawn: int) -> str:
    """One to three neighbouring words of `text`, as spelled there; the text itself without any."""
    spans = [match.span() for match in _WORD.finditer(text[:_SCAN_CHARACTERS])]
    if not spans:
        return text[:_LONGEST_SENTENCE]
    first = drawn % len(spans)
    last = min(first + drawn // len(spans) % 3, len(spans) - 1)
    return text[spans[first][0] : spans[last][1]][:_LONGEST_SENTENCE]


def first_number(text: str) -> float | None:
    """The first decimal number in `text`; None where it has none."""
    found = _NUMBER.search(text[:_SCAN_CHARACTERS])
    return float(found[0]) if found else None


def _moment(drawn: int) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(seconds=drawn % 31_536_000)


_FORMATS: Final[Mapping[str, Callable[[int], str]]] = {
    "date-time": lambda drawn: _moment(drawn).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "time": lambda drawn: _moment(drawn).strftime("%H:%M:%SZ"),
    "date": lambda drawn: _moment(drawn).strftime("%Y-%m-%d"),
    "duration": lambda drawn: f"PT{drawn % 59 + 1}M",
    "email": lambda drawn: f"person{drawn % 1000}@example.com",
    "hostname": lambda drawn: f"host{drawn % 1000}.example.com",
    "uri": lambda drawn: f"https://example.com/{drawn % 1000}",
    "ipv4": lambda drawn: f"192.0.2.{drawn % 254 + 1}",
    "ipv6": lambda drawn: f"2001:db8::{drawn % 65535 + 1:x}",
    "uuid": lambda drawn: str(uuid.UUID(int=drawn << 64 | drawn, version=4)),
}

FORMATS: Final = frozenset(_FORMATS)
"""The formats of strings that structured answers support."""


def formatted(form: str, drawn: int) -> str:
    """A string of the format `form`; an unknown format gives plain text."""
    make = _FORMATS.get(form)
    return make(drawn) if make else f"value {drawn % 1000}"
