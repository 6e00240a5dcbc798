"""What becomes of the items of a call that failed, and of answers that a reply left out.

The rules are the table in `streams.policies.retry`; here they are applied to slots. The results
are values: final outcomes, and the retries, each with how long it waits. The items of one
microbatch share their history, so their `faults` are equal, and their `asks` are equal except
where an answer was asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from streams.core.call import Call, CallCause, Slot
from streams.core.limits import Limits
from streams.core.verdict import Verdict
from streams.errors import CallError, Fault, ItemError
from streams.model import Unanswered
from streams.policies.retry import MAX_WAIT_S, RULES, Step, requested_wait_s
from streams.policies.splitting import divide, parts_to_isolate, parts_until_alone

STRIKES_BEFORE_SPLIT = {Fault.THROTTLED: 4}
"""After so many failures in a row (2, if not here) a microbatch is halved where nothing else can
tell whether it is to blame: its healthy half can. Again after twice as many, and so on: in a long
outage few are divided. Where calls are scarce, that is late."""


class Aftermath(NamedTuple):
    """`final`: outcomes. `retries`: microbatches to call again, and the seconds each waits."""

    final: Sequence[tuple[Slot, ItemError]]
    retries: Sequence[tuple[Call, float]]

    @property
    def errors(self) -> list[ItemError]:
        return [error for _, error in self.final]


NOTHING = Aftermath((), ())


class Retries:
    """Applies the rules. `random`: draws from [0, 1) for the jitter."""

    def __init__(self, limits: Limits, random: Callable[[], float]) -> None:
        self._limits = limits
        self._random = random

    def after_failure(
        self,
        call: Call,
        live: list[Slot],
        error: CallError,
        step: Step,
        verdict: Verdict,
        *,
        only: bool,
    ) -> Aftermath:
        """`live`: the call's slots that still have an owner. `only`: nothing else can be called,
        so no other call's answer can tell whose fault it is."""
        if step is Step.HALVE:
            return self._halve(call, live, error)
        if step is Step.ASK:
            return self._ask_whole(call, live, error)
        if step in (Step.HALVE_THEN_COUNT, Step.ISOLATE) and self._may_split(call):
            return self._halve(call, live, error)
        if step in (Step.COUNT, Step.HALVE_THEN_COUNT, Step.ISOLATE):
            return self._count(call, live, error, verdict)
        parts: Sequence[Sequence[Slot]] = [live]
        strikes = call.strikes + 1
        wait_s = 0.0
        if step is Step.WAIT:
            requested_s = requested_wait_s(error.retry_after_s)
            wait_s = 1.0 if requested_s is None else requested_s
        else:
            if step is Step.BACK_OFF:
                wait_s = self._backoff_s(strikes, error)
            if verdict.patience_s and call.suspicion is not None:
                failures = call.suspicion.failures.total()
                own_s = self._limits.backoff.ceiling_s(failures + 1)
                wait_s = max(wait_s, min(own_s, verdict.patience_s))
            if verdict.stands_out or (only and _divides(error.fault, strikes)):
                parts = self._isolating(live)
        retries = self._calls(call, parts, error.fault)
        for retry in retries:
            retry.strikes = strikes
        return Aftermath([], [(retry, wait_s) for retry in retries])

    def after_unanswered(self, call: Call, unanswered: list[tuple[Slot, Unanswered]]) -> Aftermath:
        """A reply left these of its items without an answer; the others' answers stand."""
        if not unanswered:
            return NOTHING
        cut = [slot for slot, why in unanswered if why is Unanswered.CUT]
        asked = [(slot, why) for slot, why in unanswered if why is not Unanswered.CUT]
        if len(asked) == call.size > 1 and call.cause != "ask" and self._limits.split:
            return self._ask_whole(call, [slot for slot, _ in asked], _UNREADABLE)
        again = self._ask_each(asked)
        if not cut:
            return again
        shorter = self._halve_cut(call, cut)
        return Aftermath([*again.final, *shorter.final], [*again.retries, *shorter.retries])

    def _halve(self, call: Call, live: list[Slot], error: CallError) -> Aftermath:
        """Something in the request: halves at once, down to the item that it is."""
        if not self._may_split(call):
            return Aftermath(_all_final(live, error), [])
        retries = self._calls(call, self._isolating(live), error.fault)
        return Aftermath([], [(retry, 0.0) for retry in retries])

    def _halve_cut(self, call: Call, cut: list[Slot]) -> Aftermath:
        """The answer was cut before these: fewer items need a shorter answer."""
        if not self._may_split(call):
            return Aftermath(_all_final(cut, _CUT), [])
        retries = self._calls(call, self._divided(cut, 2), Fault.TRUNCATED)
        return Aftermath([], [(retry, 0.0) for retry in retries])

    def _ask_whole(self, call: Call, live: list[Slot], error: CallError) -> Aftermath:
        """Nothing usable came back: halves at once; what is alone is asked again."""
        if self._may_split(call):
            aftermath = self._halve(call, live, error)
            for retry, _ in aftermath.retries:
                if retry.size == 1:  # alone from now on: its first asking again
                    retry.slots[0].asks += 1
            return aftermath
        if any(slot.asks >= self._limits.max_asks for slot in live):
            return Aftermath(_all_final(live, error), [])
        for slot in live:
            slot.asks += 1
        return Aftermath([], [(_call(live, "ask", error.fault.value), 0.0)] if live else [])

    def _ask_each(self, asked: Sequence[tuple[Slot, Unanswered]]) -> Aftermath:
        """First together in one call, the last time each alone: one that is never answered, or
        that spoils its reply, costs its neighbours nothing."""
        final: list[tuple[Slot, ItemError]] = []
        retries: list[tuple[Call, float]] = []
        together: list[Slot] = []
        reason = Unanswered.MISSING.value
        for slot, why in asked:
            if slot.asks >= self._limits.max_asks:
                final.append((slot, ItemError(why.value, _ASKED.format(slot.asks))))
                continue
            slot.asks += 1
            if slot.asks == self._limits.max_asks and self._limits.split:
                retries.append((_call([slot], "ask", why.value), 0.0))
            else:
                together.append(slot)
                reason = why.value
        if together:
            retries.insert(0, (_call(together, "ask", reason), 0.0))
        return Aftermath(final, retries)

    def _count(self, call: Call, live: list[Slot], error: CallError, verdict: Verdict) -> Aftermath:
        """It may be an item's fault: a counted attempt, in parts that end with each item alone."""
        faults = 0
        for slot in live:
            slot.faults += verdict.attempts
            faults = max(faults, slot.faults)
        left = self._limits.max_attempts - faults
        if error.should_retry is False and RULES[error.fault].cause is not None:
            left = 0  # the API says that the same request will not pass, and it is the item's
        if not live:
            return Aftermath([], [])
        if left <= 0 and verdict.proven and not self._may_split(call):
            return Aftermath(_all_final(live, error), [])
        parts = self._divided(live, parts_until_alone(len(live), left))
        retries = self._calls(call, parts, error.fault)
        return Aftermath([], [(retry, self._backoff_s(faults, error)) for retry in retries])

    def _backoff_s(self, failures: int, error: CallError) -> float:
        """How long a microbatch waits by itself."""
        requested_s = requested_wait_s(error.retry_after_s) or 0.0
        own_s = self._limits.backoff.full_jitter_s(failures, self._random())
        return max(own_s, min(requested_s, MAX_WAIT_S))

    def _may_split(self, call: Call) -> bool:
        return call.size > 1 and self._limits.split

    def _isolating(self, slots: Sequence[Slot]) -> Sequence[Sequence[Slot]]:
        return self._divided(slots, parts_to_isolate(len(slots)))

    def _divided(self, slots: Sequence[Slot], parts: int) -> Sequence[Sequence[Slot]]:
        if not slots or not self._limits.split:
            return [slots]
        return divide(slots, parts)

    def _calls(self, call: Call, parts: Sequence[Sequence[Slot]], fault: Fault) -> list[Call]:
        """One call per part: the first is the retry, the others are what dividing adds."""
        retries: list[Call] = []
        for part in parts:
            if part:
                retry = _call(part, "split" if retries else "retry", fault.value)
                retry.answers, retry.results = call.answers, call.results
                retry.suspicion, retry.strikes = call.suspicion, call.strikes
                if len(parts) > 1 and call.suspicion is not None:
                    retry.suspicion = call.suspicion.of_a_part()
                retries.append(retry)
        return retries


