"""`python -m MODULE ...` as a process of its own, forked off a server that has its imports already
(`fork_server.py`). Has as much of `subprocess.Popen` as the tests use.

Outside a test run, and with `afresh`, it is a `Popen`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from streams.kafka.broker.child import TiedProcess
from tests.fork_server import SIZE

CHECKOUT = Path(__file__).parents[1]
PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL
START_WITHIN_S = 120.0

find_server: Callable[[], str] | None = None
"""Where the run's server listens; starts it the first time. Set by `tests/parallel.py`."""


def started(
    module: str,
    *arguments: str,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    afresh: bool = False,
) -> Any:
    """`python -m module arguments`, left running. `afresh`: with an interpreter of its own."""
    if afresh or find_server is None:
        command = [sys.executable, "-m", module, *arguments]
        streams: dict[str, Any] = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        return subprocess.Popen(command, cwd=cwd, env=env, **streams)
    request = {
        "module": module,
        "arguments": list(arguments),
        "environ": dict(os.environ if env is None else env),
        "directory": os.fspath(cwd or Path.cwd()),
    }
    return Forked(find_server(), request, (stdin, stdout, stderr))


class Forked:
    """A running process. `stdin`, `stdout`, `stderr`: our ends of its pipes, if it has any."""

    def __init__(self, server: str, request: dict[str, Any], files: tuple[Any, Any, Any]) -> None:
        self.args = [request["module"], *request["arguments"]]
        self.returncode: int | None = None
        self._heard = b""
        self._connection = socket.socket(socket.AF_UNIX)
        try:
            self._connection.connect(server)
            data = json.dumps(request).encode()
            with contextlib.ExitStack() as opened:
                theirs, ours = _open(opened, files)
                socket.send_fds(self._connection, [SIZE.pack(len(data))], theirs)
            self._connection.sendall(data)
            self.stdin, self.stdout, self.stderr = ours
            self.pid: int = self._hear(None)["pid"]
        except BaseException:
            self._connection.close()
            raise

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = self._hear(timeout)["code"]
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[bytes | None, bytes | None]:
        """Everything it still writes into its pipes, until it ends."""
        until = None if timeout is None else time.monotonic() + timeout
        found: dict[IO[bytes], bytes] = {}
        with selectors.DefaultSelector() as selector:
            for pipe in filter(None, (self.stdout, self.stderr)):
                # What a `readline` has read ahead is not in the pipe any more.
                found[pipe] = b""
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                left = None if until is None else until - time.monotonic()
                ready = selector.select(left)
                if not ready:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
                for key, _ in ready:
                    piece = key.fileobj.read1(1 << 16)  # type: ignore[union-attr]
                    found[key.fileobj] += piece  # type: ignore[index]
                    if not piece:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
        self.wait(None if until is None else max(0.0, until - time.monotonic()))
        return tuple(found.get(pipe) if pipe else None for pipe in (self.stdout, self.stderr))  # type: ignore[return-value]

    def __del__(self) -> None:
        self._connection.close()  # ends it, if it still runs

    def _hear(self, timeout: float | None) -> dict[str, int]:
        """The server's next word."""
        until = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._heard:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._connection], [], [], left)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            piece = self._connection.recv(1000)
            if not piece:  # the server has ended, and with it the whole process group
                return {"code": -signal.SIGKILL}
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, int] = json.loads(line)
        return said


def _open(
    opened: contextlib.ExitStack, files: tuple[Any, Any, Any]
) -> tuple[list[int], list[IO[bytes] | None]]:
    """Their standard streams as `subprocess` takes them, and our ends of the pipes among them."""
    theirs: list[int] = []
    ours: list[IO[bytes] | None] = []
    for number, file in enumerate(files):
        pipe = None
        if file is PIPE:
            reading, writing = os.pipe()
            theirs.append(writing if number else reading)
            pipe = open(reading, "rb") if number else open(writing, "wb")  # noqa: SIM115
            opened.callback(os.close, theirs[-1])
        elif file is DEVNULL or (file is None and number == 0):
            theirs.append(os.open(os.devnull, os.O_RDWR))
            opened.callback(os.close, theirs[-1])
        elif file is None:
            theirs.append(number)
        elif file is subprocess.STDOUT:
            theirs.append(theirs[1])
        else:
            theirs.append(file if isinstance(file, int) else file.fileno())
        ours.append(pipe)
    return theirs, ours


class ForkServer:
    """The server as a process. `address`: for `find_server`."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="streams-forks-"))
        self.address = str(self._directory / "socket")
        self._log = self._directory / "log"
        with self._log.open("wb") as log:
            self._process = TiedProcess(
                [sys.executable, "-m", "tests.fork_server", self.address],
                output=log,
                environ=os.environ.copy(),
                directory=CHECKOUT,
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self._listening():
            if not self._process.alive or time.monotonic() > deadline:
                log_text = self._log.read_text(errors="replace")
                self.close()
                raise RuntimeError(f"the fork server did not start:\n{log_text}")
            time.sleep(0.02)

    def close(self) -> None:
        """Ends it, and whatever it has become."""
        self._process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _listening(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(self.address)
            return True
        return False


@contextlib.contextmanager
def running(*arguments: Any, **keywords: Any) -> Iterator[Any]:
    """`started`, killed at the end if it still runs."""
    process = started(*arguments, **keywords)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
