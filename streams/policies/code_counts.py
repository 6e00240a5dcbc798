"""Counts by error code, bounded: a function can make up a code for each item."""

from __future__ import annotations

from collections import Counter
from typing import Final

MAX_CODES: Final = 100
OTHER: Final = "other"


class CodeCounts(Counter[str]):
    """How many of which code: of the first 100 codes by name, of all further ones as `other`."""

    def add(self, code: str) -> None:
        """Count one."""
        by_name = code in self or len(self) < MAX_CODES
        self[code if by_name else OTHER] += 1
