"""Callers who no longer want an outcome: their items leave wherever they are.

waiting ──► out of its window        in flight ──► the call goes on for the others, or is cancelled
retrying ─► out of its retry         answered ──► nothing: the outcome is on its way
"""

from __future__ import annotations

from collections.abc import Sequence

from streams.core.admission import Admission
from streams.core.call import Slot, State
from streams.core.order import by_lane
from streams.core.windows import Windows

_WITHOUT_OUTCOME = (State.WAITING, State.IN_FLIGHT, State.RETRYING)


def withdraw(
    slots: Sequence[Slot], windows: Windows, admission: Admission
) -> tuple[int, list[str]]:
    """Takes these slots out, all of lanes in order "none". Returns the bytes of memory they took,
    and the ids of the calls to cancel."""
    gone = [slot for slot in slots if slot.state in _WITHOUT_OUTCOME]
    waiting = [slot for slot in gone if slot.state is State.WAITING]
    memory = 0
    for lane, group in by_lane(gone).items():
        memory += lane.withdraw(group)
    windows.withdraw([slot for slot in waiting if not slot.home.halted])
    calls = admission.drop(set(gone)) if len(gone) > len(waiting) else []
    return memory, calls
