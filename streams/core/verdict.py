"""Whose a failure is that may befall everybody: the rows of `streams.policies.retry` with a `Blame`.

    it is one item that stands out, and so does all   the items'; for a minute after the last answer,
    that is left to call                              or without end if chance hardly explains it
    it is the last item, and failed among others,     the same; it is tried for half a minute
    but not by the account's own word
    the call was the account's probe                  everybody's
    its items failed so before, and a call that       the items' if they stand out, else unclear
    began since then was answered
    a call was answered since it began, or since      unclear
    its items failed last
    none was                                          everybody's

Items stand out if chance does not explain what they met while others were answered (`evidence.py`).

A refusal of the account that others do not meet is the task's, where no call of the task was ever
answered: its schema or its parameters are probably wrong, and its items are not.
"""

from __future__ import annotations

from typing import NamedTuple

from streams.core.account import Seat
from streams.core.call import Call
from streams.core.evidence import Evidence, Suspicion
from streams.policies.retry import Blame, Cause

UNLIKELY = {Cause.THROTTLED: 0.01, Cause.OUTAGE: 0.1, Cause.ACCOUNT: 0.1}
"""Failures that are less likely chance than this are taken for the items'. For a microbatch that
means that it is divided, which costs calls: many, where the account has few."""

HARDLY = 1e-3
"""Without anything else to compare with, as little as this is believed for ever."""

PROVEN = 1e-6
"""A dead letter needs more: at 50 % of random failures one item in a million may be one."""

RECENTLY_S = 60.0
"""For so long after the last answer a failure of an item that is left over is taken for its own."""


class Verdict(NamedTuple):
    """`stands_out`: whether a microbatch is to be divided, whosever the failure is. `proven`:
    whether an item alone may be a dead letter by it. `is_patient`: the next attempt waits long, so
    that an outage of some seconds is over before the last."""

    blame: Blame
    stands_out: bool = False
    proven: bool = True
    is_patient: bool = False


EVERYBODY = Verdict(Blame.EVERYBODY)


def verdict(
    seat: Seat, call: Call, cause: Cause, now: float, *, left_over: bool, task_answered: bool
) -> Verdict:
    """Of a call that has just failed; records it. `left_over`: nothing else is left to call but what
    is suspected itself. `task_answered`: whether any call of the task was answered."""
    account = seat.account
    evidence = account.evidence
    before = 0 if call.suspicion is None else call.suspicion.repeats
    suspicion = call.suspicion = evidence.failed(call.suspicion, cause, account.calls)
    if is_probe := seat.is_probe(call.reservation):
        suspicion.repeats = before  # what was answered before an outage says nothing about it
    again = suspicion.repeats > before
    was_among_others = suspicion.among_others
    stands_out = _stands_out(evidence, suspicion)
    others_answered = again or evidence.answers > (call.answers or 0)
    suspicion.among_others |= others_answered and not is_probe
    if left_over and call.size == 1:
        proven = _is_proven(evidence, suspicion, call) or not evidence.recoveries_since(suspicion)
        recent = now - evidence.answered_at <= RECENTLY_S
        if stands_out and (recent or evidence.chance(suspicion, suspicion.repeats + 1) <= HARDLY):
            return Verdict(Blame.ITEMS, True, proven)
        if was_among_others and recent and cause is Cause.OUTAGE and not is_probe:
            return Verdict(Blame.ITEMS, False, proven, is_patient=True)
    if is_probe:
        return Verdict(Blame.EVERYBODY, stands_out)
    if cause is Cause.ACCOUNT and others_answered and not task_answered:
        return Verdict(Blame.TASK)
    if again and stands_out:
        return Verdict(Blame.ITEMS, True, _is_proven(evidence, suspicion, call))
    return Verdict(Blame.UNCLEAR if others_answered else Blame.EVERYBODY, stands_out)


def _stands_out(evidence: Evidence, suspicion: Suspicion) -> bool:
    if not suspicion.repeats:
        return False
    chance = evidence.chance(suspicion, suspicion.repeats + 1)
    return chance <= min(UNLIKELY[each] for each in suspicion.causes)


def _is_proven(evidence: Evidence, suspicion: Suspicion, call: Call) -> bool:
    """With this failure."""
    faults = max((slot.faults for slot in call.slots), default=0) + 1
    return evidence.chance(suspicion, faults) <= PROVEN
