"""The topic through which workers share limits belongs to no task."""

from __future__ import annotations

import pytest

from streams.errors import ConfigError
from streams.settings.load import settings_of


@pytest.mark.parametrize("role", ["source", "sink", "dead_letter"])
def test_no_task_reads_or_writes_the_topic_in_which_limits_are_shared(role: str) -> None:
    task = {
        "name": "a",
        "operation": "classify",
        "labels": ["x", "y"],
        "source": "in",
        "sink": "out",
    }
    raw = {
        "worker": {"id": "w"},
        "kafka": {"bootstrap_servers": "localhost:9092"},
        "task": [task | {role: "w.limits"}],
    }
    with pytest.raises(ConfigError, match=rf"task.a.{role}: .* is where workers share limits"):
        settings_of(raw, {}, need_tasks=True)
