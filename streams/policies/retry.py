"""What follows when a call fails as a whole: one table, and how long to wait.

    fault        more than one item             one item alone                      attempt   task
    -----------  -----------------------------  ----------------------------------  --------  ------
    REJECTED     halved, at once                dead letter "rejected"              -         -
    REFUSED      halved, at once                dead letter "refused"               -         -
    TOO_LARGE    halved, at once                dead letter "too_large"             -         -
    FUNCTION     halved, at once                dead letter "function_error"        -         -
    FUNCTION +   halved, at once                as TIMEOUT, code "function_error"   counted   -
    TRUNCATED    halved, at once                dead letter "truncated"             -         -
    BAD_REPLY    halved, at once                asked again at once, `max_asks`     -         -
                                                times, then "invalid_answer"
    TIMEOUT      backs off, divided so that     backs off; dead letter "timeout"    counted   -
                 each is alone by its last      after `max_attempts`
    CLIENT       as TIMEOUT                     as TIMEOUT, code "client_error"     counted   -
    RETRY        again as it was after_s later  the same                            -         -

What may befall everybody has a row for each verdict (`Blame`, given by `core/verdict.py`):

    ACCOUNT, SERVER, CONNECTION, THROTTLED
      everybody's  again as it was              again                               -         pauses
      unclear      backs off by itself          backs off by itself                 -         -
      the items'   halved, at once              backs off; dead letter after        counted   -
                                                `max_attempts`
    THROTTLED
      unclear      again as it was              again                               -         pauses

    "Halved" ends with three one by one (`streams.policies.splitting`).

    + where `Limits.function_errors` is "counted": the caller of `map_batches` says how often to
      try. In a topic an error of a function is final at once: the function raises `Retry` if the
      error may pass.

Where nothing may be split (`Limits.split` False), what the table halves or divides stays whole,
and a final failure is the outcome of every item of the call.

Waits are those of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015):
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
A longer wait that the API asks for counts instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from math import isfinite
from typing import Literal, NamedTuple

from streams.errors import Fault

MAX_WAIT_S = 3600.0
"""The longest wait that the API's word brings about: a mistaken header must not stop an account or
an item for good."""


class Step(Enum):
    """What happens to the microbatch of a failed call."""

    HALVE = "halved at once; alone: a dead letter"
    HALVE_THEN_COUNT = "halved at once; alone: a counted attempt, backs off"
    ISOLATE = "the same, and the call says nothing about the account"
    ASK = "halved at once; alone: asked again at once, max_asks times"
    COUNT = "a counted attempt: backs off, divided"
    BACK_OFF = "backs off by itself, not counted"
    PAUSE = "the task pauses; again as it was"
    WAIT = "waits as long as it asked to; again as it was"


class Cause(StrEnum):
    """Why a task pauses; what `Paused.reason` says."""

    THROTTLED = "throttled"  # 429, 529
    OUTAGE = "outage"  # no connection, or 5xx for everybody
    ACCOUNT = "account"  # 401, 403, spend limits: a person has to do something
    BREAKER = "breaker"  # calls give dead letters and no results (`policies/breaker.py`)


class Blame(Enum):
    """Whose a failure is that may befall everybody."""

    EVERYBODY = "the account's"
    TASK = "the task's: its parameters, which no call of it has got through with"
    UNCLEAR = "the account's or the items'"
    ITEMS = "the items' of the call"


class Rule(NamedTuple):
    step: Step
    cause: Cause | None = None


RULES: dict[Fault, Rule] = {
    Fault.REJECTED: Rule(Step.HALVE),
    Fault.REFUSED: Rule(Step.HALVE),
    Fault.TOO_LARGE: Rule(Step.HALVE),
    Fault.FUNCTION: Rule(Step.HALVE),
    Fault.TRUNCATED: Rule(Step.HALVE),
    Fault.BAD_REPLY: Rule(Step.ASK),
    Fault.TIMEOUT: Rule(Step.COUNT),
    Fault.CLIENT: Rule(Step.COUNT),
    Fault.SERVER: Rule(Step.PAUSE, Cause.OUTAGE),
    Fault.CONNECTION: Rule(Step.PAUSE, Cause.OUTAGE),
    Fault.THROTTLED: Rule(Step.PAUSE, Cause.THROTTLED),
    Fault.ACCOUNT: Rule(Step.PAUSE, Cause.ACCOUNT),
    Fault.RETRY: Rule(Step.WAIT),
}
"""Of a fault with a cause: where it is everybody's."""


FunctionErrors = Literal["final", "counted"]
"""The error of an item for which a function raised alone."""


def rule(
    fault: Fault,
    blame: Blame = Blame.EVERYBODY,
    *,
    function_errors: FunctionErrors = "final",
) -> Rule:
    """The row of the table. `blame`: counts for a fault with a cause."""
    if fault is Fault.FUNCTION and function_errors == "counted":
        return Rule(Step.HALVE_THEN_COUNT)
    found = RULES[fault]
    if found.cause is None or blame in (Blame.EVERYBODY, Blame.TASK):
        return found
    if blame is Blame.ITEMS:
        return Rule(Step.ISOLATE)
    return found if found.cause is Cause.THROTTLED else Rule(Step.BACK_OFF)


def requested_wait_s(retry_after_s: float | None) -> float | None:
    """How long the API asked us to wait; None: it did not ask, or the value makes no sense.

    A header may hold anything: NaN and infinity would never end, a negative time has passed.
    """
    if retry_after_s is None or not isfinite(retry_after_s):
        return None
    return max(0.0, retry_after_s)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits: `base_s` after the first failure, doubling up to `cap_s`.

    `draw` in the methods is a random number in [0, 1), given by the caller.
    """

    base_s: float = 0.5
    cap_s: float = 30.0

    def ceiling_s(self, failures: int) -> float:
        """The longest wait after so many failures in a row (from 1): 0.5, 1, 2, ... 30, 30 s."""
        # The exponent is bounded because a float overflows at 2 ** 1024.
        return min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 64))

    def full_jitter_s(self, failures: int, draw: float) -> float:
        """Anything from 0 to the ceiling: spreads many retries best; for one microbatch."""
        return self.ceiling_s(failures) * draw

    def equal_jitter_s(self, failures: int, draw: float) -> float:
        """From half the ceiling up to it: never hammers; for a pause of the whole task."""
        return self.ceiling_s(failures) * (1 + draw) / 2
