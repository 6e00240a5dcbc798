"""Whose a failure is that may befall everybody: the `Blame` for `streams.policies.retry`.

    it is one item that stands out, or failed again  the items'
    15 minutes after the last answer; and all that
    is left to call is suspected, too
    it is the last item, and others were answered    the items' after half a minute, for a minute
    while it failed before (not: was refused)        after the last answer; until then unclear
    the call was the account's probe                 everybody's
    its items failed so before, and a call that      the items' if they stand out, else unclear
    began since then was answered
    a call was answered since it began, or since     unclear
    its items failed last
    none was                                         everybody's

Items stand out if chance does not explain what they met while others were answered (`evidence.py`).

A refusal of the account is the task's where no call of the task was ever answered, and others' are:
its schema or its parameters are probably wrong, and its items are not.
"""

from __future__ import annotations

from typing import NamedTuple

from streams.core.call import Call
from streams.core.evidence import Evidence, Suspicion
from streams.core.seat import Seat
from streams.policies.retry import Blame, Cause

UNLIKELY = 1 / 8
"""Failures that are less likely chance than this are taken for the items'. For a microbatch that
means that it is divided, which costs calls."""

UNLIKELY_THROTTLED = 1 / 50
UNLIKELY_LIMITED = 1e-4
"""The same of a 429: calls may be scarce. Where others have met one and then passed, they are."""

HARDLY = 1e-3
"""A 429 makes a dead letter only if chance is less than this, whatever `max_attempts` is."""

PROVEN = 1e-6
"""A dead letter needs more where such failures pass: at 50 % of them one item in a million may be
one."""

PATIENCE_S = 30.0
"""An item that was seen to fail again among others once, or never, is tried for so long: an outage
of some seconds may have begun with it."""

LONELY_S = 900.0
"""After so long without an answer to anybody, what speaks against the last item is enough, however
little: limits pass sooner, and what waits behind it may keep others out."""

RECENTLY_S = 60.0
"""For so long after the last answer a failure of an item that is left over is taken for its own."""


class Verdict(NamedTuple):
    """`stands_out`: whether a microbatch is to be divided, whosever the failure is. `proven`:
    whether an item alone may be a dead letter by it. `attempts`: how many it counts for: with those
    before that were unclear. `patience_s`: for so long it is tried before it
    counts, and waits longer between."""

    blame: Blame
    stands_out: bool = False
    proven: bool = True
    attempts: int = 1
    patience_s: float = 0.0


EVERYBODY = Verdict(Blame.EVERYBODY)


def verdict(seat: Seat, call: Call, cause: Cause, now: float, *, left_over: bool) -> Verdict:
    """Of a call that has just failed; records it. `left_over`: nothing is left to call but what is
    suspected itself."""
    account = seat.account
    evidence = account.evidence
    before = 0 if call.suspicion is None else call.suspicion.repeats
    suspicion = call.suspicion = evidence.failed(call.suspicion, cause, account.calls, now)
    if is_probe := seat.is_probe(call.reservation):
        # What was answered before an outage says nothing about it.
        suspicion.repeats, suspicion.last_call = before, account.calls
    again = suspicion.repeats > before
    was_among_others = suspicion.among_others
    stands_out = _stands_out(evidence, suspicion)
    others_answered = again or evidence.answers > (call.answers or 0)
    suspicion.among_others |= others_answered and not is_probe
    if again and stands_out:
        return _the_items(evidence, suspicion, call)
    if left_over and call.size == 1:
        alone_s = now - evidence.answered_at
        weak = was_among_others and cause is Cause.OUTAGE and not is_probe and alone_s <= RECENTLY_S
        if stands_out or weak or (suspicion.repeats and alone_s >= LONELY_S):
            left_s = suspicion.began_at + PATIENCE_S - now
            if suspicion.repeats > 1 or left_s <= 0:
                return _the_items(evidence, suspicion, call)
            suspicion.unclear += cause is not Cause.THROTTLED
            return Verdict(Blame.UNCLEAR, stands_out, patience_s=left_s)
    if is_probe or not others_answered:
        return Verdict(Blame.EVERYBODY, stands_out)
    suspicion.unclear += cause is not Cause.THROTTLED
    return Verdict(Blame.UNCLEAR, stands_out)


def _the_items(evidence: Evidence, suspicion: Suspicion, call: Call) -> Verdict:
    attempts, suspicion.unclear = 1 + suspicion.unclear, 0
    faults = attempts + max((slot.faults for slot in call.slots), default=0)
    passes = any(evidence.has_recovered(cause) for cause in suspicion.causes)
    most = HARDLY if Cause.THROTTLED in suspicion.causes else 1.0
    proven = evidence.chance(suspicion, faults) <= (PROVEN if passes else most)
    return Verdict(Blame.ITEMS, True, proven, attempts)


def _stands_out(evidence: Evidence, suspicion: Suspicion) -> bool:
    if not suspicion.repeats:
        return False
    chance = evidence.chance(suspicion, suspicion.repeats + 1)
    if Cause.THROTTLED not in suspicion.causes:
        return chance <= UNLIKELY
    limited = evidence.has_recovered(Cause.THROTTLED)
    return chance <= (UNLIKELY_LIMITED if limited else UNLIKELY_THROTTLED)
