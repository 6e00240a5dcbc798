"""Moments as users write them, in milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Any


def iso_ms(text: str) -> float:
    """Of an ISO 8601 time; UTC where it names no zone. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp() * 1000
    except OverflowError as error:
        raise ValueError(str(error)) from None


def moment_ms(value: Any) -> float:
    """Of a JSON value: a number, or a text with one, counts as milliseconds since the epoch; any
    other text is an ISO 8601 time. Raises ValueError for what is no time."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.isascii() and text.removeprefix("-").isdigit()):
            return iso_ms(text)
        value = text
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a {type(value).__name__} is no time")
    try:
        at_ms = float(value)
    except OverflowError:
        raise ValueError("the number is too large for a time") from None
    if not isfinite(at_ms):
        raise ValueError("the number is too large for a time")
    return at_ms
