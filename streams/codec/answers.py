"""The call ledger: paid answers, so that nobody pays for them again after a crash.

One record per item and answer, in topic `{worker id}.{source}.ledger`, in the source's partition:

    key     reviews/3/1041/5f1d7a84db00d2fc        the item's position, the task's fingerprint
    value   {"item":CRC,"batch":ID,"index":0,"size":20,"calls":1,"input_tokens":61,
             "output_tokens":9,"cost_nano_usd":10600,"result":{"label":"positive"}}

The last member is the outcome: `result` (its JSON, byte for byte as the sink gets it), `vector`
(base64 of little-endian float32), `error` (code and message of a dead letter) or `dropped`. With
the other members it gives the same record as without the crash, except for the time of processing.
`item`: a checksum of the item's value and text, so that another item never gets the answer, even if
the topic or the task's `text` has changed.

Missing answers (`Unanswered`) are not outcomes and are not recorded.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from streams.codec.results import written
from streams.codec.vectors import NO_VECTOR, VECTOR
from streams.core.call import Call, Slot, State
from streams.errors import ItemError
from streams.model import DROP, Answer, Item, Unanswered

RETENTION_MS = 24 * 3_600_000

TOPIC_SETTINGS = (
    ("cleanup.policy", "delete"),
    ("retention.ms", str(RETENTION_MS)),
    ("retention.bytes", "-1"),
    ("segment.ms", str(RETENTION_MS // 24)),  # Kafka deletes only closed segments
)
"""Settings of a ledger topic, whatever the source has."""

RESULT = b',"result":'
MAX_STRETCHES = 1_000
"""Limit of a `Trail`, some 150 bytes each."""

MAX_MESSAGE_CHARACTERS = 1_000
"""Limit of the error message in a dead letter."""


class Entry(NamedTuple):
    """A record of the ledger. `offset`: the item's."""

    offset: int
    key: bytes
    value: bytes


# -- writing -----------------------------------------------------------------------------------


def paid_slots(call: Call, slots: Sequence[Slot], answers: Sequence[Answer]) -> list[Slot]:
    """The slots of a call that have their outcome from it, after the engine knows how it ended.
    `answers`: of its reply; empty if it failed.

    The engine has dropped a slot whose lane was closed, but its answer is paid: it gets its outcome
    here.
    """
    found = []
    answers = answers if len(answers) == len(slots) else ()
    for slot, answer in zip(slots, answers or (Unanswered.MISSING,) * len(slots), strict=True):
        if slot.call is call:
            found.append(slot)
        elif slot.state is State.DROPPED and answer.__class__ is not Unanswered:
            slot.outcome, slot.call = answer, call
            found.append(slot)
    return found


def entry(slot: Slot, fingerprint: str) -> Entry:
    """The record of a slot that has its outcome. Never raises, whatever the outcome holds."""
    item = slot.item
    return Entry(item.offset, key(item, fingerprint), answer_value(slot))


def answer_value(slot: Slot) -> bytes:
    """The record's value; its item needs nothing but a text. Never raises."""
    call = slot.call
    assert call is not None
    return (
        b'{"item":%d,"batch":%b,"index":%d,"size":%d,"calls":%d,"input_tokens":%d,'
        b'"output_tokens":%d,"cost_nano_usd":%b%b}'
    ) % (
        checksum(slot.item),
        orjson.dumps(call.id),
        slot.index,
        call.size,
        slot.calls,
        slot.input_tokens,
        slot.output_tokens,
        b"null" if slot.cost_nano_usd is None else b"%d" % slot.cost_nano_usd,
        _outcome(slot.outcome),
    )


def key(item: Item, fingerprint: str) -> bytes:
    return f"{item.topic}/{item.partition}/{item.offset}/{fingerprint}".encode()


def checksum(item: Any) -> int:
    """Of a record's value and text; of an item that is no record, its text."""
    raw = getattr(item, "raw", None) or b""
    return crc32(item.text.encode("utf-8", "surrogatepass"), crc32(raw))


def _outcome(outcome: Any) -> bytes:
    if outcome is DROP:
        return b',"dropped":true'
    if not isinstance(outcome, ItemError):
        try:
            if type(outcome) is dict and VECTOR in outcome:
                return b',"vector":"%b"' % b64encode(outcome[VECTOR])
            return RESULT + written(outcome)
        except TypeError:
            outcome = ItemError("invalid_result", NO_VECTOR)
        except ItemError as error:  # the dead letter that it will be
            outcome = error
    facts = {"code": outcome.code, "message": _sendable(outcome.message)}
    return b',"error":%b' % orjson.dumps(facts)


def _sendable(text: object) -> str:
    """As a dead letter's headers carry it: cut, and without lone surrogates."""
    return str(text)[:MAX_MESSAGE_CHARACTERS].encode("utf-8", "replace").decode()


# -- reading -----------------------------------------------------------------------------------


