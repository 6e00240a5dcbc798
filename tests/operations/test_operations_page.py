"""docs/operations.md says what the code does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from streams.errors import CallError, Fault
from streams.operations.bad_replies import as_table
from streams.operations.schema import MAX_OPTIONAL, MAX_UNIONS, prepare
from streams.operations.shapes import MAX_SHAPES
from streams.policies.breaker import RUN, WINDOW
from streams.policies.retry import RULES
from streams.providers import anthropic, prices, voyage
from streams.providers.sdk_faults import call_error, no_message

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_price_table_is_the_one_that_is_counted_with():
    rows = re.findall(r"^\| (claude-[^|]+|voyage-[^|]+) \|([\d. |]+)\|$", PAGE, re.MULTILINE)
    told = {name: tuple(Decimal(cell.strip()) for cell in cells.split("|")) for name, cells in rows}
    counted = {}
    for name, price in prices._PRICES.items():
        row = tuple(Decimal(each) / 1_000_000 for each in price[:5])
        counted[name] = row
        if price.long_above is not None:
            long = tuple(each * Decimal(price.long_factor) for each in row)
            counted[f"{name}, prompt above {price.long_above:,} tokens"] = long
    assert told == counted
    assert prices.AS_OF in PAGE


def test_the_limits_of_the_breaker_are_those_that_it_has():
    assert f"| {RUN}, or `max_items` x `max_in_flight` if that is more |" in PAGE
    assert f"dead letters of each {WINDOW} items, or twice `max_items` x `max_in_flight`" in PAGE


def test_the_limits_of_schemas_are_those_that_are_checked():
    assert f"more than {MAX_OPTIONAL} optional properties or {MAX_UNIONS} of" in PAGE
    assert f"more than {MAX_SHAPES} alternatives" in PAGE


TEXT = {"type": "string"}
EITHER = [{"required": ["x"]}, {"required": ["y"]}]
PAIR = {"type": "object", "properties": {"x": TEXT, "y": TEXT}}
CLOSED = {**PAIR, "required": [], "additionalProperties": False}
SENT: dict[str, list[tuple[Any, Any]]] = {
    "types and lists of types": [
        ({"type": ["string", "null"], "title": "T", "description": "d", "default": None},) * 2,
        ({"type": "array", "items": {"enum": ["a", 1, None]}},) * 2,
        ({"const": 1},) * 2,
        (PAIR, CLOSED),
    ],
    "`format`: date-time": [
        ({"type": "string", "format": "date", "pattern": "^a+$"},) * 2,
        ({"type": "array", "minItems": 1},) * 2,
    ],
    "`minimum`, `maxLength`": [
        ({"type": "integer", "minimum": 1},
         {"type": "integer", "description": 'Must satisfy {"minimum":1}.'}),
        ({"type": "string", "format": "regex"},
         {"type": "string", "description": 'Must satisfy {"format":"regex"}.'}),
        ({"not": {"const": 1}}, {"description": 'Must satisfy {"not":{"const":1}}.'}),
    ],
    "`anyOf`, `oneOf`": [
        ({"oneOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
        ({**PAIR, "anyOf": EITHER},
         {"anyOf": [{**CLOSED, "required": ["x"]}, {**CLOSED, "required": ["y"]}]}),
    ],
    "`allOf`, and `$ref` with": [
        ({"allOf": [PAIR, *EITHER]}, {**CLOSED, "required": ["x", "y"]}),
        ({"$ref": "#/$defs/t", "description": "d"}, {"type": "string", "description": "d"}),
    ],
    "`$ref` alone": [({"$ref": "#/$defs/t"},) * 2],
    "`additionalProperties` true": [({**PAIR, "additionalProperties": True}, CLOSED)],
    "`properties` without `type`": [({"properties": PAIR["properties"]}, CLOSED)],
    "an alternative that no value": [
        ({"anyOf": [False, TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
        ({"type": "object", "properties": {**PAIR["properties"], "z": False}}, CLOSED),
    ],
}  # fmt: skip
REFUSED: dict[str, list[Any]] = {
    "recursion, maps": [
        {"$ref": "#/properties/it"}, {"type": "object"}, {**PAIR, "additionalProperties": TEXT},
        {**PAIR, "patternProperties": {"a": TEXT}}, {**PAIR, "required": ["z"]},
        {"type": "array", "prefixItems": [TEXT]}, {"if": TEXT}, {"$anchor": "a"}, {"$id": "a"},
        {"type": "string", "pattern": "\\p{L}"}, {"$ref": "https://example.com/x"},
        {"type": "object", "properties": {f"p{n}": TEXT for n in range(25)}},
        {**PAIR, "anyOf": EITHER * 3, "oneOf": EITHER * 3},
    ],
    "limits that exclude": [
        {"type": "integer", "minimum": 5, "maximum": 3}, {"type": "string", "not": {}},
        {"allOf": [TEXT, {"type": "null"}]},
    ],
}  # fmt: skip


def of(schema: Any) -> Any:
    return {
        "type": "object",
        "properties": {"it": schema},
        "required": ["it"],
        "$defs": {"t": TEXT},
    }


def test_the_table_of_schemas_is_what_becomes_of_them():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE.split("| in your schema")[1], re.M)
    rows = rows[: len(SENT) + len(REFUSED)]
    for (written, happens), told in zip(rows, [*SENT, *REFUSED], strict=True):
        assert written.startswith(told)
        assert ("refused at the start" in happens) == (told in REFUSED)
    for schema, sent in [pair for pairs in SENT.values() for pair in pairs]:
        prepared = prepare(of(schema))
        assert prepared.problems == []
        assert prepared.schema["properties"]["it"] == sent
    for schema in [schema for schemas in REFUSED.values() for schema in schemas]:
        problems = prepare(of(schema)).problems
        assert problems, schema
        assert all(problem.startswith("/") for problem in problems)


def test_the_table_of_replies_is_the_one_in_the_code():
    assert f"\n{as_table()}\n" in PAGE


def test_the_table_of_failed_calls_is_what_they_are_taken_for():
    rows = re.findall(r"^\| ([^|]*\b\d{3}\b[^|]*) \| `(\w+)` \|", PAGE, re.MULTILINE)
    told = [
        (int(status), fault)
        for statuses, fault in rows
        if not re.search("400 |spend cap", statuses)  # those go by the message
        for status in re.findall(r"\b\d{3}\b", statuses)
    ]
    assert len(told) >= 12
    for status, fault in told:
        assert call_error(status, {}, None, now=datetime.now(UTC)).fault == fault, status


def failed(status: int, message: str = "", code: str | None = None) -> CallError:
    body = {"error": {"message": message, "details": {"error_code": code}}}
    return call_error(status, {}, body, now=datetime.now(UTC))


def failed_in_the_sdk(error: Exception) -> CallError:
    failure = voyage.failure_of(error)
    assert anthropic.failure_of(failure) is failure
    return failure


NOT_BY_STATUS: dict[str, list[CallError]] = {
    "400 about length": [failed(400, "prompt is too long: 300 tokens > 200 maximum")],
    "400 that every request": [
        failed(400, "You have reached your specified API usage limits."),
        failed(400, "Your credit balance is too low."),
        failed(400, "Schema is too complex."),
        failed(400, "Model voyage-9 is not supported."),
        failed(400, "max_tokens: must be at most 10"),
    ],
    "429 at a spend cap": [failed(429, code="enforced_spend_limit_reached")],
    "refused, reset": [
        failed_in_the_sdk(ConnectionRefusedError()),
        failed_in_the_sdk(ConnectionResetError()),
        failed_in_the_sdk(aiohttp.ClientPayloadError()),
        failed_in_the_sdk(aiohttp.ConnectionTimeoutError()),
    ],
    "2xx that is no message": [
        no_message(200, {}, body, now=datetime.now(UTC)) for body in (None, {"type": "error"}, [])
    ],
    "anything else that an SDK raises": [anthropic.failure_of(ZeroDivisionError())],
}


def test_every_other_row_of_failed_calls_is_what_they_are_taken_for():
    table = PAGE.split("| failure | fault | so |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \| `(\w+)` \|", table, re.MULTILINE)
    found = {each: fault for row, fault in rows for each in NOT_BY_STATUS if row.startswith(each)}
    assert found.keys() == NOT_BY_STATUS.keys()
    for each, fault in found.items():
        assert {error.fault.value for error in NOT_BY_STATUS[each]} == {fault}, each
    others = [row for row, _ in rows if not row.startswith(tuple(NOT_BY_STATUS))]
    assert all(re.search(r"\b\d{3}\b|4xx", row) for row in others)  # the test above has these


def test_the_failures_that_the_page_calls_weighed_are_those_that_have_a_cause():
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE)
    weighed = {Fault(fault): "weighed" in so for fault, so in rows if fault in set(Fault)}
    assert len(weighed) >= 9
    for fault, told in weighed.items():
        assert told == (RULES[fault].cause is not None), fault
