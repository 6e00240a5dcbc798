"""The records of the topic through which workers share a limit: what one has, uses and waits for.

    key    {limit}/{worker process}
    value  {"part": 0.25, "per_s": [4.1, 900.0, 80.0], "waits": [true, false, false], "at": 81.3}

The limit's name may have slashes. Kinds are in the order of `streams.policies.demand.KINDS`.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

import orjson

from streams.policies.demand import KINDS
from streams.policies.limit_parts import Word


class LimitRecord(NamedTuple):
    """`limit`: its name, the same in each worker. `worker`: of one process."""

    limit: str
    worker: str
    word: Word


def encode_limit(record: LimitRecord) -> tuple[bytes, bytes]:
    """Key and value."""
    word = record.word
    value = {"part": word.own_part, "per_s": word.per_s, "waits": word.waits, "at": word.at}
    return f"{record.limit}/{record.worker}".encode(), orjson.dumps(value)


def decode_limit(key: bytes | None, value: bytes | None) -> LimitRecord | None:
    """None: it is none of ours."""
    limit, _, worker = (key or b"").decode("utf-8", "replace").rpartition("/")
    try:
        raw = orjson.loads(value or b"")
        per_s = tuple(float(each) for each in raw["per_s"])
        word = Word(float(raw["part"]), per_s, tuple(map(bool, raw["waits"])), float(raw["at"]))
    except (ValueError, TypeError, KeyError):
        return None
    is_sound = 0 < word.own_part <= 1 and all(isfinite(each) and each >= 0 for each in per_s)
    if not (limit and is_sound and len(per_s) == len(word.waits) == len(KINDS)):
        return None
    return LimitRecord(limit, worker, word)
