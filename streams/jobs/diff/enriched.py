"""One result as `diff` sees it, whichever way its task writes results.

    envelope   {"id", "task", "result", "source": {"partition", "offset", ...}, "usage", ...}
    merge      the source object, with {"enrichment": {task: result}}
    result     the bare result

An envelope that our writer has written is taken apart without a JSON parser: what stands behind the
result has a fixed form, and no value of it can be mistaken for that form, since a quotation mark in
a string is escaped. Other envelopes are parsed. Headers of a replay (`streams-source-...`,
`streams-replay-run`, `streams-fingerprint`) say where a result without an envelope comes from.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from streams.codec.results import RUN_HEADER
from streams.codec.strict_json import compact, read
from streams.errors import UsageError
from streams.model import Headers

FINGERPRINT = "streams-fingerprint"
PARTITION, OFFSET = "streams-source-partition", "streams-source-offset"
NANO = 1_000_000_000

_MEMBERS = {"id", "task", "result", "source", "model", "fingerprint", "usage", "processed_at_ms"}
_SOURCE = b',"source":{"topic":"'
_HEAD = re.compile(rb'\{"id":("[^"\\]*+"|[^",{}\[\]]++),"task":"([^"\\]*+)","result":')
_TAIL = re.compile(
    rb',"source":\{"topic":"([^"\\]*+)","partition":(\d++),"offset":(\d++),'
    rb'"timestamp_ms":(\d++|null)\},"model":(?:"[^"\\]*+"|null),"fingerprint":"([^"\\]*+)",'
    rb'"batch":\{"id":(?:"[^"\\]*+"|null),"index":\d++,"size":\d++\},'
    rb'"usage":\{"input_tokens":(\d++),"output_tokens":(\d++),"cost_usd":(null|[-+.0-9eE]++)\},'
    rb'"attempts":\d++,"processed_at_ms":(\d++)\}\Z'
)


class Usage(NamedTuple):
    """An item's share; the cost in nano-dollars, None: not known."""

    input_tokens: int
    output_tokens: int
    cost_nano_usd: int | None


class Enriched(NamedTuple):
    """A result and what is known of it. `partition`, `offset`: of the source record, -1 where
    nothing tells them; `topic`: "" where nothing does. `id`: as JSON; empty for none. `task`,
    `fingerprint`, `run`: "" where nothing tells them; a run of "" is live work. `result`: as JSON.
    `counts`: input tokens, output tokens and dollars in digits, as JSON; None: not known.
    `source_ms`, `done_ms`: in ms since the epoch, when the source record and the result came to be;
    -1: not known."""

    topic: str
    partition: int
    offset: int
    id: bytes
    key: bytes | None
    task: str
    fingerprint: str
    run: str
    result: bytes
    counts: tuple[bytes, bytes, bytes] | None
    source_ms: int
    done_ms: int

    def usage(self) -> Usage | None:
        if self.counts is None:
            return None
        tokens_in, tokens_out, dollars = self.counts
        cost = None if dollars == b"null" else round(float(dollars) * NANO)
        return Usage(int(tokens_in), int(tokens_out), cost)


def enriched(record: Any, task: str | None = None) -> Enriched | None:
    """What a record of a sink says; None: it is no JSON, or no result of the task.

    `task`: whose result to take from an object that has results of several; None: there must be
    one. Raises UsageError where there are more.
    """
    value: bytes = record.value
    at = value.rfind(_SOURCE)
    if at > 0 and (tail := _TAIL.match(value, at)) and (head := _HEAD.match(value)):
        return _of_bytes(record, head, tail)
    try:
        found = read(value)
    except ValueError:
        return None
    if isinstance(found, dict) and found.keys() >= _MEMBERS and isinstance(found["source"], dict):
        try:
            return _of_envelope(record, found)
        except (KeyError, TypeError, ValueError):
            pass  # somebody's own object
    return _without_envelope(record, found, task)


def _of_bytes(record: Any, head: re.Match[bytes], tail: re.Match[bytes]) -> Enriched:
    topic, partition, offset, stamp, fingerprint, tokens_in, tokens_out, cost, now = tail.groups()
    where = int(partition), int(offset)
    run = _run(record.headers, where) if record.headers else ""
    # The tuple itself: this runs four times for every item.
    # fmt: off
    return tuple.__new__(Enriched, (
        topic.decode(), *where, head[1], record.key, head[2].decode(), fingerprint.decode(), run,
        record.value[head.end():tail.start()], (tokens_in, tokens_out, cost),
        -1 if stamp == b"null" else int(stamp), _done_ms(record, int(now)),
    ))
    # fmt: on


def _of_envelope(record: Any, found: dict[str, Any]) -> Enriched:
    source, usage = found["source"], found["usage"]
    where = int(source["partition"]), int(source["offset"])
    counts = _json(usage["input_tokens"]), _json(usage["output_tokens"]), _json(usage["cost_usd"])
    stamp = source.get("timestamp_ms")
    # fmt: off
    made = Enriched(
        str(source["topic"]), *where, _json(found["id"]), record.key, str(found["task"]),
        str(found["fingerprint"]), _run(record.headers, where), _json(found["result"]), counts,
        -1 if stamp is None else int(stamp), _done_ms(record, int(found["processed_at_ms"])),
    )
    # fmt: on
    made.usage()  # raises where these are no numbers
    return made


def _without_envelope(record: Any, found: Any, task: str | None) -> Enriched | None:
    facts = _facts(record.headers)
    result, name = found, b""
    if isinstance(found, dict) and isinstance(found.get("enrichment"), dict):
        task = _only(found["enrichment"], task)
        if task not in found["enrichment"]:
            return None
        result = found["enrichment"][task]
        name = b"" if found.get("id") is None else _json(found["id"])
    run = facts.get(RUN_HEADER, b"").decode("utf-8", "replace")
    # fmt: off
    return Enriched(
        "", *_place(facts), name, record.key, task or "",
        facts.get(FINGERPRINT, b"").decode("utf-8", "replace"), run, _json(result), None,
        # With CreateTime it is the source's own, and nothing says when the result came to be.
        -1 if record.timestamp_type else record.timestamp, _done_ms(record, -1),
    )
    # fmt: on


def _only(enrichment: dict[str, Any], task: str | None) -> str:
    if task is not None:
        return task
    if len(enrichment) == 1:
        return next(iter(enrichment))
    raise UsageError(
        "the records have results of several tasks: name one with --task"
        f" ({', '.join(sorted(enrichment)[:10]) or 'there is none'})"
    )


def _facts(headers: Headers) -> dict[str, bytes]:
    """The last of a name counts: earlier ones are the source's own."""
    return {name: value or b"" for name, value in headers if name.startswith("streams-")}


def _place(facts: dict[str, bytes]) -> tuple[int, int]:
    try:
        return int(facts[PARTITION]), int(facts[OFFSET])
    except (KeyError, ValueError):
        return -1, -1


def _run(headers: Headers, where: tuple[int, int]) -> str:
    """The run that wrote this result. A source record may be the result of another task's replay,
    and its headers are kept; those name another position."""
    facts = _facts(headers)
    return facts.get(RUN_HEADER, b"").decode("utf-8", "replace") if _place(facts) == where else ""


def _done_ms(record: Any, processed_at_ms: int) -> int:
    """When the broker wrote the result, where it says that, else when the task made it."""
    return int(record.timestamp) if record.timestamp_type else processed_at_ms


def _json(value: Any) -> bytes:
    try:
        return compact(value).encode()
    except UnicodeEncodeError:  # a lone surrogate stays an escape
        return compact(value, ascii_only=True).encode()
