"""A process that has its imports already, and becomes `python -m MODULE ...` for whoever asks.

A worker's imports take a second or two of CPU time, which is most of what the tests compute: with
this each pays for them once in a run. What it becomes is a process like any other: its arguments,
environment, directory, standard streams, signals and exit code are its own. What is about the start
of a process itself starts one for real (`forked.started(..., afresh=True)`).

    test ──socket: arguments, environment, directory, three open files──► server ── fork ──► MODULE
         ◄─────────────────── the process id, and later the exit code ──────┘

The end of the connection ends the process, so that nothing outlives the test that started it; the
server itself, and its whole process group, ends with the controller (`TiedProcess`).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
from typing import Any, NamedTuple, NoReturn

SIZE = struct.Struct(">I")

MODULES = (
    "anthropic.resources.messages",
    "faust.assignor.partition_assignor",
    "faust.events",
    "faust.stores.base",
    "faust.tables.objects",
    "faust.transport.drivers.aiokafka",
    "faust.worker",
    "httpx",
    "httpcore2",
    "jmespath",
    "prometheus_client",
    "rich.progress",
    "streams.app",
    "streams.cli.main",
    "streams.cli.replay_request",
    "streams.cli.replay_runs",
    "streams.cli.replay_tasks",
    "streams.cli.stopping",
    "streams.jobs.map_file",
    "streams.jobs.replay",
    "streams.process",
    "streams.providers.anthropic",
    "streams.running.map",
    "streams.simulator",
)
"""With what they import: nearly everything that a worker or a command comes to need."""


class Job(NamedTuple):
    """What to become. `files`: for standard input, output and error."""

    module: str
    arguments: list[str]
    environ: dict[str, str]
    directory: str
    files: tuple[int, ...]


def main(address: str) -> None:
    """Serves until it is killed. In a process that was forked off: becomes what was asked for."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:  # an extra that is not installed
            if (error.name or "").startswith(("streams", "faust")):
                raise  # it has moved, and this list with it
    assert threading.active_count() == 1, "a thread would not survive the fork"
    gc.collect()
    gc.freeze()  # or the first collection of each would copy all of it
    job = _Server(address).serve()
    os.chdir(job.directory)
    os.environ.clear()
    os.environ.update(job.environ)
    for target, file in enumerate(job.files):
        os.dup2(file, target)
        os.close(file)
    sys.argv = [job.module, *job.arguments]
    sys.path[0] = job.directory
    try:
        runpy.run_module(job.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise  # a message: the interpreter prints it
        _end(end.code or 0)
    _end(0)


def _end(code: int) -> NoReturn:
    """As the interpreter ends, but for the modules."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads, or it is closed: the interpreter says so
        sys.exit(code)
    os._exit(code)


class _Server:
    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(100)
        self._wakeup = socket.socketpair()
        self._wakeup[1].setblocking(False)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        self._children: dict[int, socket.socket] = {}

    def serve(self) -> Job:
        """Returns in the processes that are forked off alone."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._selector.register(connection, selectors.EVENT_READ)
                elif key.fileobj is self._wakeup[0]:
                    self._wakeup[0].recv(4096)
                    self._reap()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    if (job := self._heard(key.fileobj)) is not None:
                        return job

    def _heard(self, connection: socket.socket) -> Job | None:
        """A connection brings a request, or its end."""
        try:
            job = _receive(connection)
        except (OSError, EOFError):
            self._hung_up(connection)
            return None
        pid = os.fork()
        if pid == 0:
            self._forget()
            return job
        for file in job.files:
            os.close(file)
        self._children[pid] = connection
        _tell(connection, {"pid": pid})
        return None

    def _hung_up(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()
        for pid, theirs in self._children.items():
            if theirs is connection:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid, connection in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[pid]
                _tell(connection, {"code": os.waitstatus_to_exitcode(status)})

    def _forget(self) -> None:
        """In a process that was forked off: nothing of the server is left."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        for connection in self._children.values():
            connection.close()
        self._wakeup[1].close()
        self._selector.close()


def _receive(connection: socket.socket) -> Job:
    head, files, _, _ = socket.recv_fds(connection, SIZE.size, 3)
    if len(head) < SIZE.size:
        raise EOFError
    (left,) = SIZE.unpack(head)
    data = b""
    while len(data) < left:
        piece = connection.recv(left - len(data))
        if not piece:
            raise EOFError
        data += piece
    asked: dict[str, Any] = json.loads(data)
    return Job(**asked, files=tuple(files))


def _tell(connection: socket.socket, fact: dict[str, int]) -> None:
    with contextlib.suppress(OSError):  # the test has gone
        connection.sendall(json.dumps(fact).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
