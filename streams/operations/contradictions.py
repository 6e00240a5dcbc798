"""Why no value can have a shape, as far as it can be shown: limits that exclude each other."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

from streams.codec.numbers import exact, is_less
from streams.operations.shapes import TYPES, Shape, place

_MAX_POWER: Final = 400
"""Beyond this exponent no multiple is looked for: it would be written out."""


def contradiction(shape: Shape) -> str:
    """The reason, with the place of the shape; empty: none was found."""
    if shape.nothing or shape.values is not None:
        return shape.nothing
    reasons = [_of_type(kind, shape) for kind in shape.types or TYPES]
    return "" if "" in reasons else f"{place(shape.path)}: {reasons[0]}"


def _of_type(kind: str, shape: Shape) -> str:
    for unwanted in shape.limit("not"):
        if unwanted is True or unwanted == {} or unwanted == {"type": kind}:
            return f'"not" takes no {kind}'
    if kind in ("number", "integer"):
        return _of_numbers(kind, shape)
    if kind == "string":
        return _of_sizes(shape, "minLength", "maxLength")
    if kind == "array":
        return _of_sizes(shape, "minItems", "maxItems")
    if kind == "object":
        return _of_objects(shape)
    return ""


def _of_sizes(shape: Shape, at_least: str, at_most: str) -> str:
    low, high = max(shape.limit(at_least), default=0), min(shape.limit(at_most), default=None)
    return f"{at_least} {low} is above {at_most} {high}" if high is not None and low > high else ""


def _of_objects(shape: Shape) -> str:
    declared = shape.declared()
    for name, path in shape.required.items():
        if name in shape.properties and name not in declared:
            return f'{place(path)} names "{name}", which "additionalProperties": false excludes'
    low, high = max(shape.limit("minProperties"), default=0), len(declared)
    if low > high and shape.required.keys() <= set(declared):
        return f"minProperties is {low}, and the schema names {high}"
    low = max(low, len(shape.required))
    for high in shape.limit("maxProperties"):
        if low > high:
            return f"{low} properties are needed, and maxProperties is {high}"
    return ""


def _of_numbers(kind: str, shape: Shape) -> str:
    lows = [(low, False) for low in shape.limit("minimum")]
    lows += [(low, True) for low in shape.limit("exclusiveMinimum")]
    highs = [(high, False) for high in shape.limit("maximum")]
    highs += [(high, True) for high in shape.limit("exclusiveMaximum")]
    for low, above in lows:
        for high, below in highs:
            if is_less(high, low) or ((above or below) and not is_less(low, high)):
                return f"no number is from {low!r} to {high!r}"
    steps = [*shape.limit("multipleOf"), *([1] if kind == "integer" else [])]
    for step in steps:
        for low, above in lows:
            for high, below in highs:
                if _has_none(step, low, high, above=above, below=below):
                    return f"no multiple of {step!r} is from {low!r} to {high!r}"
    return ""


def _has_none(step: Any, low: Any, high: Any, *, above: bool, below: bool) -> bool:
    if any(value and abs(exact(value).adjusted()) > _MAX_POWER for value in (step, low, high)):
        return False
    divisor = Fraction(exact(step))
    lowest, highest = Fraction(exact(low)) / divisor, Fraction(exact(high)) / divisor
    first = floor(lowest) + 1 if above else ceil(lowest)
    last = ceil(highest) - 1 if below else floor(highest)
    return first > last
