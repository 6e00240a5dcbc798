"""The guarantees that a worker can be run with, and which of them this version carries out."""

from __future__ import annotations

from streams.errors import ConfigError
from streams.settings.load import settings_of

GUARANTEES = ("at_least_once", "exactly_once")


def refused(guarantee: str) -> str | None:
    """Why the settings refuse this guarantee; None: they take it."""
    given = {
        "kafka": {"bootstrap_servers": "localhost:9092"},
        "worker": {"id": "anything", "guarantee": guarantee},
    }
    try:
        settings_of(given, {}, need_tasks=False)
    except ConfigError as error:
        return str(error)
    return None
