"""What the embedded broker cannot keep of an order is said, not passed over in silence."""

from __future__ import annotations

from types import SimpleNamespace

from streams.kafka.broker.tansu import warn_of_order


def test_orders_that_need_commit_metadata_are_warned_of(caplog):
    tasks = [SimpleNamespace(name=name, order=name) for name in ("partition", "key", "none")]
    warn_of_order(tasks)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert 'order = "key"' in said[0]
    assert "Use Apache Kafka" in said[1]
