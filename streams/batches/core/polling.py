"""How often to ask about a batch, and how long to believe that it is only late.

1. A batch is asked about every twentieth of its age, between `first_ms` and `last_ms`.
2. A failure doubles the time, up to five minutes; the API's own wait counts where it is longer.
3. 404 is tolerated for ten minutes (it comes right after a creation, and right after the end); then
   the batch is looked up in the list, and tolerated once more; then it is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from streams.errors import CallError, Fault
from streams.policies.retry import MAX_WAIT_S, Backoff, requested_wait_s
from streams.providers.batch_port import BatchGone

GONE_MS: Final = 600_000

BACKOFF: Final = Backoff(base_s=5.0, cap_s=300.0)
ACCOUNT_BACKOFF: Final = Backoff(base_s=30.0, cap_s=300.0)


@dataclass(frozen=True, slots=True)
class PollTimes:
    """The shortest and the longest time between two questions, in ms."""

    first_ms: int = 5_000
    last_ms: int = 60_000


def wait_ms(error: CallError, failures: int) -> int:
    """After so many failures in a row, from 1."""
    refused = error.fault is Fault.ACCOUNT and not isinstance(error, BatchGone)
    backoff = ACCOUNT_BACKOFF if refused else BACKOFF
    requested_s = requested_wait_s(error.retry_after_s) or 0.0
    return int(1000 * max(backoff.ceiling_s(failures), min(requested_s, MAX_WAIT_S)))


class Missing(Enum):
    """What to do about a 404."""

    WAIT = "ask again"
    LOOK_UP = "look in the list"
    GONE = "it is gone"


class Watch:
    """One batch that is waited for. `next_at_ms`: when to ask again."""

    def __init__(self, times: PollTimes, created_at_ms: int, now_ms: int) -> None:
        self._times = times
        self._created_at_ms = created_at_ms
        self._failures = 0
        self._missing_since_ms: int | None = None
        self._looked_up = False
        self.next_at_ms = now_ms
        self.answered(now_ms)

    def answered(self, now_ms: int) -> None:
        """The API knows it, and it has not ended."""
        self._failures = 0
        self._missing_since_ms = None
        age_ms = max(0, now_ms - self._created_at_ms)
        step_ms = min(max(age_ms // 20, self._times.first_ms), self._times.last_ms)
        self.next_at_ms = now_ms + step_ms

    def failed(self, error: CallError, now_ms: int) -> Missing:
        self._failures += 1
        self.next_at_ms = now_ms + wait_ms(error, self._failures)
        if not isinstance(error, BatchGone):
            return Missing.WAIT
        if self._missing_since_ms is None:
            self._missing_since_ms = now_ms
        if now_ms - self._missing_since_ms < GONE_MS:
            return Missing.WAIT
        return Missing.GONE if self._looked_up else Missing.LOOK_UP

    def found(self, now_ms: int) -> None:
        """The list has it: it is waited for once more."""
        self._looked_up = True
        self._failures = 0
        self._missing_since_ms = None
        self.next_at_ms = now_ms + self._times.first_ms

    def soon(self, now_ms: int) -> None:
        """It is about to end: it was cancelled."""
        self.next_at_ms = min(self.next_at_ms, now_ms + self._times.first_ms)
        self._created_at_ms = now_ms


class Hold:
    """Why, and until when, no batch is created."""

    def __init__(self) -> None:
        self.until_ms = 0
        self.message = ""
        self._failures = 0

    def failed(self, error: CallError, now_ms: int) -> None:
        self._failures += 1
        self.until_ms = now_ms + wait_ms(error, self._failures)
        self.message = error.message
