"""A broker that does not answer is exit code 1 within 15 s, in one line that says what to do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import started
from tests.patience import Stopwatch

TASK = """
[worker]
id = "w"
[[task]]
name = "mood"
source = "s"
sink = "t"
operation = "classify"
labels = ["a", "b"]
[provider.anthropic]
base_url = "http://127.0.0.1:1"
"""


@pytest.fixture(params=["closed", "silent"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A port that nobody listens on, and one that accepts and never speaks."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    if request.param == "silent":
        listener.listen()
    with listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("command", ["tail", "publish", "check", "dead", "redrive"])
def test_exit_code_1_within_15_s(command: str, address: str, tmp_path: Path) -> None:
    config = tmp_path / "streams.toml"
    config.write_text(TASK)
    records = tmp_path / "x.jsonl"
    records.write_text('{"a":1}\n')
    arguments = {
        "tail": ["tail", "topic", "--json"],
        "publish": ["publish", "topic", str(records), "--json"],
        "check": ["check", "--connect", "--json"],
        "dead": ["dead", "list", "topic", "--json"],
        "redrive": ["dead", "redrive", "topic", "--json"],
    }[command]
    waiting = Stopwatch()
    process = started(*arguments, "--broker", address, "--config", config)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert waiting.took_s < 15
    if command == "check":
        (facts,) = [json.loads(line) for line in out.splitlines()]
        assert facts["ok"] is False
        assert facts["checks"][0]["ok"] is False
        assert address in facts["checks"][0]["detail"]
    else:
        assert out == b""
        assert err.decode().startswith(f"error: no broker answers at {address}: ")
        assert err.count(b"\n") == 1


async def test_the_reason_is_told(tmp_path: Path) -> None:
    from aiokafka.admin import AIOKafkaAdminClient

    from streams.errors import BrokerError
    from streams.kafka.client import connect

    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1: connection refused; is it running"):
        await connect(AIOKafkaAdminClient(bootstrap_servers="127.0.0.1:1"), "127.0.0.1:1")


async def test_the_deadline_holds_while_the_client_starts() -> None:
    from streams.errors import BrokerError
    from streams.kafka.client import connect

    class Hangs:
        closed = False

        async def start(self) -> None:
            await asyncio.Event().wait()

        async def close(self) -> None:
            self.closed = True

    client = Hangs()
    with pytest.raises(BrokerError, match=r"no answer within 0.05 s"):
        await connect(client, "x:1", within_s=0.05)
    assert client.closed


def test_a_demo_without_its_broker_says_so_in_one_line(address: str) -> None:
    process = started("demo", "--items", "5", "--broker", address)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"error: no broker answers" in err
    assert b"Traceback" not in err
