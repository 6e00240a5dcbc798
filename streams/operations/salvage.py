"""Finds the records in what a model wrote, also where it is cut, fenced or wrapped in prose.

Linear in the text's length, without recursion; every record found went through the JSON parser,
so it can be written again as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson

_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.DOTALL)
_RESULTS: Final = re.compile(r'"results"\s*:\s*\[')
_ARRAY: Final = re.compile(r"\[(?=\s*\{)")
_OBJECT: Final = re.compile(r"\{")

_PLACES: Final = 4
"""How many openings of an array are tried: a reply that quotes its own form has two or three."""


def records_in(text: str) -> list[Any] | None:
    """The records of a reply in their order, of any JSON type; None: it has nothing like records.

    Read as JSON where it is: `{"results": [...]}`, a bare array, a single record, or any of these
    as a JSON string. Elsewhere the complete objects of the first array that has one with an id.
    """
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _salvage(text)
    results = whole.get("results", whole) if isinstance(whole, dict) else whole
    if isinstance(results, list):
        return results
    if isinstance(results, str):  # JSON inside JSON: each round is shorter than the last
        return records_in(results)
    if isinstance(results, dict) and "id" in results:
        return [results]
    return None


def _salvage(text: str) -> list[Any] | None:
    empty = False
    for position in islice(_openings(text), _PLACES):
        records, nothing = _complete_objects(text, position)
        if any("id" in record for record in records):
            return records
        empty = empty or nothing
    lone = _OBJECT.search(text)
    if lone is not None:
        records, _ = _complete_objects(text, lone.start())
        if records and "id" in records[0]:
            return records
    return [] if empty else None


def _openings(text: str) -> Iterator[int]:
    """Where the elements of an array may begin: those of "results" first."""
    for pattern in (_RESULTS, _ARRAY):
        for match in pattern.finditer(text):
            yield match.end()


def _complete_objects(text: str, position: int) -> tuple[list[Any], bool]:
    """The objects that open and close from `position` on, up to the bracket that closes the array
    around them; and whether there was nothing before that bracket. A string that is never closed
    ends the search."""
    found: list[Any] = []
    empty = True
    depth = start = 0
    for match in _TOKEN.finditer(text, position):
        token = match[0]
        if token in "{[":
            if depth == 0:
                start, empty = match.start(), False
            depth += 1
        elif token in "}]":
            if depth == 0:
                return found, empty
            depth -= 1
            if depth == 0:
                found.extend(_objects(text[start : match.end()]))
        elif token == '"':
            break
    return found, False


def _objects(text: str) -> Iterator[Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if isinstance(value, dict):
        yield value
