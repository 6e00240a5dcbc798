"""Numbers that keep what was written: as text, in comparisons, in arithmetic.

A float is the nearest of 2**64 values to what a document says: `0.1000000000000000000001` becomes
0.1, and 0.29 is no multiple of 0.01. So a number whose text a float does not give back is a
`Number`, and `exact` is the decimal that any number stands for: a float stands for its shortest
text, as in every JSON document.

No cost depends on an exponent: 1e400000 is never written out.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

_LONG_DIGITS = 4_000
"""Digits that become an integer at once; Python refuses more than 4,300."""

NEGATIVE_ZERO = "-0"
"""The one integer that `int` does not give back."""

_EXACT_INTEGERS = 2.0**53
_PLAIN = {int, float}
_POWER_CHARACTERS = 20
"""Of an exponent; what is longer compares like infinity."""


class Number(float):
    """A number with the digits it was read with. It is the nearest float, infinity where there is
    none; our writers write the digits."""

    __slots__ = ("digits",)

    digits: str

    def __new__(cls, digits: str) -> Number:
        number = super().__new__(cls, digits)
        number.digits = digits
        return number

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]  # float's takes the float
        return (self.digits,)

    def __repr__(self) -> str:
        return self.digits


def number(digits: str) -> float:
    """A JSON number with a fraction or an exponent: a float if that is written with the same
    digits."""
    near = float(digits)
    return near if orjson.dumps(near) == digits.encode() else Number(digits)


def integer(digits: str) -> float:
    """A JSON integer of any size; a `Number` for -0, and beyond the digits that Python converts."""
    try:
        return int(digits) if digits != NEGATIVE_ZERO else Number(digits)
    except ValueError:
        return Number(digits)


def exact(value: float | Decimal) -> Decimal:
    """The decimal that a number stands for. Beyond the exponents of `Decimal` infinity or 0."""
    if isinstance(value, Number):
        try:
            return Decimal(value.digits)
        except InvalidOperation:
            mantissa, _, exponent = value.digits.lower().partition("e")
            return Decimal(0) if exponent.startswith("-") else Decimal("Infinity").copy_sign(
                Decimal(mantissa)
            )  # fmt: skip
    return Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)


def near(value: Number) -> float:
    """The float or int, if it stands for the same decimal; else the number itself."""
    if value.digits == NEGATIVE_ZERO:
        return 0
    plain = float(value)
    return plain if exact(plain) == exact(value) else value


def is_less(one: float, other: float) -> bool:
    """Whether `one` < `other`, as decimals."""
    # Python compares as decimals: floats among themselves, and with integers that floats can hold.
    kind, other_kind = one.__class__, other.__class__
    if kind is other_kind and kind is not Number:
        return one < other
    if {kind, other_kind} == _PLAIN and -_EXACT_INTEGERS < one < _EXACT_INTEGERS:
        return one < other
    return exact(one) < exact(other)


def is_whole(value: Any) -> bool:
    """Whether the decimal has no fraction: 1.0 and 1e400 have none."""
    if value.__class__ is Number or isinstance(value, Decimal):
        return _parts(value)[1] >= 0
    return value.__class__ is not float or value.is_integer()


def is_multiple(value: Any, of: Any) -> bool:
    """Whether the quotient of the two decimals is an integer. Linear in their digits."""
    if value.__class__ is int and of.__class__ is int:
        return not value % of
    digits, exponent = _parts(value)
    of_digits, of_exponent = _parts(of)
    if not digits:
        return True
    shift = exponent - of_exponent
    if shift < 0:  # `digits` has no zero at its end, so no multiple of ten divides it
        return False
    divisor = _whole(of_digits)
    return not _remainder(digits, divisor) * pow(10, shift, divisor) % divisor


def _parts(value: Any) -> tuple[str, int]:
    """The decimal without its sign: digits, without zeros at the end, times ten to the exponent.
    Of zero: no digits, exponent 0."""
    text = str(value) if isinstance(value, Decimal) else repr(value)
    mantissa, _, power = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole.lstrip("-") + fraction).lstrip("0")
    bare = digits.rstrip("0")
    if not bare:
        return "", 0
    return bare, int(power[:_POWER_CHARACTERS] or 0) - len(fraction) + len(digits) - len(bare)


def _whole(digits: str) -> int:
    number = 0
    for at in range(0, len(digits), _LONG_DIGITS):
        piece = digits[at : at + _LONG_DIGITS]
        number = number * 10 ** len(piece) + int(piece)
    return number


def _remainder(digits: str, divisor: int) -> int:
    rest = 0
    for at in range(0, len(digits), _LONG_DIGITS):
        piece = digits[at : at + _LONG_DIGITS]
        rest = (rest * 10 ** len(piece) + int(piece)) % divisor
    return rest


def canonical(value: Any) -> Any:
    """A key that two JSON values share if JSON Schema takes them for equal: 1, 1.0 and 1e0 are,
    1 and true are not."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, dict):
        return dict, frozenset((name, canonical(inner)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return list, tuple(map(canonical, value))
    if isinstance(value, int):
        return value
    if value.__class__ is float and -_EXACT_INTEGERS < value < _EXACT_INTEGERS:
        return int(value) if value.is_integer() else exact(value)
    return exact(value) if isinstance(value, float | Decimal) else value
