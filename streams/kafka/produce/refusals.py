"""What the broker has refused of one sink partition, so that it is not offered the same again.

A batch is refused as a whole; the broker does not say for which record (aiokafka 0.14 drops the
field that does). So a refused batch is offered again in halves, down to the record that it was.
"""

from __future__ import annotations

from math import inf

SLACK = 0.95
"""A timestamp that is nearly as far from now as one that was refused becomes now without trying:
records of one clock that is wrong would be refused one by one otherwise, each a little nearer."""


class Refusals:
    """`any`: whether there is anything to look at."""

    def __init__(self) -> None:
        self.any = False
        self._most_bytes: float = inf  # of a batch with more than one record
        self._most_records: float = inf  # of a batch, while `_suspects` are on their way
        self._suspects = 0  # records of the batch that a timestamp made fail, not yet durable
        self._ahead_ms: float = inf
        self._behind_ms: float = inf

    def may_join(self, taken: int, size: int) -> bool:
        """Whether a record may join the `taken` of a batch that would have this size then."""
        return not taken or (taken < self._most_records and size <= self._most_bytes)

    def timestamp(self, timestamp_ms: int | None, now_ms: float) -> int | None:
        """The timestamp to send; None: now."""
        if timestamp_ms is None or not (-self._behind_ms < timestamp_ms - now_ms < self._ahead_ms):
            return None
        return timestamp_ms

    def refused_size(self, taken: int, size: int) -> bool:
        """A batch was too large. False: it was a single record, nothing smaller can be tried."""
        if taken == 1:
            return False
        self.any = True
        self._most_bytes = size // 2
        return True

    def refused_timestamp(self, taken: int, timestamp_ms: int | None, now_ms: float) -> bool:
        """A timestamp in a batch was refused; `timestamp_ms`: the first record's as it was sent.
        False: it was now, and nothing else can be tried."""
        self.any = True
        if taken > 1:
            self._suspects = max(self._suspects, taken)
            self._most_records = taken // 2
            return True
        self._suspects, self._most_records = 0, inf
        if timestamp_ms is None:
            return False
        if timestamp_ms > now_ms:
            self._ahead_ms = min(self._ahead_ms, (timestamp_ms - now_ms) * SLACK)
        else:
            self._behind_ms = min(self._behind_ms, (now_ms - timestamp_ms) * SLACK)
        return True

    def passed(self, count: int) -> None:
        """So many records left the queue at its front."""
        if self._suspects:
            self._suspects = max(0, self._suspects - count)
            if not self._suspects:
                self._most_records = inf
