"""Tells people that a task is paused, why, and that nothing is lost."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class PauseLog:
    """`task`: its name. `source`: its topic."""

    def __init__(self, task: str, source: str) -> None:
        self._task = task
        self._source = source
        self._reason: str | None = None  # that was told last

    def paused(self, reason: str, wait_s: float, message: str) -> None:
        level = logging.WARNING
        if reason == "account":
            level = logging.ERROR
            message += ". Nothing is lost: the task waits until the account is in order"
        elif reason == "breaker" and self._reason != reason:
            level = logging.ERROR
            message += (
                f". The rest of {self._source} is not sent after them: the task tries one item"
                " at a time, and goes on by itself when one has a result"
            )
        elif self._reason is not None:
            level = logging.INFO
        self._reason = reason
        logger.log(
            level, "task %s is paused (%s), next try in %.1f s: %s",
            self._task, reason, wait_s, message,
        )  # fmt: skip

    def resumed(self) -> None:
        self._reason = None
        logger.warning("task %s goes on", self._task)
