"""What a run in batch mode remembers: small records by key, which survive the end of its process.

Two carry it out: a file (`state_file`), and a compacted topic (`streams.jobs.replay`).
"""

from __future__ import annotations

from typing import Protocol


class RunState(Protocol):
    """The records of one run. A key is made of [a-z0-9-]; a value is JSON without line breaks."""

    async def load(self) -> dict[str, bytes]:
        """All records, at the start of a process, once."""
        ...

    async def put(self, key: str, value: bytes | None) -> None:
        """Durable when it returns; None deletes. Puts of one key are carried out in their order,
        those of different keys may be made at once."""
        ...
