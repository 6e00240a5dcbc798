"""Server processes that live no longer than we do, the ports they get, and whether they answer.

A child is started through a launcher that first forks a watcher and then becomes the server
itself (same process id). The watcher waits for the end of a pipe whose other end only we hold:
when we end, in any way, it kills the server's whole process group. A pipe works on
every POSIX system and does not care which of our threads started the child.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from streams.errors import BrokerError

LAUNCHER: Final = """
import os, signal, sys
pipe = int(sys.argv[1])
if os.fork() == 0:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.read(pipe, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)
os.close(pipe)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs in a bare interpreter (about 10 ms). The watcher closes its copy of the child's output, so
that the output ends when the server ends."""

LOWEST_PORT: Final = 15_000
HIGHEST_PORT: Final = 32_000
"""Below the range from which Linux takes the ports of outgoing connections (32768 up), so that a
server that restarts finds its port free."""


class TiedProcess:
    """A server in its own process group, killed with that group when this process ends.

    `output`: where its standard output and error go. `environ`: its whole environment.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: int | IO[bytes],
        environ: Mapping[str, str],
        directory: Path,
    ) -> None:
        watched, self._alive_pipe = os.pipe()
        try:
            self.popen = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LAUNCHER, str(watched), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=directory,
                pass_fds=(watched,),
                start_new_session=True,
            )
        except BaseException:
            self._let_go()
            raise
        finally:
            os.close(watched)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def send_signal(self, number: int) -> None:
        """Sends a signal to the server alone; nothing happens when it has ended."""
        self.popen.send_signal(number)

    def terminate(self, timeout_s: float) -> int:
        """Asks the server to stop, kills it after `timeout_s` seconds; returns its exit code."""
        self.popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout_s)
        return self.kill()

    def kill(self) -> int:
        """Ends the server and everything in its group at once; returns its exit code."""
        self.popen.kill()
        self._let_go()
        return self.popen.wait()

    def _let_go(self) -> None:
        if self._alive_pipe >= 0:
            os.close(self._alive_pipe)
            self._alive_pipe = -1


def free_port() -> int:
    """A free TCP port on 127.0.0.1. Another process may take it before we do: if the server then
    does not start, try another port."""
    for _ in range(200):
        port = random.randint(LOWEST_PORT, HIGHEST_PORT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BrokerError(f"no free port between {LOWEST_PORT} and {HIGHEST_PORT} on 127.0.0.1")


def refuse_used_port(port: int) -> None:
    """Raises `BrokerError` when a server already listens on 127.0.0.1:`port`: ours would fail, and
    we would take the other server's answer for its own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BrokerError(
                f"port {port} on 127.0.0.1 cannot be used: {error.strerror}"
            ) from error


def broker_count(port: int, *, timeout_s: float = 5.0) -> int:
    """How many brokers the one at 127.0.0.1:`port` lists in its metadata: 0 when it does not
    answer. Speaks Metadata v1 (no topics) by hand, so that it needs no event loop."""
    header = struct.pack(">hhih5s", 3, 1, 7, 5, b"probe")
    request = header + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _read(connection, 4))
            correlation, brokers = struct.unpack(">ii", _read(connection, size)[:8])
    except (OSError, struct.error):
        return 0
    return int(brokers) if correlation == 7 else 0


def _read(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionError("closed in the middle of an answer")
        received += chunk
    return received


def wait_until_answering(
    process: TiedProcess, port: int, *, brokers: int = 1, timeout_s: float
) -> bool:
    """True once the server lists `brokers` brokers; False if it ended or `timeout_s` passed."""
    deadline = time.monotonic() + timeout_s
    while process.alive and time.monotonic() < deadline:
        if broker_count(port, timeout_s=1.0) >= brokers:
            return True
        time.sleep(0.02)
    return False
