"""Writes an embedding into a result: as numbers or as base64.

Inside the process a vector is the little-endian float32 bytes that the API sent, under the key
`embedding_f32`: 4 bytes a number, where a list of floats takes 32.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from functools import cache
from math import isfinite, sqrt
from operator import mul
from typing import Any, Literal

import orjson

VECTOR = "embedding_f32"
"""The key of a result under which a vector travels, as bytes."""

NO_VECTOR = "the embedding is no sequence of float32 bytes"

_SMALLEST_NORMAL = 2.0**-126

Layout = Literal["floats", "base64"]


def render_vector(vector: bytes, layout: Layout) -> bytes:
    """The result as JSON: `{"embedding": [...], "dim": n}` or `{"embedding_b64": "...", "dim": n}`.

    Each number is the shortest decimal that reads back as the same float32 (0.1, where the double
    of that float32 is 0.10000000149011612). Raises ValueError for bytes that are not whole numbers,
    or hold NaN or infinity, which JSON cannot.
    """
    if not isinstance(vector, bytes) or len(vector) % 4:
        raise ValueError(NO_VECTOR)
    if layout == "base64":
        if not _is_finite(vector):
            raise ValueError("the embedding holds NaN or infinity")
        text = binascii.b2a_base64(vector, newline=False)
        return b'{"embedding_b64":"%b","dim":%d}' % (text, len(vector) // 4)
    return b'{"embedding":%b,"dim":%d}' % (vector_numbers(vector), len(vector) // 4)


def vector_numbers(vector: bytes) -> bytes:
    """The numbers alone, as a JSON array. Raises ValueError for NaN or infinity."""
    numbers = _numbers(vector)
    if b"n" in numbers:  # null, nan or inf; no finite number has the letter
        raise ValueError("the embedding holds NaN or infinity")
    return numbers


@cache
def _numpy() -> Any:
    """numpy, where it is installed, as it is with every provider of embeddings: 20 times as fast
    (25 us for 1,024 numbers), and the numbers are the same without it."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def cosine_distance(one: bytes, other: bytes) -> float:
    """1 minus the cosine of the angle between two vectors, 0 to 2. Of a vector of zeros, which has
    no direction: 1. Raises ValueError where the two have different dimensions."""
    if len(one) != len(other):
        raise ValueError("vectors of different dimensions have no distance")
    if one == other:
        return 0.0
    if numpy := _numpy():
        a, b = (numpy.frombuffer(each, "<f4").astype("f8") for each in (one, other))
        product, squares = float(a @ b), float((a @ a) * (b @ b))
    else:
        x, y = _floats(one), _floats(other)
        product = sum(map(mul, x, y))
        squares = sum(map(mul, x, x)) * sum(map(mul, y, y))
    return min(max(1 - product / sqrt(squares), 0.0), 2.0) if squares else 1.0


def vector_of(result: Any) -> bytes | None:
    """The vector in a result that `render_vector` has written, parsed; None: it has none."""
    try:
        if "embedding_b64" in result:
            vector = binascii.a2b_base64(result["embedding_b64"], strict_mode=True)
        else:
            floats = array("f", result["embedding"])
            if sys.byteorder == "big":
                floats.byteswap()
            vector = floats.tobytes()
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return vector if vector and len(vector) == 4 * result.get("dim", 0) else None


def _is_finite(vector: bytes) -> bool:
    if numpy := _numpy():
        return bool(numpy.isfinite(numpy.frombuffer(vector, "<f4")).all())
    # A sum of finite float32 cannot overflow a double, and NaN and infinity survive in one.
    return isfinite(sum(_floats(vector)))


def _numbers(vector: bytes) -> bytes:
    if numpy := _numpy():
        floats = numpy.frombuffer(vector, "<f4")
        if sys.byteorder == "big":
            floats = floats.astype("=f4")
        return orjson.dumps(floats, option=orjson.OPT_SERIALIZE_NUMPY)
    return numbers_without_numpy(vector)


def _floats(vector: bytes) -> array[float]:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def numbers_without_numpy(vector: bytes) -> bytes:
    """A JSON array of the vector's numbers, each with the fewest digits that a float32 needs."""
    return b"[%b]" % ",".join(map(_shortest, _floats(vector))).encode()


def _shortest(number: float) -> str:
    # Six digits are safe in every normal float32; the subnormal ones have fewer.
    for digits in range(6 if abs(number) >= _SMALLEST_NORMAL else 1, 9):
        text = f"{number:.{digits}g}"
        if array("f", [float(text)])[0] == number:
            return text
    return f"{number:.9g}"  # always enough for a float32
