"""Vectors are written the same with numpy and without it."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.codec import vectors
from streams.codec.vectors import numbers_without_numpy, render_vector

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def pack(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def test_a_number_is_the_shortest_decimal_of_its_float32() -> None:
    assert render_vector(pack(0.1, -0.25, 1 / 3, 3), "floats") == (
        b'{"embedding":[0.1,-0.25,0.33333334,3.0],"dim":4}'
    )


def test_base64_is_of_little_endian_float32() -> None:
    expected = b'{"embedding_b64":"AACAPwAAAMA=","dim":2}'
    assert render_vector(pack(1.0, -2.0), "base64") == expected


@given(st.lists(FINITE, max_size=30))
@example([-0.0, 1e-45, 3.4028234663852886e38, 1.1754943508222875e-38, 16777216.0, 9.999999e22])
def test_without_numpy_each_number_is_the_same_float32_in_as_few_digits(
    numbers: list[float],
) -> None:
    vector = pack(*numbers)
    plain = json.loads(numbers_without_numpy(vector), parse_float=str, parse_int=str)
    assert pack(*map(float, plain)) == vector
    fast = json.loads(render_vector(vector, "floats"), parse_float=str)["embedding"]
    assert [digits(text) for text in plain] == [digits(text) for text in fast]


def digits(text: str) -> int:
    mantissa = text.lower().partition("e")[0].lstrip("-").replace(".", "")
    return len(mantissa.strip("0"))


@pytest.mark.parametrize("numpy", [True, False])
@pytest.mark.parametrize("layout", ["floats", "base64"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused(
    layout: str, bad: float, numpy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not numpy:
        monkeypatch.setattr(vectors, "_numpy", lambda: None)
    with pytest.raises(ValueError, match="NaN or infinity"):
        render_vector(pack(1.0, bad, 1.0), layout)  # type: ignore[arg-type]


@pytest.mark.parametrize("numpy", [True, False])
def test_the_largest_numbers_are_not_taken_for_infinity(
    numpy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not numpy:
        monkeypatch.setattr(vectors, "_numpy", lambda: None)
    largest = pack(*[3.4028234663852886e38] * 2_000)
    assert b'"dim":2000' in render_vector(largest, "base64")
