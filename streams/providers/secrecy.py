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
_LONGEST: Final = 400
_TELLING: Final = 12
"""Characters from which on a text in common is no coincidence."""


def reworded(error: CallError, message: str) -> CallError:
    """The same error with another message, and with nothing of the old one hanging on it. The old
    one lets go of the frames that it went through: one may hold it, and all hold the items."""
    error.__traceback__ = None
    return CallError(
        error.fault,
        message,
        retry_after_s=error.retry_after_s,
        status=error.status,
        usage=error.usage,
    )


def without_keys(message: str, keys: Iterable[str]) -> str:
    """The message without these keys, and without anything else that looks like one."""
    for key in keys:
        if key:
            message = message.replace(key, HIDDEN)
    return _KEY.sub(HIDDEN, message)


def without_texts(message: str, items: Sequence[Item]) -> str:
    """The message, or a stand-in where a part of it stands in an item's text: an API may quote
    what it refuses."""
    message = message[:_LONGEST]
    parts = [part.strip(" .,;()[]{}…") for part in _QUOTED.split(message)]
    telling = [part for part in parts if len(part) >= _TELLING]
    for item in items:
        if not item.text:
            continue
        if len(item.text) >= _TELLING and item.text in message:
            return QUOTES
        if any(part in item.text for part in telling):
            return QUOTES
    return message
