"""Turns outcomes into records: results for the sink, dead letters for the dead-letter topic.

Whatever an outcome holds, it becomes a record: a result that JSON cannot hold is a dead letter
`invalid_result`, one that cannot be merged `merge_conflict`, and neither touches another item.
Key, headers and timestamp are the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from streams.codec.record_size import record_bytes
from streams.codec.splice import Enrichment, NotAnObjectError
from streams.codec.strict_json import compact, refuse_null, write
from streams.codec.vectors import VECTOR, Layout, render_vector
from streams.errors import ItemError, StageError
from streams.model import DROP, FORWARD, Headers, Item

Mode = Literal["envelope", "merge", "result"]

SinkRecord = tuple[bytes | None, bytes | None, Headers, int | None]
"""`(key, value, headers, timestamp_ms)`; the value None is a tombstone, the timestamp None leaves
it to the broker."""

RUN_HEADER = "streams-replay-run"
"""Names the replay that wrote a record."""

_MESSAGE_BYTES = 1_000
_NANO = 1_000_000_000
_U = ord("u")


class SlotCall(Protocol):
    """The attributes of a microbatch that are read (`streams.core.call.Call`)."""

    @property
    def id(self) -> str: ...
    @property
    def size(self) -> int: ...


class ReleasedSlot(Protocol):
    """The attributes of a released slot that are read (`streams.core.call.Slot`).

    `call`: the one that gave the answer; None if there was no call. `calls`: the calls the item was
    in. Tokens and money are its share of them.
    """

    @property
    def item(self) -> Item: ...
    @property
    def outcome(self) -> Any: ...
    @property
    def call(self) -> SlotCall | None: ...
    @property
    def index(self) -> int: ...
    @property
    def calls(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_nano_usd(self) -> int | None: ...


class Encoded(NamedTuple):
    """`records`: one per slot, in the slots' order; None for an item without a sink record. `dead`:
    the errors of the dead letters among these, by place; the others are drops."""

    records: list[SinkRecord | None]
    dead: dict[int, ItemError]


class Encoder:
    """Encodes the outcomes of one task.

    `model`: None for a custom function, null in the envelope. `mode`: the form of a sink record's
    value: `envelope`, `merge` (the source object with the result spliced in, see
    `streams.codec.splice`) or `result` (bare). `embedding`: how a vector is written (`vectors.py`).
    `run`: that of a replay, whose records say so in headers, with the fingerprint and, of a result,
    the source's position: so any `mode` can be told from older results; "": not a replay.
    """

    def __init__(
        self,
        *,
        task: str,
        model: str | None,
        fingerprint: str,
        mode: Mode = "envelope",
        embedding: Layout = "floats",
        run: str = "",
    ) -> None:
        self._task = task
        self._run_headers: list[tuple[str, bytes | None]] = [
            (RUN_HEADER, run.encode()),
            ("streams-fingerprint", fingerprint.encode()),
        ]
        self._is_replay = bool(run)
        self._encoded_facts = {"task": task, "model": model, "fingerprint": fingerprint}
        self._templates: dict[str, bytes] = {}
        self._call: SlotCall | None = None
        self._call_id = b"null"
        self._embedding: Layout = embedding
        self._enrichment = Enrichment(task)
        self._value: Callable[[ReleasedSlot, int | None, int], bytes] = {
            "envelope": self._envelope,
            "merge": self._merged,
            "result": self._bare,
        }[mode]

    def encode(self, slots: Sequence[ReleasedSlot], now_ms: int) -> Encoded:
        """One record per slot, in order. Never raises, whatever an outcome holds. `now_ms`: the
        time of processing, in ms since the epoch."""
        records: list[SinkRecord | None] = []
        dead: dict[int, ItemError] = {}
        append, value_of = records.append, self._value
        for slot in slots:
            outcome, item = slot.outcome, slot.item
            if outcome is DROP:
                append(None)
            elif isinstance(outcome, ItemError):
                dead[len(records)] = outcome
                append(None)
            else:
                stamp = _timestamp(item)
                try:
                    value = None if outcome is FORWARD else value_of(slot, stamp, now_ms)
                except ItemError as caught:
                    # A new error: the raised one would keep this frame, and all in it, alive.
                    dead[len(records)] = ItemError(caught.code, caught.message)
                    append(None)
                else:
                    headers = self._with_run(item) if self._is_replay else item.headers
                    append((item.key, value, headers, stamp))
        return Encoded(records, dead)

    def _with_run(self, item: Item) -> Headers:
        return [
            *item.headers,
            *self._run_headers,
            ("streams-source-partition", b"%d" % item.partition),
            ("streams-source-offset", b"%d" % item.offset),
        ]

    def _envelope(self, slot: ReleasedSlot, stamp: int | None, now_ms: int) -> bytes:
        item, call, cost = slot.item, slot.call, slot.cost_nano_usd
        result = self._bare(slot, stamp, now_ms)
        try:
            name = orjson.dumps(item.id)
        except TypeError:
            name = _unusual_id(item.id)
        if call is not self._call:  # most have the call of the slot before
            self._call, self._call_id = call, orjson.dumps(call.id) if call else b"null"
        # A format string: only the id and the result need a JSON writer. Half the time.
        return (self._templates.get(item.topic) or self._template(item.topic)) % (
            name,
            result,
            item.partition,
            item.offset,
            b"null" if stamp is None else b"%d" % stamp,
            self._call_id,
            slot.index,
            call.size if call else 0,
            slot.input_tokens,
            slot.output_tokens,
            _dollars(cost),
            slot.calls,
            now_ms,
        )

    def _template(self, topic: str) -> bytes:
        """The envelope with placeholders for the values that differ between items."""
        facts = {**self._encoded_facts, "topic": topic}
        written = {name: orjson.dumps(value).replace(b"%", b"%%") for name, value in facts.items()}
        self._templates[topic] = template = (
            b'{"id":%%b,"task":%(task)b,"result":%%b,"source":{"topic":%(topic)b,'
            b'"partition":%%d,"offset":%%d,"timestamp_ms":%%b},"model":%(model)b,'
            b'"fingerprint":%(fingerprint)b,"batch":{"id":%%b,"index":%%d,"size":%%d},'
            b'"usage":{"input_tokens":%%d,"output_tokens":%%d,"cost_usd":%%b},'
            b'"attempts":%%d,"processed_at_ms":%%d}'
        ) % {name.encode(): value for name, value in written.items()}
        return template

    def _merged(self, slot: ReleasedSlot, stamp: int | None, now_ms: int) -> bytes:
        raw = slot.item.raw
        assert raw is not None  # a tombstone has no result
        try:
            return self._enrichment.splice(raw, self._bare(slot, stamp, now_ms))
        except NotAnObjectError:
            message = "the item has an `enrichment` that is not an object"
            raise ItemError("merge_conflict", message) from None

    def _bare(self, slot: ReleasedSlot, stamp: int | None, now_ms: int) -> bytes:
        outcome = slot.outcome
        if type(outcome) is dict and VECTOR in outcome:
            return self._vector(outcome)
        return written(outcome)

    def _vector(self, outcome: dict[str, Any]) -> bytes:
        try:
            return render_vector(outcome[VECTOR], self._embedding)
        except ValueError as error:
            raise ItemError("invalid_result", str(error)) from None

    def dead_letter(
        self,
        slot: ReleasedSlot,
        error: ItemError,
        now_ms: int,
        *,
        limit_bytes: int | None = None,
    ) -> SinkRecord:
        """The source's key, value and headers unchanged, and what happened as further headers.

        A source may already have headers of these names (a dead letter sent again): of two with one
        name the last is ours. The batch id is empty if the item was in no call, the timestamp if
        the source has none; the message is cut at 1,000 bytes of UTF-8.

        `limit_bytes`: limit of the record, as `record_bytes` counts; None: no limit. A record above
        it loses its value, then the source's headers, then its key, then the error message, as far
        as necessary; a header says so for each of the source's: `streams-value-omitted: <bytes>`,
        `streams-headers-omitted: <count>`, `streams-key-omitted: <bytes>`.
        """
        item = slot.item
        key, value, headers, stamp = item.key, item.raw, item.headers, _timestamp(item)
        facts = self._facts(slot, error, now_ms)
        if limit_bytes is None or record_bytes(key, value, [*headers, *facts]) <= limit_bytes:
            return key, value, [*headers, *facts], stamp
        if value is not None:
            facts.append(("streams-value-omitted", b"%d" % len(value)))
        if record_bytes(key, None, [*headers, *facts]) <= limit_bytes:
            return key, None, [*headers, *facts], stamp
        if headers:
            facts.append(("streams-headers-omitted", b"%d" % len(headers)))
        if key is not None and record_bytes(key, None, facts) > limit_bytes:
            facts.append(("streams-key-omitted", b"%d" % len(key)))
            key = None
        if record_bytes(key, None, facts) > limit_bytes:
            facts[1] = (facts[1][0], b"")
        return key, None, facts, stamp

    def _facts(
        self, slot: ReleasedSlot, error: ItemError, now_ms: int
    ) -> list[tuple[str, bytes | None]]:
        item, call, stamp = slot.item, slot.call, _timestamp(slot.item)
        facts: list[tuple[str, bytes | None]] = [
            ("streams-error-code", error.code.encode()),
            ("streams-error-message", _cut(error.message, _MESSAGE_BYTES)),
            ("streams-source-topic", item.topic.encode()),
            ("streams-source-partition", b"%d" % item.partition),
            ("streams-source-offset", b"%d" % item.offset),
            ("streams-source-timestamp-ms", b"" if stamp is None else b"%d" % stamp),
            ("streams-task", self._task.encode()),
            ("streams-attempts", b"%d" % slot.calls),
            ("streams-batch-id", call.id.encode() if call else b""),
            ("streams-failed-at-ms", b"%d" % now_ms),
        ]
        if self._is_replay:
            facts += self._run_headers
        if isinstance(error, StageError):
            facts.append(("streams-stage", error.stage.encode("utf-8", "replace")))
        return facts


def written(result: Any) -> bytes:
    """A result as JSON. Raises ItemError `invalid_result` if JSON cannot hold it."""
    value = write(result)
    if _U in value and value.find(b"null") >= 0:  # a tenth of what `b"null" in value` costs
        refuse_null(result)
    return value


def _dollars(cost_nano_usd: int | None) -> bytes:
    if not cost_nano_usd:
        return b"null" if cost_nano_usd is None else b"0.0"
    return orjson.dumps(cost_nano_usd / _NANO)


def _unusual_id(value: Any) -> bytes:
    """An id that orjson cannot write: digits beyond 64 bits, a lone surrogate, many levels."""
    try:
        return compact(value, ascii_only=True).encode()
    except (TypeError, ValueError):
        raise ItemError("invalid_result", "the id cannot be written as JSON") from None


def _timestamp(item: Item) -> int | None:
    stamp: int | None = item.timestamp_ms
    return None if stamp is None or stamp < 0 else stamp  # Kafka's "no timestamp" is -1


def _cut(text: object, limit_bytes: int) -> bytes:
    """The text in UTF-8, cut between two characters."""
    encoded = str(text).encode("utf-8", "replace")
    return encoded[:limit_bytes].decode("utf-8", "ignore").encode()
