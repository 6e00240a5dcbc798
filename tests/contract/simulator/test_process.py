"""The simulator as a program of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

COMMAND = [sys.executable, "-m", "streams.simulator", "--answers", "hash", "--latency-ms", "0"]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """A simulator in another process, and the line it printed when it was ready."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def state(port: object) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/simulator/state", timeout=60) as reply:
        return json.load(reply)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_prints_one_line_when_it_is_ready_and_ends_cleanly(sent, code):
    """SIGTERM is a wish (0), SIGINT an interruption (130); neither prints a traceback."""
    with started("--seed", "3") as (process, line):
        assert line == {
            "port": line["port"],
            "anthropic_base_url": f"http://127.0.0.1:{line['port']}",
            "voyage_base_url": f"http://127.0.0.1:{line['port']}/v1",
            "answers": "hash",
            "seed": 3,
        }
        assert state(line["port"])["seed"] == 3
        process.send_signal(sent)
        rest, errors = process.communicate(timeout=60)
        assert (process.returncode, rest, errors) == (code, "", "")


def test_it_ends_at_once_though_a_call_hangs(tmp_path):
    """What is open is dropped, and stands in the journal as gone."""
    script, ledger = tmp_path / "faults.toml", tmp_path / "ledger.jsonl"
    script.write_text('[[rule]]\nfault = "hang"\n')
    with started("--script", str(script), "--ledger", str(ledger)) as (process, line):
        port = line["port"]
        body = '{"input": "x", "model": "voyage-4"}'
        client = subprocess.Popen(
            [sys.executable, "-c", ASK, str(port), body], stdout=subprocess.PIPE, text=True
        )
        assert client.stdout is not None
        assert client.stdout.readline() == "sent\n"
        deadline = time.monotonic() + 20
        while state(port)["open"] != 1:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
        client.communicate(timeout=60)
    record = json.loads(ledger.read_text())
    assert (record["status"], record["fault"]) == (499, "hang")


ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("POST", "/v1/embeddings", sys.argv[2], {"authorization": "Bearer k"})
print("sent", flush=True)
try:
    connection.getresponse()
except Exception:
    pass
"""


def test_a_taken_port_is_one_line_and_exit_code_2():
    with started() as (_, line):
        second = subprocess.run(
            [*COMMAND, "--port", str(line["port"])],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert second.returncode == 2
    assert second.stdout == ""
    assert second.stderr.startswith(f"cannot listen on 127.0.0.1:{line['port']}: ")
    assert second.stderr.count("\n") == 1


def test_a_bad_script_is_a_line_for_each_problem_and_exit_code_2(tmp_path):
    script = tmp_path / "faults.toml"
    script.write_text('[[rule]]\nfault = "a"\n[[rule]]\nfault = "b"\n')
    ended = subprocess.run(
        [*COMMAND, "--script", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 2
    assert "Traceback" not in ended.stderr
