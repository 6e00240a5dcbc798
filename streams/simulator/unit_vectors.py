"""Unit vectors of any dimension for texts, and their forms on the wire.

With the encoder: its 512 numbers, cut to 256, or repeated to 1024 and 2048 (which keeps every
cosine as it is), and normalised. Without: numbers drawn from SHAKE-256 of the seed and the text,
which say nothing about meaning.
"""

from __future__ import annotations

import array
import base64
import functools
import hashlib
import importlib
import math
import sys
from collections.abc import Sequence
from typing import Any, Final

from streams.simulator.encoder import Encoder

DTYPES: Final = ("float", "int8", "uint8", "binary", "ubinary")
_LITTLE: Final = sys.byteorder == "little"


@functools.cache
def numpy_if_there() -> Any:
    """numpy, which comes with the extras `offline` and `voyage`; without it (None) hashing is ten
    times slower. Imported at its first use: it takes longer than all the rest."""
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None


async def unit_vectors(
    texts: Sequence[str], dimension: int, encoder: Encoder | None, seed: int
) -> list[array.array[float]]:
    """One float32 vector of length 1 for each text."""
    if encoder is None:
        return [hashed(text, dimension, seed) for text in texts]
    rows = await encoder.vectors(texts)
    return [fitted(rows[text], dimension) for text in texts]


def hashed(text: str, dimension: int, seed: int) -> array.array[float]:
    """The vector of `text` by hash: `dimension` little-endian signed 16-bit numbers out of
    SHAKE-256 of `seed`, a zero byte and the text, divided by their Euclidean length."""
    drawn = hashlib.shake_256(f"{seed}\0{text}".encode("utf-8", "surrogatepass"))
    digest = drawn.digest(2 * dimension)
    numpy = numpy_if_there()
    if numpy is not None and _LITTLE:
        wide = numpy.frombuffer(digest, "<i2").astype("f8")
        return _as_array(wide / math.sqrt(float(wide @ wide)))
    whole = array.array("h", digest)
    if not _LITTLE:
        whole.byteswap()
    length = math.sqrt(sum(number * number for number in whole))
    return array.array("f", [number / length for number in whole])


def fitted(row: Any, dimension: int) -> array.array[float]:
    """An encoder's row cut or repeated to `dimension` numbers, of length 1."""
    repeated = row if dimension == len(row) else numpy_if_there().resize(row, dimension)
    return _as_array(repeated / math.sqrt(float(repeated @ repeated)))


def _as_array(row: Any) -> array.array[float]:
    vector = array.array("f")
    vector.frombytes(row.astype("f4").tobytes())
    return vector


def quantized(vector: array.array[float], dtype: str) -> array.array[Any]:
    """The vector in one of DTYPES. `binary`: 8 signs in a byte, first number in the highest bit,
    as signed bytes with an offset of 128; `ubinary`: the same without the offset."""
    if dtype == "float":
        return vector
    if dtype in ("int8", "uint8"):
        shift = 0 if dtype == "int8" else 128
        scaled = [max(-127, min(127, round(number * 127))) + shift for number in vector]
        return array.array("b" if dtype == "int8" else "B", scaled)
    signs = []
    for start in range(0, len(vector), 8):
        byte = 0
        for number in vector[start : start + 8]:
            byte = byte << 1 | (number > 0)
        signs.append(byte)
    if dtype == "ubinary":
        return array.array("B", signs)
    return array.array("b", [byte - 128 for byte in signs])


def encoded(values: array.array[Any]) -> str:
    """The values' bytes, little-endian, in base64."""
    if not _LITTLE:
        values = values[:]
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()