class Keys:
    """Finds the records of a ledger partition that answer the items of a task as it is now."""

    def __init__(self, topic: str, partition: int, fingerprint: str) -> None:
        self._head = f"{topic}/{partition}/".encode()
        self._tail = f"/{fingerprint}".encode()

    def offset(self, key: bytes | None) -> int | None:
        """The offset of the answered item; None: not an answer of this task, or one of another
        prompt, model or version."""
        if key is None or not key.startswith(self._head) or not key.endswith(self._tail):
            return None
        number = key[len(self._head) : -len(self._tail)]
        return int(number) if number.isdigit() else None


def restore(slot: Slot, value: bytes) -> bool:
    """Give a new slot the outcome, microbatch, calls and usage of a record.

    False, and the slot is unchanged: the answer is another item's, or not of our form.
    """
    try:
        facts, outcome = _parts(value)
        if facts["item"] != checksum(slot.item):
            return False
        call = Call([], "new", "ledger")
        call.id, call.size = str(facts["batch"]), int(facts["size"])
        names = ("index", "calls", "input_tokens", "output_tokens")
        numbers = [int(facts[name]) for name in names]
        cost = None if facts["cost_nano_usd"] is None else int(facts["cost_nano_usd"])
    except (ValueError, LookupError, TypeError, binascii.Error):
        return False
    slot.outcome, slot.call = outcome, call
    slot.index, slot.calls, slot.input_tokens, slot.output_tokens = numbers
    slot.cost_nano_usd = cost
    return True


def _parts(value: bytes) -> tuple[dict[str, Any], Any]:
    """The facts and the outcome. The result's bytes stay as they are: a JSON reader could write the
    same value in another way."""
    place = value.find(RESULT)  # no earlier string can hold this: its quotes would be escaped
    if place >= 0:
        return orjson.loads(value[:place] + b"}"), orjson.Fragment(value[place + len(RESULT) : -1])
    facts = orjson.loads(value)
    if "vector" in facts:
        return facts, {VECTOR: b64decode(facts["vector"], validate=True)}
    if "error" in facts:
        return facts, ItemError(facts["error"]["code"], facts["error"]["message"])
    return facts, {True: DROP}[facts["dropped"]]


# -- where to begin ----------------------------------------------------------------------------


class Trail:
    """Where the answers of one lane are in its ledger partition, and so from which ledger offset
    its next owner has to read. That offset never passes an answer of an unsettled item.

    `first`: where this owner read from; None: it did not. `end`: the ledger's end at assignment;
    None: unknown. `highest`: the greatest source offset among the answers that this owner read.

    Records from `end` on may be an earlier owner's: it records its calls in flight when they are
    answered. So nothing passes `end` before `bound_late_calls` says which items those can be of.

    The ledger is divided into stretches: where one begins, and the highest source offset in it.
    Behind an item that is never done, neighbours are merged: the next owner reads a little more.
    """

    def __init__(self, first: int | None, end: int | None, highest: int = -1) -> None:
        self._end = first if end is None else end
        self._stretches: deque[list[float]] = deque()  # in order: first ledger offset, highest
        self._late: list[float] | None = None
        if first is not None and highest >= 0:
            self._stretches.append([first, highest])
        if self._end is not None:
            self._late = [self._end, inf]
            self._stretches.append(self._late)

    def add_written(self, first: int, count: int, highest: int) -> None:
        """`count` records of ours begin at ledger offset `first`; `highest` of their items'
        offsets. Called in the ledger's order. `first` is below 0 where the broker no longer knows
        the offset: then it is somewhere behind the records before."""
        if first < 0:
            first = self._end or 0
        last = self._stretches[-1] if self._stretches else None
        if last is None or last is self._late or highest > last[1]:
            self._stretches.append([first, highest])
        self._end = first + count
        if len(self._stretches) > MAX_STRETCHES:
            self._merge()

    def bound_late_calls(self, offset: int) -> None:
        """No earlier owner's call is in flight any more; they were of items below `offset`."""
        if self._late is not None:
            self._late[1] = min(self._late[1], offset - 1)

    def forget_below(self, watermark: int) -> None:
        """Items below the watermark are settled: drop the stretches in front with only these."""
        stretches = self._stretches
        while stretches and stretches[0][1] < watermark:
            stretches.popleft()

    def begin(self, watermark: int) -> int | None:
        """The first ledger offset that may hold an answer of an item at or above this watermark,
        which need not be committed yet; None: unknown. Monotonic in the watermark."""
        for first, highest in self._stretches:
            if highest >= watermark:
                return int(first)
        return self._end

    def _merge(self) -> None:
        """Two neighbours become one, which begins where the first does. The late stretch stays by
        itself: its highest offset is not known yet."""
        merged: deque[list[float]] = deque()
        alone = True  # the last merged stretch has no second half yet
        for stretch in self._stretches:
            last = merged[-1] if merged else None
            if last is None or not alone or self._late is stretch or self._late is last:
                merged.append(stretch)
                alone = True
            else:
                last[1] = max(last[1], stretch[1])
                alone = False
        self._stretches = merged
