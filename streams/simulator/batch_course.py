"""How one Message Batch goes: the settings, and the script's rules for it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streams.simulator.script import Rule
    from streams.simulator.simulator_settings import SimulatorSettings


class Course(NamedTuple):
    """Times in seconds. `takes_s`: until all are answered. `lifetime_s`: open requests expire then.
    `kept_s`: its results go then; both from its creation. `cancel_s`: how long cancelling takes.
    `stalled`: the share of requests that are not answered before the end. `late_s`: how long after
    the end there are no results. `hidden_s`: how long after the end the list alone shows it; None:
    not at all."""

    takes_s: float
    lifetime_s: float
    kept_s: float
    cancel_s: float
    stalled: float = 0.0
    late_s: float = 0.0
    hidden_s: float | None = None


def course_of(settings: SimulatorSettings, rules: Iterable[Rule]) -> Course:
    """The course of one batch. A later rule of a kind replaces an earlier one."""
    course = Course(
        settings.batch_ms / 1000,
        settings.batch_lifetime_ms / 1000,
        settings.batch_kept_ms / 1000,
        settings.batch_cancel_ms / 1000,
    )
    for rule in rules:
        delay_s = rule.delay_ms / 1000
        if rule.fault == "slow_batch":
            course = course._replace(takes_s=delay_s)
        elif rule.fault == "stalled_batch":
            course = course._replace(stalled=rule.share)
        elif rule.fault == "slow_cancel":
            course = course._replace(cancel_s=delay_s)
        elif rule.fault == "late_results":
            course = course._replace(late_s=delay_s)
        elif rule.fault == "hidden_batch":
            course = course._replace(hidden_s=delay_s or math.inf)
    return course
