"""`broker` and `simulate`: what they print, and how they end."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator

import pytest

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


def test_a_taken_port_is_one_line(taken_port: int) -> None:
    for command, code in (("broker", 1), ("simulate", 2)):
        result = streams(command, "--port", str(taken_port))
        assert result.code == code
        assert result.out == ""
        assert str(taken_port) in result.err.splitlines()[-1]
        assert "Traceback" not in result.err
