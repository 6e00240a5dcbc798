"""What a worker says on stderr: its own news, and of the libraries below only what goes wrong."""

from __future__ import annotations

import logging
import sys
import time

SAID_AGAIN_AFTER_S = 30.0
REPEATING = ("aiokafka", "faust", "mode")
MOST_REMEMBERED = 1_000
FORMAT = "%(asctime)s %(levelname)s %(message)s"


class OnceInAWhile(logging.Filter):
    """Lets the same message of the libraries below pass once in 30 s: aiokafka repeats a warning
    with every attempt, ten times a second and per partition. All others pass: what a user's
    function says is the user's."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in REPEATING:
            return True
        # By the template, not the text: that differs in the partition alone.
        said, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said_at.get(said, -SAID_AGAIN_AFTER_S) < SAID_AGAIN_AFTER_S:
            return False
        if len(self._said_at) >= MOST_REMEMBERED:
            self._said_at.clear()
        self._said_at[said] = now
        return True


class Repeated:
    """Something that goes wrong many times a second: said when it changes, and now and then."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._said, self._said_at = "", 0.0

    def say(self, what: str, again_after_s: float) -> None:
        now = time.monotonic()
        if what != self._said or now - self._said_at >= again_after_s:
            self._said, self._said_at = what, now
            self._logger.warning("%s", what)

    def over(self) -> None:
        """It went well: what comes next is said at once."""
        self._said = ""


def configure(*, debug: bool = False) -> None:
    """Set up logging on stderr, unless the program has its own. `debug`: everything, which may show
    items' texts."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(OnceInAWhile())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    logging.getLogger("streams").setLevel(logging.DEBUG if debug else logging.INFO)
    for name in ("streams.app", "streams.kafka.consume.transport"):
        # Subclasses of Faust's services: Faust tells every step of their stop under these names.
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.WARNING)
