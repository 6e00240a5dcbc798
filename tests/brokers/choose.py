"""Which kind of broker the tests run on."""

from __future__ import annotations

from typing import Any

from tests.brokers.features import Unavailable


def start(kind: str, *, nodes: int = 1, port: int | None = None, fast_start: bool = True) -> Any:
    if kind == "java":
        from tests.brokers.java import JavaBroker

        return JavaBroker(nodes, port, fast_start=fast_start)
    raise Unavailable(f"{kind}: not built yet")
