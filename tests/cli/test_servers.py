"""`broker` and `simulate`: what they print, and how they end."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from tests import forked
from tests.cli.command import started, streams


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("command", ["broker", "simulate"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_says_where_it_listens_and_ends_on_a_signal(
    command: str, number: signal.Signals, code: int
) -> None:
    process = started(command, "--json")
    assert process.stdout is not None
    try:
        facts = json.loads(process.stdout.readline())
        if command == "broker":
            host, port = facts["bootstrap"].split(":")
        else:
            host, port = "127.0.0.1", facts["port"]
        socket.create_connection((host, int(port)), timeout=5).close()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (code, b"")
        assert b"Traceback" not in err
    finally:
        process.kill()


ASK = """
import sys, anthropic
reply = anthropic.Anthropic().messages.create(
    model="claude-haiku-5-5", max_tokens=50, messages=[{"role": "user", "content": "Hello there."}]
)
print(reply.content[-1].text, sys.argv[1:])
sys.exit(7)
"""


def test_a_program_beside_the_simulator_has_its_calls_answered_and_its_exit_code_counts() -> None:
    program = (sys.executable, "-c", ASK, "--port", "of its own")
    result = streams("simulate", "--latency-ms", "0", *program)
    assert (result.code, result.out) == (7, "Hello there. ['--port', 'of its own']\n"), result.err
    assert result.err == "simulator: 1 calls, 0 items; nothing was paid\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_sigterm_goes_on_to_the_program_and_ctrl_c_leaves_its_end_to_it(
    number: signal.Signals, code: int
) -> None:
    """The terminal sends Ctrl-C to both; this one, which does not get it, ends with its input."""
    wait = "import os; os.write(1, b'x'); os.read(0, 1)"
    process = started("simulate", sys.executable, "-c", wait, stdin=forked.PIPE)
    try:
        assert process.stdout.read(1) == b"x"
        process.send_signal(number)
        if number is signal.SIGINT:
            assert process.poll() is None
            process.stdin.close()
        assert process.wait(30) == code
    finally:
        process.stdin.close()
        process.kill()
        process.communicate(30)


def test_a_program_that_is_not_there_is_one_line() -> None:
    result = streams("simulate", "no-such-program")
    assert (result.code, result.out) == (2, "")
    assert result.err == "error: cannot run no-such-program: No such file or directory\n"


def test_a_taken_port_is_one_line(taken_port: int) -> None:
    for command, code in (("broker", 1), ("simulate", 2)):
        result = streams(command, "--port", str(taken_port))
        assert result.code == code
        assert result.out == ""
        assert str(taken_port) in result.err.splitlines()[-1]
        assert "Traceback" not in result.err
