"""Everything that can go wrong, as one tree: each class says whose fault it is.

StreamsError
├── ConfigError        the settings: all problems at once, exit code 2
├── UsageError         the command line: one line, exit code 2
├── BrokerError        the broker or a topic: one line, exit code 1
├── OutputError        standard output takes nothing: one line, exit code 1
├── ItemError          one item: it becomes a dead letter with this code
│   └── StageError     the same, in a stage of a pipeline
├── InvalidCodeError   an ItemError got an invalid code; also a ValueError
├── Retry              a custom function asks for its microbatch to be tried again later
└── CallError          one API call: its `Fault` decides what follows
"""

from __future__ import annotations

import copyreg
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

from streams.model import RateLimits, Usage


class StreamsError(Exception):
    """The root of every error that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles without __init__, whose arguments differ from those that an exception
        stores."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigError(StreamsError):
    """The configuration cannot be used. `problems`: one line each, starting with the key's path."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class UsageError(StreamsError):
    """A command was called in a way that cannot work; the message says what to do instead."""


class BrokerError(StreamsError):
    """The broker does not answer, or lacks what a command needs; the message says what to do."""


class OutputError(StreamsError):
    """Standard output is closed or full; the message says which."""


CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""The form of an error code. It becomes a header, a metric's label and a word in logs."""

_MAX_SHOWN_CHARACTERS: Final = 40


class InvalidCodeError(StreamsError, ValueError):
    """An `ItemError` got an invalid error code; raised at that place."""

    def __init__(self, code: object) -> None:
        shown = repr(code[:_MAX_SHOWN_CHARACTERS]) if isinstance(code, str) else type(code).__name__
        super().__init__(
            "an ItemError's code is a word of a to z, 0 to 9 and _, at most 64 characters, that "
            f"starts with a letter, such as 'not_a_review'; this is {shown}"
        )


class ItemError(StreamsError):
    """The outcome of one item that cannot have a result: a dead letter.

    `code`: a short snake_case word that matches `[a-z][a-z0-9_]{0,63}`, the value of the header
    `streams-error-code`; what differs from item to item belongs into the message.
    `message`: one sentence for a person; never holds the item's text.

    Raises InvalidCodeError, a ValueError, for any other code, here and when `code` is assigned.
    """

    # A subclass may never call __init__.
    _code = "function_error"
    message = ""

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        self.message = message
        super().__init__(f"{self.code}: {message}" if message else self.code)

    @property
    def code(self) -> str:
        return self._code

    @code.setter
    def code(self, code: str) -> None:
        if not isinstance(code, str) or not CODE.fullmatch(code):
            raise InvalidCodeError(code)
        self._code = str.__str__(code)  # of an enum's member its text


class StageError(ItemError):
    """An item's error with the name of the pipeline's stage where it failed: a copy, since a
    function may return one error for several items."""

    def __init__(self, stage: str, error: ItemError) -> None:
        copied = plain(error)
        message = f"stage {stage}: {copied.message}" if copied.message else f"stage {stage}"
        super().__init__(copied.code, message)
        self.stage = stage


def plain(error: ItemError) -> ItemError:
    """The error as an `ItemError` with a valid code, even of a strange subclass: itself, or a copy.
    A subclass with an invalid code gives `function_error`."""
    if type(error) is ItemError:
        return error
    try:
        return ItemError(error.code, str(error.message))
    except Exception:
        message = f"{type(error).__name__}.code is not a code"
        return ItemError(Fault.FUNCTION.value, message)


class Retry(StreamsError):  # noqa: N818  # the contract's name, and it is a request
    """Raised by a custom function: call again with the same items, not before `after_s` seconds."""

    def __init__(self, after_s: float = 1.0) -> None:
        self.after_s = after_s
        super().__init__(f"try again after {after_s} s")


class Fault(StrEnum):
    """The kind of a call's failure. What follows from each is in `streams.policies.retry`."""

    REJECTED = "rejected"  # 400, 422: something in this request
    REFUSED = "refused"  # the model declined to answer
    TRUNCATED = "truncated"  # cut at max_tokens: the rest is asked again in halves
    TOO_LARGE = "too_large"  # more than the model's context or the API's body limit
    CLIENT = "client_error"  # any other 4xx: it may pass, or be the item's
    BAD_REPLY = "invalid_answer"  # a message of the API that has no usable answer at all
    TIMEOUT = "timeout"  # no reply within timeout_s
    SERVER = "server_error"  # 5xx other than 529
    CONNECTION = "connection"  # no connection, reset, cut; or who answers is not the API
    THROTTLED = "throttled"  # 429 with or without a reset, 529
    ACCOUNT = "account"  # 401 to 405, 407, spend limits: probably nothing will pass
    FUNCTION = "function_error"  # a custom function raised, or returned the wrong count
    RETRY = "retry"  # a custom function raised `Retry`


class CallError(StreamsError):
    """One API call failed as a whole.

    `retry_after_s`: how long the API asked us to wait, in seconds; None: it did not say.
    `should_retry`: what the API's header `x-should-retry` says; None: there is none.
    `status`: the HTTP status; None where there was no response.
    `usage`: what the call took although it failed (a refusal is billed); None: nothing.
    `rate_limits`: what the response says about the account's limits; None: nothing.
    `message` never holds an item's text or a key.
    `__cause__`: the error of the caller's own function, for the receiver of the outcome.
    """

    def __init__(
        self,
        fault: Fault,
        message: str = "",
        *,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        status: int | None = None,
        usage: Usage | None = None,
        rate_limits: RateLimits | None = None,
    ) -> None:
        self.fault = fault
        self.message = message
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.status = status
        self.usage = usage
        self.rate_limits = rate_limits
        super().__init__(f"{fault.value}: {message}" if message else fault.value)

    def item_error(self) -> ItemError:
        """The outcome of an item after the last failure of its call; a new one for each item."""
        error = ItemError(self.fault.value, self.message)
        error.__cause__ = self.__cause__
        return error
