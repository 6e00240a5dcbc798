"""A broker that somebody else runs (`STREAMS_TEST_BROKER=host:port`), taken for Apache Kafka."""

from __future__ import annotations

from tests.brokers.features import KAFKA, UnavailableError

CANNOT = frozenset({"nodes", "freeze"})


class External:
    """Nothing to start or to stop. `address`: `host:port`, or several with commas between."""

    kind = "external"

    def __init__(self, address: str, nodes: int = 1) -> None:
        if nodes != 1:
            raise UnavailableError("a broker that runs already is used as it is")
        self.bootstrap = address
        self.description = f"{address} (external)"
        self.nodes: list[object] = []

    def supports(self, feature: str) -> bool:
        return feature in KAFKA - CANNOT

    def heal(self) -> None:
        """Not ours to heal."""

    def log_marks(self) -> list[int]:
        return []

    def log_since(self, marks: list[int], lines: int = 60) -> str:
        return "(its log is where it runs)"

    def close(self) -> None:
        """Not ours to stop."""
