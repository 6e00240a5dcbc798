"""What is wrong at the moment."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.parameters import Trouble


class Weather:
    """A kind meets everybody, or (an odd `number`) only the partition
    or process whose number fits."""

    def __init__(self, troubles: tuple[Trouble, ...], now: Callable[[], float]) -> None:
        self._now = now
        self._of: dict[str, list[Trouble]] = {}
        for trouble in troubles:
            self._of.setdefault(trouble.kind, []).append(trouble)

    def until(self, kind: str, number: int) -> float:
        """When it is over; 0: it is not on."""
        known = self._of.get(kind)
        if known is None:
            return 0.0
        now, ends_at = self._now(), 0.0
        for trouble in known:
            met = trouble.number % 2 == 0 or (trouble.number // 2) % 3 == number % 3
            if met and trouble.at_s <= now < trouble.at_s + trouble.for_s:
                ends_at = max(ends_at, trouble.at_s + trouble.for_s)
        return ends_at

    def is_on(self, kind: str, number: int) -> bool:
        return self.until(kind, number) > 0
