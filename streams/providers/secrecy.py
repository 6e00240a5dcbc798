"""Keeps keys and items out of the messages of errors: those go to logs and dead letters. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from streams.errors import CallError
from streams.model import Item

HIDDEN: Final = "[hidden]"
QUOTES: Final = "the message quotes an item and is not shown"

_KEY: Final = re.compile(r"\b(sk|pa|al)-[\w.\-]{6,}|\bBearer\s+\S+", re.IGNORECASE)
_QUOTED: Final = re.compile(r"[\"'`]|: |\n")
_MAX_CHARACTERS: Final = 400
_MIN_QUOTE: Final = 12
"""Characters: a shorter text in common may be a coincidence."""


def reworded(error: CallError, message: str, kind: type[CallError] = CallError) -> CallError:
    """The same error with another message, and without a reference to the old one. The old error
    loses its traceback: those frames hold the items, and one of them may hold the error. `kind`:
    the class that it has then."""
    error.__traceback__ = None
    return kind(
        error.fault,
        message,
        retry_after_s=error.retry_after_s,
        should_retry=error.should_retry,
        status=error.status,
        usage=error.usage,
        rate_limits=error.rate_limits,
    )


def without_keys(message: str, keys: Iterable[str]) -> str:
    """The message without these keys, and without anything else that looks like one."""
    for key in keys:
        if key:
            message = message.replace(key, HIDDEN)
    return _KEY.sub(HIDDEN, message)


def without_texts(message: str, items: Sequence[Item]) -> str:
    """The message, or a stand-in if it shares a part with an item's text: an API may quote what
    it refuses."""
    message = message[:_MAX_CHARACTERS]
    parts = [part.strip(" .,;()[]{}…") for part in _QUOTED.split(message)]
    long = [part for part in parts if len(part) >= _MIN_QUOTE]
    for item in items:
        if not item.text:
            continue
        if len(item.text) >= _MIN_QUOTE and item.text in message:
            return QUOTES
        if any(part in item.text for part in long):
            return QUOTES
    return message
