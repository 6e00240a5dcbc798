"""Every call in flight is an open file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams import assembly
from streams.errors import ConfigError


def plan(function: Any = None) -> assembly.Plan:
    task: Any = SimpleNamespace(calls=SimpleNamespace(max_in_flight=2_000))
    return assembly.Plan(task, function)


def test_more_calls_at_once_than_the_system_lets_files_be_open_are_refused_with_the_number(
    monkeypatch,
):
    """They would be an outage of the API that is none: "too many open files"."""
    monkeypatch.setattr(assembly, "raise_limit", lambda needed: min(needed, 4_096))
    assembly._need_files([plan(), plan(len)])
    with pytest.raises(ConfigError, match=r"4000 calls at once need 4100 open files.*allows 4096"):
        assembly._need_files([plan(), plan()])
