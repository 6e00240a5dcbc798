"""The acceleration limit: use that grows too sharply is refused, though the limits allow it.

Use is measured in seconds' worth of the tightest limit: at the limit, each second uses one. A call
is refused while the last second used more than `factor` times the mean second of the five before
it, and more than a quarter of the limit: so slow use may begin at any time. The API publishes no
rule; it says by its message that there is one, and asks to scale up gradually.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MESSAGE: Final = (
    "This request would exceed the maximum rate of increase of your organization's usage. Please "
    "scale up more gradually, to stay within the acceleration limit."
)
_FREE: Final = 0.25
_BEFORE_S: Final = 5.0


class Acceleration:
    """The use of one group of models in the last six seconds."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._taken: deque[tuple[float, float]] = deque()

    def refuses(self, now: float) -> bool:
        """Whether a call now would be one too many."""
        while self._taken and self._taken[0][0] <= now - 1 - _BEFORE_S:
            self._taken.popleft()
        last = sum(worth_s for at, worth_s in self._taken if at > now - 1)
        before = sum(worth_s for at, worth_s in self._taken) - last
        return last > max(_FREE, self._factor * before / _BEFORE_S)

    def take(self, worth_s: float, now: float) -> None:
        """A call was let through."""
        self._taken.append((now, worth_s))
