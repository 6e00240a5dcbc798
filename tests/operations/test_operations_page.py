"""docs/operations.md says what the code does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from streams.operations.bad_replies import as_table
from streams.operations.schema import MAX_OPTIONAL, MAX_UNIONS
from streams.policies.breaker import RUN, WINDOW
from streams.providers import prices
from streams.providers.sdk_faults import call_error

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_price_table_is_the_one_that_is_counted_with():
    rows = re.findall(r"^\| (claude-[^|]+|voyage-[^|]+) \|([\d. |]+)\|$", PAGE, re.MULTILINE)
    told = {
        name: prices.Price(*(int(Decimal(cell.strip()) * 1000) for cell in cells.split("|")))
        for name, cells in rows
    }
    counted = dict(prices._PRICES)
    for name, price in prices._LONG_PROMPT_PRICES.items():
        counted[f"{name}, prompt above {prices.LONG_PROMPT_TOKENS:,} tokens"] = price
    assert told == counted
    assert prices.AS_OF in PAGE


def test_the_limits_of_the_breaker_are_those_that_it_has():
    assert f"| {RUN}, or `max_items` x `max_in_flight` if that is more |" in PAGE
    assert f"dead letters of each {WINDOW} items, or twice `max_items` x `max_in_flight`" in PAGE


def test_the_limits_of_schemas_are_those_that_are_checked():
    assert f"more than {MAX_OPTIONAL} optional properties or {MAX_UNIONS} of" in PAGE


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
