"""Every call in flight is an open file."""

from __future__ import annotations

import pytest

from streams import open_files
from streams.errors import ConfigError


def test_more_calls_at_once_than_the_system_lets_files_be_open_are_refused_with_the_number(
    monkeypatch,
):
    """They would be an outage of the API that is none: "too many open files"."""
    monkeypatch.setattr(open_files, "raise_limit", lambda needed: min(needed, 4_096))
    open_files.need_files(2_000)
    with pytest.raises(ConfigError, match=r"4000 calls at once need 4100 open files.*allows 4096"):
        open_files.need_files(4_000)
