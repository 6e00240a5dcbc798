"""What a run is, as its state remembers it: pure.

{run}/facts       what it does: set once, when it begins
{run}/progress    how far it is: again and again
{run}/cancel      somebody asks it to give up
{run}/owner       the process that took it last
{run}/drops-{n}   positions of partition n whose outcome is a drop
{run}/...         what batch mode keeps (`streams.batches`)
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, Self

import orjson

from streams.core.ranges import Range, pack, unpack
from streams.errors import StreamsError
from streams.kafka.extents import Extent
from streams.settings import TaskSettings

FACTS, PROGRESS, CANCEL, OWNER, DROPS = "facts", "progress", "cancel", "owner", "drops-"

Mode = Literal["live", "batch"]
RunState = Literal["running", "stopped", "done", "failed", "cancelled"]
OVER: tuple[RunState, ...] = ("done", "failed", "cancelled")
"""A run in one of these states makes no more calls."""

_HOW_ONLY = {"batch", "calls", "limits", "sink", "dead_letter", "name"}
"""Keys of a task that do not change what a result is."""


def new_run_id(now_ms: int) -> str:
    """A name in the alphabet of `custom_id`, in the order of time."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def task_digest(task: TaskSettings) -> str:
    """Changes with whatever makes the results of a task different, beside its fingerprint: where
    its text is, what becomes of tombstones, the order and form of results."""
    described = task.model_dump(mode="json", exclude=_HOW_ONLY)
    return hashlib.sha256(orjson.dumps(described, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """`first`, `until`: as the user wrote them, relative times made absolute. `extents`: the range
    by partition. `sink_starts`, `dead_starts`: where the two topics ended when the run began, by
    partition: its records stand behind. `ledger_starts`: the same of the recorded answers. `where`,
    `share`, `deadline_at_ms`, `max_cost_usd`: None: not given. `digest`: `task_digest`."""

    run: str
    task: str
    mode: Mode
    fingerprint: str
    digest: str
    source: str
    sink: str
    dead_letter: str
    first: str
    until: str
    where: str | None
    share: float | None
    deadline_at_ms: int | None
    max_cost_usd: float | None
    started_at_ms: int
    extents: Mapping[int, Extent]
    sink_starts: Mapping[int, int]
    dead_starts: Mapping[int, int]
    ledger_starts: Mapping[int, int] = field(default_factory=dict)

    def write(self) -> bytes:
        found = asdict(self)
        found["extents"] = {number: tuple(at) for number, at in self.extents.items()}
        return orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def read(cls, value: bytes) -> Self:
        """Raises StreamsError for a run of another version."""
        try:
            found = orjson.loads(value)
            named = {each.name: found[each.name] for each in fields(cls)}
            for name in ("extents", "sink_starts", "dead_starts", "ledger_starts"):
                named[name] = {int(number): at for number, at in found[name].items()}
            named["extents"] = {number: Extent(*at) for number, at in named["extents"].items()}
            return cls(**named)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise StreamsError("the run is of another version of streams") from None

    @property
    def offsets(self) -> int:
        """How many offsets the range has; some may be without a record."""
        return sum(extent.end - extent.first for extent in self.extents.values())


@dataclass(slots=True)
class RunProgress:
    """`items`: of the range, as far as known. `done`: with a durable outcome. `watermarks`: below
    these offsets every position of a partition is done. `ledgers`: from where the recorded answers
    are needed. `counts`: sums of the run's processes, for the summary; a cost of None: not known.
    """

    state: RunState = "running"
    items: int = 0
    done: int = 0
    watermarks: dict[int, int] = field(default_factory=dict)
    ledgers: dict[int, int | None] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)

    def write(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def read(cls, value: bytes | None) -> Self:
        if value is None:
            return cls()
        found = orjson.loads(value)
        for name in ("watermarks", "ledgers"):
            found[name] = {int(number): at for number, at in found[name].items()}
        return cls(**found)

    @property
    def cost_usd(self) -> float | None:
        cost: float | None = self.counts.get("cost_usd", 0.0)
        return cost


def write_ranges(ranges: Sequence[Range]) -> bytes:
    """A few bytes for each range."""
    return b64encode(pack(0, ranges))


def read_ranges(value: bytes) -> list[Range]:
    return unpack(0, b64decode(value))
