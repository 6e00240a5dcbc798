"""The first record of a run: what it is, so that a resume goes on with that and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from streams.batches.core.run_actions import CanaryFacts

HEAD_KEY: Final = "run"
VERSION: Final = 1


@dataclass(slots=True)
class RunHead:
    """`run`: the id in the names of its requests. `identity`: what a resume must have in common, by
    its names for a person ("the items", "the operation"). `state`: "running", "stopped", "done" or
    "cancelled". `canary`: what the first call took; None: it was not made yet."""

    run: str
    identity: dict[str, Any]
    started_at_ms: int
    deadline_at_ms: int | None = None
    state: str = "running"
    canary: CanaryFacts | None = None
    version: int = field(default=VERSION)

    def record(self) -> bytes:
        canary = None if self.canary is None else list(self.canary)
        return orjson.dumps(
            {
                "version": self.version,
                "run": self.run,
                "identity": self.identity,
                "started_at_ms": self.started_at_ms,
                "deadline_at_ms": self.deadline_at_ms,
                "state": self.state,
                "canary": canary,
            }
        )

    @classmethod
    def read(cls, records: Mapping[str, bytes]) -> RunHead | None:
        """None: the run is new. Raises ValueError for a state of another version."""
        value = records.get(HEAD_KEY)
        if value is None:
            return None
        facts = orjson.loads(value)
        if facts.get("version") != VERSION:
            raise ValueError("the state is of another version of streams")
        canary = facts["canary"]
        facts["canary"] = None if canary is None else CanaryFacts(*canary)
        return cls(**facts)

    def differences(self, identity: Mapping[str, Any]) -> list[str]:
        """The names of what is not what it was."""
        names = {*self.identity, *identity}
        return sorted(name for name in names if self.identity.get(name) != identity.get(name))
