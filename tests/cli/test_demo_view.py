"""What the demo shows, and to whom."""

from __future__ import annotations

import os
import sys

import pytest

from streams.demo.view import View


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_who_has_enough_decides_no_exit_code(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`streams demo | head -1` ended with 1."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as unread:
        monkeypatch.setattr(sys, stream, unread)
        view = View(as_json=False)
        view.say("published")
        view.summary({"items": 1})
