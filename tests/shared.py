"""What all processes of a test run use: one broker and one server of processes, each started once,
when somebody asks for it.

    the controller, or the only process            the workers of pytest-xdist
    Shared: chooses, starts, closes  ◄── socket ── Remote: asks the controller

Tests see a `SharedBroker`, which has no nodes: what harms a broker has to ask for its own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, NamedTuple, Protocol

from tests.brokers.choose import VARIABLE, Broker, Choice, choose, start, supports
from tests.brokers.features import UnavailableError
from tests.forked import ForkServer

FAILED = "it did not start, see the first failure"


class NotStartedError(RuntimeError):
    """The broker did not start, for this test or for an earlier one."""


class Facts(NamedTuple):
    """What a process has to know of a broker that another one holds."""

    kind: str
    description: str
    bootstrap: str


class Access(Protocol):
    """How a process reaches what the run shares: a `Shared`, or a `Remote`."""

    def fork_server(self) -> str: ...
    def take_groups(self, groups: dict[str, str]) -> None: ...
    def choice(self) -> Choice: ...
    def facts(self) -> Facts: ...
    def started(self) -> bool: ...
    def heal(self) -> None: ...
    def log_marks(self) -> list[int]: ...
    def log_since(self, marks: list[int], lines: int) -> str: ...
    def close(self) -> None: ...


class SharedBroker:
    """The run's broker as a test sees it: others use it meanwhile, so it cannot be harmed.

    Starts it. Raises UnavailableError, or NotStartedError.
    """

    nodes: tuple[()] = ()

    def __init__(self, access: Access) -> None:
        self._access = access
        self.kind, self.description, self.bootstrap = access.facts()

    def supports(self, feature: str) -> bool:
        return supports(self.kind, feature)

    def heal(self) -> None:
        self._access.heal()

    def log_marks(self) -> list[int]:
        return self._access.log_marks()

    def log_since(self, marks: list[int], lines: int = 60) -> str:
        return self._access.log_since(marks, lines)

    def close(self) -> None:
        """The run goes on with it."""


class Shared:
    """Holds it. Its methods may be called from any thread.

    `chosen`: the choice of a broker, if anybody has asked; `problem`: why there is none. `groups`:
    of tests that belong together, by the test's name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._failed = False
        self.chosen: Choice | None = None
        self.problem: str | None = None
        self.groups: dict[str, str] = {}
        self._fork_lock = threading.Lock()
        self._fork_server: ForkServer | None = None

    def fork_server(self) -> str:
        """Where it listens (`tests.forked`)."""
        with self._fork_lock:
            if self._fork_server is None:
                self._fork_server = ForkServer()
            return self._fork_server.address

    def take_groups(self, groups: dict[str, str]) -> None:
        """The same from every worker."""
        self.groups.update(groups)

    def choice(self) -> Choice:
        """Raises UnavailableError."""
        with self._lock:
            if self.problem is not None:
                raise UnavailableError(self.problem)
            if self.chosen is None:
                try:
                    self.chosen = choose(os.environ.get(VARIABLE))
                except UnavailableError as error:
                    self.problem = str(error)
                    raise
            return self.chosen

    def facts(self) -> Facts:
        """Starts it. Raises UnavailableError, or NotStartedError if it failed before."""
        broker = self.broker()
        return Facts(broker.kind, broker.description, broker.bootstrap)

    def broker(self) -> Broker:
        """The broker itself, with its nodes."""
        choice = self.choice()
        with self._lock:
            if self._broker is None:
                if self._failed:
                    raise NotStartedError(FAILED)
                self._failed = True
                self._broker = start(choice.kind, address=choice.address)
                self._failed = False
            return self._broker

    def heal(self) -> None:
        broker = self.broker()
        with self._lock:
            broker.heal()

    def started(self) -> bool:
        return self._broker is not None

    def log_marks(self) -> list[int]:
        return self._broker.log_marks() if self._broker is not None else []

    def log_since(self, marks: list[int], lines: int) -> str:
        if self._broker is None:
            return "(it has not been started)"
        return self._broker.log_since(marks or [0] * len(self._broker.log_marks()), lines)

    def close(self) -> None:
        with self._lock:
            broker, self._broker = self._broker, None
            if broker is not None:
                broker.close()
        with self._fork_lock:
            forks, self._fork_server = self._fork_server, None
            if forks is not None:
                forks.close()


class Server:
    """Answers the workers' questions, each worker in a thread of its own, until the process ends.
    `address`, `key`: for `Remote`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.key = os.urandom(16)
        self._listener = Listener(authkey=self.key)
        self.address = str(self._listener.address)
        self._in_thread(self._accept)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:  # closed
                return
            except Exception:  # somebody who does not have the key
                continue
            self._in_thread(self._answer, connection)

    def _answer(self, connection: Connection) -> None:
        with connection, contextlib.suppress(EOFError, OSError):
            while True:
                name, arguments = connection.recv()
                try:
                    connection.send((True, getattr(self._shared, name)(*arguments)))
                except (EOFError, OSError):
                    raise
                except Exception as error:  # the worker raises it again
                    connection.send((False, error))

    @staticmethod
    def _in_thread(what: Any, *arguments: Any) -> None:
        threading.Thread(target=what, args=arguments, daemon=True).start()


class Remote:
    """The `Shared` of the controller, seen from a worker."""

    def __init__(self, address: str, key: bytes) -> None:
        self._connection = Client(address, authkey=key)

    def fork_server(self) -> str:
        return str(self._ask("fork_server"))

    def take_groups(self, groups: dict[str, str]) -> None:
        self._ask("take_groups", groups)

    def choice(self) -> Choice:
        found: Choice = self._ask("choice")
        return found

    def facts(self) -> Facts:
        found: Facts = self._ask("facts")
        return found

    def started(self) -> bool:
        return bool(self._ask("started"))

    def heal(self) -> None:
        self._ask("heal")

    def log_marks(self) -> list[int]:
        found: list[int] = self._ask("log_marks")
        return found

    def log_since(self, marks: list[int], lines: int) -> str:
        return str(self._ask("log_since", marks, lines))

    def close(self) -> None:
        self._connection.close()

    def _ask(self, name: str, *arguments: Any) -> Any:
        self._connection.send((name, arguments))
        done, result = self._connection.recv()
        if not done:
            raise result
        return result
