"""Names of requests: whose a result is, and of which items, without any other record.

    replay7f3a-12-0-1499-5f1d7a84        run, chunk, round, number, checksum of the items' texts

A result whose checksum is not that of its items is of other items: it is not used.
https://platform.claude.com/docs/en/build-with-claude/batch-processing: [a-zA-Z0-9_-], 64 at most
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from zlib import crc32

RUN_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,36}")

_CUSTOM_ID: Final = re.compile(r"([a-zA-Z0-9_-]{1,36})-(\d{1,8})-(\d{1,2})-(\d{1,6})-([0-9a-f]{8})")


class CustomId(NamedTuple):
    """`number`: of the request in its batch, from 0."""

    run: str
    chunk: int
    round: int
    number: int
    checksum: int

    @classmethod
    def read(cls, text: str) -> CustomId | None:
        """None: it is not one of ours."""
        found = _CUSTOM_ID.fullmatch(text)
        if found is None:
            return None
        run, chunk, round_number, number, checksum = found.groups()
        return cls(run, int(chunk), int(round_number), int(number), int(checksum, 16))

    def __str__(self) -> str:
        return f"{self.run}-{self.chunk}-{self.round}-{self.number}-{self.checksum:08x}"


def checksum_of(items: Iterable[Any]) -> int:
    """Of the texts of these items (`item.text`), in their order."""
    checksum = 0
    for item in items:
        text = item.text.encode("utf-8", "surrogatepass")
        checksum = crc32(text, crc32(b"%d:" % len(text), checksum))
    return checksum
