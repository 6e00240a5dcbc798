"""What every benchmark stands on, in the process of a test."""

from __future__ import annotations

import logging

from benchmarks.ground import broker


def test_a_benchmark_silences_aiokafka_only_while_it_runs():
    """A test that imported one made `connect` deaf to why there is no connection (28 November)."""
    logger = logging.getLogger("aiokafka")
    assert logger.isEnabledFor(logging.ERROR)
    with broker("127.0.0.1:1") as (server, _):
        assert server == "127.0.0.1:1"
        assert not logger.isEnabledFor(logging.ERROR)
    assert logger.isEnabledFor(logging.ERROR)
