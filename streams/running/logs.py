"""What a worker logs on stderr: its own news, and only errors of the libraries below."""

from __future__ import annotations

import logging
import sys
import time

from streams.core.events import Paused, Resumed

logger = logging.getLogger(__name__)

REPEAT_AFTER_S = 30.0
LIBRARIES = ("aiokafka", "faust", "mode")
MAX_TEMPLATES = 1_000
FORMAT = "%(asctime)s %(levelname)s %(message)s"


class RepeatFilter(logging.Filter):
    """Lets the same message of the libraries below pass once in 30 s: aiokafka repeats a warning
    with every attempt, ten times a second and per partition. All other messages pass, also those of
    a user's function."""

    def __init__(self) -> None:
        super().__init__()
        self._last_logged: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in LIBRARIES:
            return True
        # By template, not by text: the texts differ only in the partition.
        template, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._last_logged.get(template, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
            return False
        if len(self._last_logged) >= MAX_TEMPLATES:
            self._last_logged.clear()
        self._last_logged[template] = now
        return True


class RepeatLog:
    """For an error that comes many times a second: logs it when its message changes, and then at
    intervals."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._message, self._logged_at = "", 0.0

    @property
    def message(self) -> str:
        """The last one; "" if there was none, or it is over."""
        return self._message

    def say(self, message: str, repeat_after_s: float) -> None:
        now = time.monotonic()
        if message != self._message or now - self._logged_at >= repeat_after_s:
            self._message, self._logged_at = message, now
            self._logger.warning("%s", message)

    def over(self) -> None:
        """No error this time: the next message is logged at once."""
        self._message = ""


class PauseLog:
    """Tells people that calls are paused, why, and that nothing is lost. `subject`: whose calls,
    such as "task topics". `source`: where its items come from."""

    def __init__(self, subject: str, source: str) -> None:
        self._subject = subject
        self._source = source
        self._reason: str | None = None  # of the last message

    def tell(self, news: Paused | Resumed, now: float) -> None:
        """`now`: on the clock of the engine."""
        if isinstance(news, Paused):
            self.paused(news.reason, max(0.0, news.until - now), news.message)
        else:
            self.resumed()

    def paused(self, reason: str, wait_s: float, message: str) -> None:
        level = logging.WARNING
        if reason == "account":
            level = logging.ERROR
            message += ". Nothing is lost: it waits until the account is in order"
        elif reason == "breaker" and self._reason != reason:
            level = logging.ERROR
            message += (
                f". The rest of {self._source} is not sent after them: it tries one item"
                " at a time, and goes on by itself when one has a result"
            )
        elif self._reason is not None:
            level = logging.INFO
        self._reason = reason
        logger.log(
            level, "%s is paused (%s), next try in %.1f s: %s",
            self._subject, reason, wait_s, message,
        )  # fmt: skip

    def resumed(self) -> None:
        self._reason = None
        logger.warning("%s goes on", self._subject)


def configure(*, debug: bool = False) -> None:
    """Set up logging on stderr, unless the program has its own. `debug`: everything, which may show
    items' texts."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(RepeatFilter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    logging.getLogger("streams").setLevel(logging.DEBUG if debug else logging.INFO)
    for name in ("streams.app", "streams.kafka.consume.transport"):
        # Subclasses of Faust's services: Faust logs every step of their stop under these names.
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.WARNING)
