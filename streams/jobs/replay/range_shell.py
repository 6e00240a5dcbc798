"""The task of a live replay: the worker's task, with what only a replay needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from streams.core.call import Call, Slot
from streams.core.events import Flush, LimitsChanged, Resume
from streams.core.ranges import Range, joined
from streams.model import DROP, RateLimits
from streams.running.call_task import Ended
from streams.running.tally import OK
from streams.worker.partition import Partition
from streams.worker.task import TaskShell


class DropNotes:
    """Positions whose outcome is a drop: they leave nothing in a topic, so the run's state has to
    name them. `changed`: partitions with some that `ranges` did not have at its last call."""

    def __init__(self, ranges: Mapping[int, Sequence[Range]]) -> None:
        self._ranges = {partition: list(found) for partition, found in ranges.items()}
        self._new: defaultdict[int, set[int]] = defaultdict(set)

    def add(self, partition: int, offsets: Iterable[int]) -> None:
        self._new[partition].update(offsets)

    @property
    def changed(self) -> list[int]:
        return sorted(self._new)

    def ranges(self, partition: int) -> list[Range]:
        """All of them, in order and apart from each other."""
        fresh = [(offset, offset) for offset in sorted(self._new.pop(partition, ()))]
        known = self._ranges.get(partition, [])
        found = self._ranges[partition] = joined(0, known, fresh) if fresh else known
        return found


class RangeShell(TaskShell):
    """`drops`: takes those of this process. `on_call_ended`: called after each call."""

    def __init__(
        self,
        *arguments: Any,
        drops: DropNotes,
        on_call_ended: Callable[[], None],
        **keywords: Any,
    ) -> None:
        self._drops = drops
        self._on_call_ended = on_call_ended
        self._flushing = False
        self._holding: set[str] = set()
        super().__init__(*arguments, **keywords)
        self._limits = {"task": self.parts.limits.max_in_flight}

    def delivered(self, partition: Partition, slots: Sequence[Slot]) -> None:
        if dropped := [slot.seq for slot in slots if slot.outcome is DROP]:
            self._drops.add(partition.where.partition, dropped)
        super().delivered(partition, slots)

    def flush(self) -> None:
        """Nothing more arrives: windows need not wait."""
        self._flushing = True
        if not self.held:
            self._runner.handle(Flush())

    @property
    def held(self) -> bool:
        """Whether no new microbatch begins."""
        return bool(self._holding)

    def hold(self, why: str) -> None:
        """Begin no new microbatch until `go_on(why)`, too; calls in flight and their retries go
        on."""
        if not self._holding:
            self.halt()
        self._holding.add(why)

    def go_on(self, why: str) -> None:
        if why not in self._holding:
            return
        self._holding.discard(why)
        if not self._holding:
            self._runner.handle(Resume())
            if self._flushing:
                self._runner.handle(Flush())

    def limit(self, why: str, max_in_flight: int | None) -> None:
        """Make at most so many calls at once from now on; None: as far as `why` goes, any number.
        The least of all counts."""
        before = min(self._limits.values())
        self._limits.pop(why, None)
        if max_in_flight is not None:
            self._limits[why] = max_in_flight
        now = min(self._limits.values())
        if now != before:
            self._runner.handle(LimitsChanged(max_in_flight=now))

    @property
    def in_flight(self) -> int:
        return self._runner.in_flight

    def _record(self, call: Call, slots: Sequence[Slot], event: Ended) -> None:
        super()._record(call, slots, event)
        self._on_call_ended()

    @property
    def rate_limits(self) -> RateLimits | None:
        """What the API said last about the account's limits."""
        return self._engine.admission.seat.account.rate_limits

    @property
    def mean_call_s(self) -> float | None:
        """What a call takes that is answered; None: none was."""
        tally = self.call_tally
        answered = tally.by_status[OK]
        return tally.answered_calls_s / answered if answered else None
