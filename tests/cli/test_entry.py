"""Signals that come before a command has begun."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

STARTING = """
import os, signal, sys, types
sys.argv = {argv!r}
slow = types.ModuleType("streams.cli.main")  # what takes its time to import, and to start

def main(arguments):
    os.kill(os.getpid(), {number})
    return 7

slow.main = main
sys.modules[slow.__name__] = slow
from streams.cli.entry import run
run()
"""

IMPORTING = """
import os, signal, sys

class Interrupted:
    def find_spec(name, path, target=None):
        if name == "streams.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.argv = ["streams", "demo"]
signal.signal(signal.SIGINT, signal.{handler})
sys.meta_path.insert(0, Interrupted)
from streams.cli.entry import run
run()
"""


def ended(argv: list[str], number: int) -> int:
    code = STARTING.format(argv=["streams", *argv], number=int(number))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert ran.stderr == b"" or number == signal.SIGINT
    return ran.returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("argv", [["worker"], ["--debug", "worker", "--json"]])
def test_a_worker_that_is_told_to_stop_while_it_starts_ends_with_0(argv, number):
    assert ended(argv, number) == 0


def test_other_commands_keep_pythons_handlers():
    assert ended(["publish", "worker"], signal.SIGTERM) == -signal.SIGTERM


def test_ctrl_c_while_a_command_is_imported_is_130_without_a_traceback():
    code = IMPORTING.format(handler="default_int_handler")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (130, b"")


def test_ctrl_c_that_a_shell_has_ignored_stays_ignored():
    code = IMPORTING.format(handler="SIG_IGN").replace('"demo"', '"--version"')
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0
