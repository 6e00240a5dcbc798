"""JSON Schema as the jsonschema library checks it, with each number as its exact decimal.

The library computes with floats: it refuses 1,363 of the 10,000 prices from 0.00 to 99.99 as no
multiples of 0.01. Where a draft has another meaning of a keyword, that draft's stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from streams.codec.numbers import canonical, is_less, is_multiple, is_whole

Errors = Iterator[ValidationError]


@cache
def exact(kind: Any = Draft202012Validator) -> Any:
    """The library's validator class of a draft, exact."""
    ours = {
        keyword: check
        for keyword, check in _CHECKS.items()
        if kind.VALIDATORS.get(keyword) is Draft202012Validator.VALIDATORS[keyword]
    }
    types = kind.TYPE_CHECKER
    if types.is_type(1.0, "integer"):  # not so in the drafts 3 and 4
        types = types.redefine("integer", lambda _, value: _is_integer(value))
    return extend(kind, ours, type_checker=types)


def same(one: Any, other: Any) -> bool:
    """Whether JSON Schema takes two values for equal."""
    return bool(canonical(one) == canonical(other))


def _is_number(value: Any) -> bool:
    return value.__class__ is not bool and isinstance(value, _NUMBERS)


def _is_integer(value: Any) -> bool:
    return value.__class__ is int or (isinstance(value, float) and is_whole(value))


_NUMBERS = (int, float, Decimal)


def _type(validator: Any, types: Any, instance: Any, schema: Any) -> Errors:
    if instance.__class__ is not _CLASSES.get(types if types.__class__ is str else ""):
        yield from Draft202012Validator.VALIDATORS["type"](validator, types, instance, schema)


_CLASSES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
}
"""The class that most values of a type have: no need to ask the library, which takes long."""


def _multiple_of(validator: Any, divisor: Any, instance: Any, schema: Any) -> Errors:
    if _is_number(instance) and not is_multiple(instance, divisor):
        yield ValidationError(f"{instance!r} is not a multiple of {divisor!r}")


def _minimum(validator: Any, minimum: Any, instance: Any, schema: Any) -> Errors:
    if _is_number(instance) and is_less(instance, minimum):
        yield ValidationError(f"{instance!r} is less than the minimum of {minimum!r}")


def _maximum(validator: Any, maximum: Any, instance: Any, schema: Any) -> Errors:
    if _is_number(instance) and is_less(maximum, instance):
        yield ValidationError(f"{instance!r} is greater than the maximum of {maximum!r}")


def _exclusive_minimum(validator: Any, minimum: Any, instance: Any, schema: Any) -> Errors:
    if _is_number(instance) and not is_less(minimum, instance):
        yield ValidationError(f"{instance!r} is not greater than {minimum!r}")


def _exclusive_maximum(validator: Any, maximum: Any, instance: Any, schema: Any) -> Errors:
    if _is_number(instance) and not is_less(instance, maximum):
        yield ValidationError(f"{instance!r} is not less than {maximum!r}")


def _const(validator: Any, const: Any, instance: Any, schema: Any) -> Errors:
    if not same(instance, const):
        yield ValidationError(f"{const!r} was expected")


def _enum(validator: Any, values: Any, instance: Any, schema: Any) -> Errors:
    if instance.__class__ is str and instance in values:
        return
    key = canonical(instance)
    if not any(canonical(value) == key for value in values):
        yield ValidationError(f"{instance!r} is not one of {values!r}")


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Errors:
    if not wanted or not validator.is_type(instance, "array"):
        return
    if len(set(map(canonical, instance))) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


_CHECKS = {
    "type": _type,
    "multipleOf": _multiple_of,
    "minimum": _minimum,
    "maximum": _maximum,
    "exclusiveMinimum": _exclusive_minimum,
    "exclusiveMaximum": _exclusive_maximum,
    "const": _const,
    "enum": _enum,
    "uniqueItems": _unique_items,
}
