"""What the libraries repeat is said once in a while; what users and we say is said."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from streams.running import logs
from streams.running.logs import RepeatFilter


@pytest.fixture
def passes(monkeypatch):
    """Whether a message passes: `passes(name, message)`; `passes.now` is the time in seconds."""
    quiet = RepeatFilter()

    def said(name: str, message: Any) -> bool:
        return quiet.filter(logging.LogRecord(name, logging.WARNING, "", 1, message, (), None))

    said.now = 0.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: said.now)
    return said


def test_what_a_library_repeats_passes_once_in_thirty_seconds(passes):
    assert passes("aiokafka.conn", "closed %s")
    assert not passes("aiokafka.conn", "closed %s")
    assert passes("aiokafka.conn", "another")
    passes.now = 31.0
    assert passes("aiokafka.conn", "closed %s")


@pytest.mark.parametrize("name", ["streams.worker.worker", "the_users.module", "__main__"])
def test_all_others_pass_every_time(name, passes):
    assert passes(name, "again %s")
    assert passes(name, "again %s")


def test_a_message_that_is_no_text_passes(passes):
    """A function that logs a dictionary had its items made dead letters for it."""
    assert passes("the_users.module", {"item": 1})
    assert passes("aiokafka.conn", {"item": 1})


def test_what_was_said_is_not_remembered_for_ever(passes):
    for number in range(3 * logs.MAX_TEMPLATES):
        assert passes("faust.app", f"a text of its own: {number}")
    assert not passes("faust.app", f"a text of its own: {3 * logs.MAX_TEMPLATES - 1}")
