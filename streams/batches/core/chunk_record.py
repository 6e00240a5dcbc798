"""A chunk: the stretch of the input that is in memory at a time, and what is remembered of it.

    {"ranges":[[0,0,29999]],"calls":["<ranges>"],"items":30000,"tokens":812345,"live":false,
     "rounds":[{"requests":1500,"planned_at_ms":...,"cost":...,"batch":"msgbatch_..","ended":true}],
     "state":"ended","sums":null}

Its record is written before its batch is created (`planned`: there may be a batch), after that
(`submitted`), when the batch has `ended`, when nothing is left to ask (`read`), and when its
outcomes are durable at their door (`emitted`). The requests of its first round are in it, as ranges
of sequence numbers; those of later rounds follow from the results.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import orjson

from streams.batches.batch_door import Cursor, LaneRange
from streams.core.call import Call, Slot
from streams.core.ranges import Range, pack, unpack
from streams.model import added

CHUNK_KEY = "chunk-"
LIVE_KEY = "live-"


@dataclass(slots=True)
class Round:
    """One batch of a chunk. `cost`: expected, in nano-dollars; None: not known. `batch`: None: not
    known to be created. `ended`: its results can be read; `unanswered`: requests that it has no
    message for. `abandoned`: its results do not count: it was never created, or was not back in
    time."""

    requests: int
    planned_at_ms: int
    cost: int | None = None
    batch: str | None = None
    ended: bool = False
    unanswered: int = 0
    abandoned: bool = False


class Sums(NamedTuple):
    """What became of a chunk's items. `vanished`: gone from the input before their outcome could be
    written. `live_items`: those answered by live calls. `calls`: requests in batches, and live
    calls that answered. Tokens and nano-dollars: of all their calls, each counted once; None: not
    known."""

    items: int = 0
    results: int = 0
    dead_letters: int = 0
    drops: int = 0
    vanished: int = 0
    live_items: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int | None = 0

    def plus(self, other: Sums) -> Sums:
        sums = Sums(*(one + another for one, another in zip(self[:-1], other[:-1], strict=True)))
        return sums._replace(cost_nano_usd=added(self.cost_nano_usd, other.cost_nano_usd))


@dataclass(slots=True)
class Chunk:
    """`ranges`: that it covers. `calls`: of each of them the packed ranges of its first requests.
    `items`: how many it has. `tokens`: of its first round's requests, estimated. `live`: no more
    batches: what is left goes through live calls. `sums`: once it is `read`."""

    number: int
    ranges: list[LaneRange]
    calls: list[str]
    items: int
    tokens: int
    rounds: list[Round] = field(default_factory=list)
    live: bool = False
    state: str = "planned"
    sums: Sums | None = None

    @property
    def key(self) -> str:
        return f"{CHUNK_KEY}{self.number}"

    @property
    def last(self) -> Round | None:
        """Its latest batch; None: it has none."""
        return self.rounds[-1] if self.rounds else None

    @property
    def current(self) -> Round:
        """The same of a chunk that has one."""
        return self.rounds[-1]

    @property
    def waits_for_creation(self) -> bool:
        """Whether its last batch is planned, and no batch is known."""
        last = self.last
        return last is not None and last.batch is None and not last.abandoned

    @property
    def requests(self) -> int:
        """How many were in its batches."""
        return sum(each.requests for each in self.rounds if each.batch is not None)

    @property
    def end(self) -> Cursor:
        lane, _, last = self.ranges[-1]
        return Cursor(lane, last)

    def record(self) -> bytes:
        """What is remembered. An emitted chunk is its end, its batches and its sums."""
        emitted = self.state == "emitted"
        facts = {
            "ranges": [list(each) for each in self.ranges[-1 if emitted else 0 :]],
            "calls": [] if emitted else self.calls,
            "items": self.items,
            "tokens": self.tokens,
            "rounds": [asdict(each) for each in self.rounds],
            "live": self.live,
            "state": self.state,
            "sums": None if self.sums is None else list(self.sums),
        }
        return orjson.dumps(facts)

    @classmethod
    def read(cls, key: str, value: bytes) -> Chunk:
        facts: dict[str, Any] = orjson.loads(value)
        facts["ranges"] = [LaneRange(*each) for each in facts["ranges"]]
        facts["rounds"] = [Round(**each) for each in facts["rounds"]]
        facts["sums"] = None if facts["sums"] is None else Sums(*facts["sums"])
        return cls(number=int(key.removeprefix(CHUNK_KEY)), **facts)


def packed_calls(calls: Sequence[Call]) -> str:
    """The requests of one lane as ranges of sequence numbers."""
    ranges = [(call.slots[0].seq, call.slots[-1].seq) for call in calls]
    return b64encode(pack(0, ranges)).decode()


def unpacked_calls(text: str) -> list[Range]:
    return unpack(0, b64decode(text))


def covers(slots: Sequence[Slot]) -> list[LaneRange]:
    """The ranges of slots that come lane by lane, in order."""
    ranges: list[LaneRange] = []
    for slot in slots:
        lane = slot.lane
        assert isinstance(lane, int)
        if ranges and ranges[-1].lane == lane:
            ranges[-1] = ranges[-1]._replace(last=slot.seq)
        else:
            ranges.append(LaneRange(lane, slot.seq, slot.seq))
    return ranges
