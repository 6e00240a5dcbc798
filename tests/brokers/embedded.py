"""The product's own embedded broker, under the interface of the others."""

from __future__ import annotations

from streams.kafka.broker.tansu import LIMITS, EmbeddedBroker
from tests.brokers.features import KAFKA, UnavailableError

CANNOT = frozenset(LIMITS) | {"nodes", "freeze", "version_4"}


class Embedded:
    """Tansu in memory. `nodes` must be 1."""

    kind = "embedded"
    description = "embedded (Tansu)"

    def __init__(self, nodes: int = 1, port: int | None = None) -> None:
        if nodes != 1:
            raise UnavailableError("the embedded broker has one node")
        self.nodes: list[object] = []
        self._broker = EmbeddedBroker(port=port)
        self._broker.start()

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    def supports(self, feature: str) -> bool:
        return feature in KAFKA - CANNOT

    def heal(self) -> None:
        """Started again, empty, if a test ended it."""
        self._broker.start()

    def log_marks(self) -> list[int]:
        return []

    def log_since(self, marks: list[int], lines: int = 60) -> str:
        """The last lines it printed, whenever that was."""
        return "\n".join(self._broker.log.splitlines()[-lines:])

    def close(self) -> None:
        self._broker.stop()
