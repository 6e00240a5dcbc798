"""For how long a member had a call to make and something held it back, by what that was."""

from __future__ import annotations


class Waits:
    """`reason`: what holds its next call back now; None: nothing, or there is none to make.
    `seconds`: by reason, without the wait that goes on."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.seconds: dict[str, float] = {}
        self._since = 0.0

    def begin(self, reason: str, now: float) -> None:
        """It waits for this from now on, or still."""
        if reason != self.reason:
            self.end(now)
            self.reason, self._since = reason, now

    def end(self, now: float) -> None:
        """It waits no longer."""
        if self.reason is not None:
            self.seconds[self.reason] = self.seconds.get(self.reason, 0.0) + now - self._since
            self.reason = None

    def until(self, now: float) -> dict[str, float]:
        """The seconds with those of the wait that goes on."""
        seconds = dict(self.seconds)
        if self.reason is not None:
            seconds[self.reason] = seconds.get(self.reason, 0.0) + now - self._since
        return seconds
