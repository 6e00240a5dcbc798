"""Standard streams that are closed or full: one line or silence, with the right exit code.

Each command is a process of its own, since a fork server cannot give it a closed stream.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.command import environ

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
CLOSED = "error: standard output cannot be written: Bad file descriptor\n"
NO_SPACE = "error: standard output cannot be written: No space left on device\n"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def shell(command: str, redirections: str) -> Ended:
    """`command` with `redirections`, as a shell does it."""
    ran = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} {command} {redirections}"],
        capture_output=True,
        timeout=120,
        check=False,
        text=True,
        env=environ(),
    )
    return Ended(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize(
    ("command", "redirections", "code", "err"),
    [
        ("--version", ">&-", 1, CLOSED),
        ("check --json --config /nowhere", ">&-", 2, "error: /nowhere: no such file\n"),
        ("nonsense", ">&- 2>&-", 2, ""),
        pytest.param("--version", ">/dev/full", 1, NO_SPACE, marks=FULL),
        pytest.param("--help", ">/dev/full 2>/dev/full", 1, "", marks=FULL),
        pytest.param("nonsense", "2>/dev/full", 2, "", marks=FULL),
        ("--version", "2>&- | :; exit 0", 0, ""),
    ],
)
def test_a_command_that_cannot_write_says_so_once_or_nothing(command, redirections, code, err):
    """Python's own words are tracebacks at the exit, with code 120."""
    assert shell(f"-m streams {command}", redirections)[::2] == (code, err)


PROGRAM = """
import os, subprocess, sys
from streams import standard_streams as standard
standard.repair()
ACT
"""


def program(act: str, redirections: str = "") -> Ended:
    """A process that has repaired its streams, and does `act`; its prints at the end as JSON."""
    code = PROGRAM.replace("ACT", act).replace('"', '\\"')
    return shell(f'-c "{code}"', redirections)


def test_with_json_only_the_data_go_to_standard_output():
    """Not a print, a child's output, or what C code writes to file 1."""
    act = """
standard.reserve_output()
print('a print')
subprocess.run(['echo', 'a child'])
os.write(1, b'C code\\n')
standard.put(b'{}\\n')
print('the last print')
"""
    ended = program(act)
    assert (ended.code, json.loads(ended.out)) == (0, {})
    assert ended.err == "a print\na child\nC code\nthe last print\n"


def test_a_file_never_gets_the_number_of_a_standard_stream():
    act = "file = open(os.devnull); standard.put(b'') ; sys.exit(file.fileno())"
    assert program(act, "<&- >&- 2>&-").code > 2


@pytest.mark.parametrize("redirections", [">&-", pytest.param(">/dev/full", marks=FULL)])
def test_a_print_that_may_fail_never_does(redirections):
    act = "standard.forgive_output(); [print('x' * 9000, flush=True) for _ in range(9)]"
    assert program(act, redirections) == (0, "", "")


def test_with_standard_output_closed_a_functions_children_write_nowhere():
    act = "standard.forgive_output(); sys.exit(subprocess.run(['echo', 'x']).returncode)"
    assert program(act, ">&-") == (0, "", "")


@pytest.mark.parametrize("redirections", ["2>&-", pytest.param("2>/dev/full", marks=FULL)])
def test_what_cannot_be_written_to_standard_error_changes_nothing(redirections):
    act = "[print('x' * 9000, file=sys.stderr, flush=True) for _ in range(9)]; sys.exit(7)"
    assert program(act, redirections) == (7, "", "")


def test_data_that_cannot_be_written_are_an_error_once():
    act = """
for _ in range(3):
    try:
        standard.put(b'{}')
    except standard.OutputError as error:
        print(error, file=sys.stderr)
"""
    ended = program(act, ">&-")
    assert (ended.code, ended.err) == (0, CLOSED.removeprefix("error: "))
