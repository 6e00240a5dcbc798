"""Ways to break a reply: its records, its text, the message around it, the bytes on the wire.

All of them draw from one `random.Random`, so that a seed is a replay.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

PIECES = (
    *'"{}[],:\\',
    "null",
    "\\u0000",
    "\\ud800",
    "\ud800",
    "\x00",
    "\u2028",
    "```json\n",
    "\n```",
    '{"results": [',
    '{"results": "',
    '{"id": "1"',
    ']}, {"id": "2"',
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 40,
    "[" * 300,
    '{"a":' * 1_100,
    "I cannot help with that.",
    "é😀",
)
BYTES = (b"", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b'"', b"}", b"[" * 2_000, b"\\")
ODD = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    2**64,
    10**400,
    0.5,
    float("nan"),
    float("inf"),
    "",
    " ",
    "1",
    "\ud800",
    "yes",
    [],
    {},
    [[]],
    [None],
    {"id": "1"},
    {"text": "x"},
    [{"type": "text", "text": "{}"}],
)


def odd(random: Random, depth: int = 0) -> Any:
    """Any JSON value, and some that JSON does not have."""
    kind = random.random()
    if kind < 0.7 or depth > 3:
        return random.choice(ODD)
    if kind < 0.8:
        return nested(random.choice([5, 200, 253, 254, 255, 300]))
    if kind < 0.9:
        return [odd(random, depth + 1) for _ in range(random.randrange(4))]
    return {str(odd(random, 4)): odd(random, depth + 1) for _ in range(random.randrange(4))}


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


# -- records ---------------------------------------------------------------------------------------


def _missing(random: Random, records: list[Any]) -> None:
    records.pop(random.randrange(len(records)))


def _twice(random: Random, records: list[Any]) -> None:
    records.insert(random.randrange(len(records) + 1), random.choice(records))


def _under_another_id(random: Random, records: list[Any]) -> None:
    place = random.randrange(len(records))
    ids = ["0", "", " 1 ", 1, 2, "999", "1", odd(random)]
    records[place] = {**_object(records[place]), "id": random.choice(ids)}


def _another_value(random: Random, records: list[Any]) -> None:
    place = random.randrange(len(records))
    record = _object(records[place])
    for name in [*record] or ["id"]:
        if random.random() < 0.5:
            record[name] = odd(random)
    records[place] = record


def _without_a_member(random: Random, records: list[Any]) -> None:
    place = random.randrange(len(records))
    record = _object(records[place])
    if record:
        record.pop(random.choice([*record]))
    records[place] = record


def _no_record(random: Random, records: list[Any]) -> None:
    records[random.randrange(len(records))] = odd(random)


def _shuffled(random: Random, records: list[Any]) -> None:
    random.shuffle(records)


def _object(record: Any) -> dict[str, Any]:
    return dict(record) if isinstance(record, dict) else {}


RECORDS: tuple[Callable[[Random, list[Any]], None], ...] = (
    _missing,
    _twice,
    _under_another_id,
    _another_value,
    _without_a_member,
    _no_record,
    _shuffled,
)


def spoil_records(random: Random, records: list[Any], times: int) -> list[Any]:
    """The list itself, spoilt so often."""
    for _ in range(times):
        if not records:
            break
        random.choice(RECORDS)(random, records)
    return records


# -- text ------------------------------------------------------------------------------------------


def spoil_text(random: Random, text: str, times: int) -> str:
    """Cut, doubled, or with a piece put in or taken out, so often."""
    for _ in range(times):
        place = random.randrange(len(text) + 1)
        kind = random.random()
        if kind < 0.25:
            text = text[:place]
        elif kind < 0.55:
            text = text[:place] + random.choice(PIECES) + text[place:]
        elif kind < 0.8:
            text = text[:place] + text[place + random.choice([1, 1, 3, 20]) :]
        elif kind < 0.9:
            text = random.choice(["Here you are:\n", "```json\n", "\ufeff"]) + text + "\n```"
        elif len(text) < 20_000:
            text = json.dumps(text) if kind < 0.95 else text + text
    return text


# -- bytes -----------------------------------------------------------------------------------------


def spoil_bytes(random: Random, body: bytes, times: int) -> bytes:
    """The body as a broken wire may bring it."""
    for _ in range(times):
        place = random.randrange(len(body) + 1)
        kind = random.random()
        if kind < 0.3:
            body = body[:place]
        elif kind < 0.6:
            body = body[:place] + random.choice(BYTES) + body[place + random.choice([0, 1]) :]
        elif kind < 0.9:
            body = body[:place] + bytes([random.randrange(256)]) + body[place + 1 :]
        else:
            body = random.choice([b"", b"null", b"[]", b"<html>", body + body])
    return body


def as_bytes(value: Any) -> bytes:
    """JSON as a careless server writes it: NaN, infinity and lone surrogates stand in it."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def spoil_members(random: Random, value: dict[str, Any], times: int) -> dict[str, Any]:
    """Members left out or replaced by anything, also those of objects inside."""
    for _ in range(times):
        inner = value
        while inner and random.random() < 0.4:
            objects = [child for child in inner.values() if isinstance(child, dict)]
            if not objects:
                break
            inner = random.choice(objects)
        if inner:
            name = random.choice([*inner])
            if random.random() < 0.3:
                del inner[name]
            else:
                inner[name] = odd(random)
    return value
