"""The broker behind a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.faults.proxy import Network, proxied


class Behind(NamedTuple):
    """`bootstrap`: for clients that are to come through the network."""

    bootstrap: str
    network: Network


@pytest.fixture
def behind(own_broker: Any) -> Iterator[Behind]:
    """The test's own broker as it is seen through a network that can fail."""
    port, told = own_broker.nodes[0].proxied
    with proxied(told, port) as network:
        yield Behind(f"127.0.0.1:{told}", network)
