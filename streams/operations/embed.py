"""Embedding: one vector per item, in the API's own batch form."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from streams.errors import CallError, Fault
from streams.model import Answer, Item, Unanswered
from streams.operations.exchange import Response, Texts, Vectors
from streams.operations.prompts import without_surrogates


class Embed:
    """Gives each item its vector, as `{"embedding_f32": bytes, "dim": int}`: little-endian float32,
    which the encoder of results renders as the task's output requires.

    `dimension`: None: the model's own. `input_type`: "document", "query" or None.
    """

    answer_room = None

    def __init__(self, dimension: int | None = None, input_type: str | None = None) -> None:
        self._dimension = dimension
        self._input_type = input_type

    def request(self, items: Sequence[Item]) -> Texts:
        texts = [_sendable(item.text) for item in items]
        return Texts(texts, self._input_type, self._dimension)

    def read(self, items: Sequence[Item], response: Response) -> list[Answer]:
        """Vectors are matched by place, since there are no ids: a reply of another length has no
        usable answer. Raises CallError BAD_REPLY, or ACCOUNT if all vectors of a reply have another
        dimension than the task's: then every reply will."""
        vectors = response.vectors if isinstance(response, Vectors) else None
        if not isinstance(vectors, list | tuple):
            raise CallError(Fault.BAD_REPLY, "the reply holds no vectors")
        if len(vectors) != len(items):
            raise CallError(Fault.BAD_REPLY, f"{len(vectors)} vectors came for {len(items)} items")
        answers = [_result(vector) for vector in vectors]
        return answers if self._dimension is None else _of_dimension(self._dimension, answers)

    def describe(self) -> dict[str, Any]:
        settings = {"dimension": self._dimension, "input_type": self._input_type}
        return {"settings": {"operation": "embed", **settings}}


def _sendable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return without_surrogates(text)
    return text


def _of_dimension(dimension: int, answers: list[Answer]) -> list[Answer]:
    wrong = [a for a in answers if isinstance(a, dict) and a["dim"] != dimension]
    if not wrong:
        return answers
    if len(wrong) == len(answers):
        raise CallError(
            Fault.ACCOUNT,
            f"the model answers with {wrong[0]['dim']} dimensions where the task's "
            f"`dimension` is {dimension}",
        )
    return [
        Unanswered.INVALID if isinstance(a, dict) and a["dim"] != dimension else a for a in answers
    ]


def _result(vector: Any) -> Answer:
    data = _float32(vector)
    if not data or len(data) % 4 or not _finite(data):
        return Unanswered.INVALID
    return {"embedding_f32": data, "dim": len(data) // 4}


def _float32(vector: Any) -> bytes:
    """Little-endian float32; empty for an invalid vector."""
    if isinstance(vector, bytes):
        return vector
    if not isinstance(vector, list):
        return b""
    try:
        floats = array("f", vector)
    except (TypeError, OverflowError):
        return b""
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def _finite(data: bytes) -> bool:
    """True where no float32 in `data` is NaN or infinite: none has all bits of its exponent set.

    All lanes at once in one big integer, in half the time of a sum over them: adding one to the
    exponent carries into the sign's bit only where every bit was set.
    """
    exponents, ones, signs = _masks(len(data) // 4)
    return not ((int.from_bytes(data, "little") & exponents) + ones) & signs


@lru_cache(maxsize=32)
def _masks(count: int) -> tuple[int, int, int]:
    return (
        int.from_bytes(b"\x00\x00\x80\x7f" * count, "little"),
        int.from_bytes(b"\x00\x00\x80\x00" * count, "little"),
        int.from_bytes(b"\x00\x00\x00\x80" * count, "little"),
    )
