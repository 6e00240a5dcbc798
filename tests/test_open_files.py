"""A process that needs more connections than its soft limit allows raises it by itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from streams import open_files
from streams.open_files import raise_limit

resource = pytest.importorskip("resource")

SCRIPT = """
import json, resource, sys
from streams.open_files import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
print(json.dumps([raise_limit(int(n)) for n in sys.argv[1:]]))
"""


def limits(*needed: int) -> list[int]:
    """What a process with a soft limit of 64 files and a hard one of 256 is given."""
    arguments = [sys.executable, "-c", SCRIPT, *map(str, needed)]
    return json.loads(subprocess.run(arguments, capture_output=True, check=True).stdout)


def test_the_soft_limit_is_raised_to_the_hard_one_only_if_more_files_are_needed():
    assert limits(64, 65, 300) == [64, 256, 256]


def test_an_infinite_hard_limit_that_the_system_refuses_leaves_what_is_needed(monkeypatch):
    calls = []

    def refuse_infinity(_which, limits):
        calls.append(limits)
        if limits[0] == resource.RLIM_INFINITY:
            raise ValueError("current limit exceeds maximum limit")

    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda _which: (256, infinity))
    monkeypatch.setattr(open_files.resource, "setrlimit", refuse_infinity)
    assert raise_limit(5_000) == 5_000
    assert calls == [(infinity, infinity), (5_000, infinity)]


def test_a_system_without_such_limits_gives_what_is_needed(monkeypatch):
    monkeypatch.setattr(open_files, "resource", None)
    assert raise_limit(5_000) == 5_000
