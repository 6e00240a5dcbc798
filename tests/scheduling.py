"""Which worker of pytest-xdist runs which test: each takes the next as it comes to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class Groups(LoadScopeScheduling):
    """Tests of a group go to one worker together, and before the others; every other test goes
    alone. `groups`: the group's name by the test's."""

    def __init__(self, config: pytest.Config, log: Any, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._groups = groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)

    def remove_node(self, node: Any) -> str | None:
        """The test in which a worker crashed has failed; xdist would run it again in the worker
        that takes its place, and in the next, until it gives the whole run up."""
        crashed = None
        for tests in self.assigned_work[node].values():
            crashed = crashed or next((name for name, done in tests.items() if not done), None)
            if crashed in tests:
                tests[crashed] = True
        super().remove_node(node)
        return crashed
