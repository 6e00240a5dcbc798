"""Which kind of broker the tests run on."""

from __future__ import annotations

from typing import Any

from tests.brokers.features import Unavailable


def start(kind: str, *, nodes: int = 1, port: int | None = None) -> Any:
    if kind == "java":
        from tests.brokers.java import JavaBroker

        return JavaBroker(nodes, port)
    raise Unavailable(f"{kind}: not built yet")
