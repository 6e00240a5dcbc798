"""When the items of records are to be back, on the clock of the engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from streams.codec.call_terms import FlushBys
from streams.core.call import Slot
from streams.running.tally import Tally

logger = logging.getLogger(__name__)


def set_flush_bys(
    slots: Sequence[Slot], found: FlushBys, now: float, tally: Tally, task: str
) -> None:
    """`now`: of the engine's clock. What is no time counts as none: the item is done all the same,
    and nothing is lost."""
    ahead_s = now - time.time()
    for place, at_ms in found.at_ms.items():
        slots[place].flush_by = at_ms / 1000 + ahead_s
    if found.invalid:
        if not tally.invalid_flush_bys:
            where = "/".join(map(str, slots[found.invalid[0]].item.position))
            logger.warning(
                "task %s: the flush_by of %s is no time, and counts as none; later ones are counted"
                " and not logged",
                task,
                where,
            )
        tally.invalid_flush_bys += len(found.invalid)