def within(call: Call, max_items: int) -> list[Call]:
    """The repeated call in parts of so many items or fewer, all as it is; itself if it fits."""
    if call.size <= max_items:
        return [call]
    parts = []
    for start in range(0, call.size, max_items):
        part = Call(
            call.slots[start : start + max_items], "split" if start else call.cause, call.reason
        )
        part.failed_at, part.due_at = call.failed_at, call.due_at
        part.answers, part.results, part.strikes = call.answers, call.results, call.strikes
        if call.suspicion is not None:
            part.suspicion = call.suspicion.of_a_part()
        parts.append(part)
    return parts


def _divides(fault: Fault, strikes: int) -> bool:
    is_power_of_two = strikes & (strikes - 1) == 0
    return strikes >= STRIKES_BEFORE_SPLIT.get(fault, 2) and is_power_of_two


_CUT = CallError(Fault.TRUNCATED, "the answer was cut at the model's limit of tokens")
_ASKED = "no usable answer after asking again {} times"
_UNREADABLE = CallError(Fault.BAD_REPLY, "no item of the reply could be used")


def _call(slots: Sequence[Slot], cause: CallCause, reason: str) -> Call:
    return Call(list(slots), cause, reason)


def _all_final(slots: list[Slot], error: CallError) -> list[tuple[Slot, ItemError]]:
    return [(slot, error.item_error()) for slot in slots]
