"""The cells of a Parquet file as values that JSON can hold, without a loss.

pyarrow makes Python values of whole columns. Python's times have microseconds and the years 1 to
9999. Where a column holds others, or text that is not UTF-8, its cells are read one by one:

    a time or timestamp with nanoseconds     ISO 8601 with 9 digits
    a timestamp of a zone that nobody knows  the same moment in UTC
    a duration                               ISO 8601, as PT1.5S
    anything else without a form             `NoForm`
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import types

UNITS = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
EPOCH = datetime(1970, 1, 1)
NO_FORM = "has a value without a JSON form"


class NoForm(NamedTuple):
    """A cell that JSON cannot hold; `reason` follows the column's name."""

    reason: str


class _NoFormError(Exception):
    pass


def values_of(column: pa.Array) -> Sequence[Any]:
    """The cells of a column; a `NoForm` in place of each that has none."""
    if not _is_finer_than_python(column.type):
        with suppress(Exception):  # of many kinds, and one cell is enough to cause it
            return list(column.to_pylist())
    return [_cell(scalar) for scalar in column]


def _is_finer_than_python(kind: pa.DataType) -> bool:
    """Whether such values, or values in them, have nanoseconds, or are durations."""
    if types.is_duration(kind) or (types.is_temporal(kind) and getattr(kind, "unit", "") == "ns"):
        return True
    if types.is_dictionary(kind):
        return _is_finer_than_python(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _is_finer_than_python(kind.storage_type)
    return any(_is_finer_than_python(kind.field(n).type) for n in range(kind.num_fields))


def _cell(scalar: pa.Scalar) -> Any:
    try:
        return _value(scalar)
    except _NoFormError as error:
        return NoForm(str(error))
    except UnicodeDecodeError:
        return NoForm("has a text that is not UTF-8")
    except Exception:  # pyarrow raises many kinds
        return NoForm(NO_FORM)


def _value(scalar: pa.Scalar) -> Any:
    """Raises _NoFormError, or what pyarrow raises."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if types.is_timestamp(kind):
        return _timestamp(scalar.value, kind)
    if types.is_duration(kind):
        sign = "-" if scalar.value < 0 else ""
        return f"{sign}PT{_decimal(abs(scalar.value), UNITS[kind.unit])}S"
    if types.is_time64(kind) and kind.unit == "ns":
        return _time(scalar.value)
    if types.is_map(kind):
        return [[_value(entry["key"]), _value(entry["value"])] for entry in scalar.values]
    if hasattr(scalar, "values") and types.is_nested(kind) and not types.is_struct(kind):
        return [_value(each) for each in scalar.values]
    if types.is_struct(kind):
        return _struct(scalar)
    if types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return _value(scalar.value)
    try:
        return scalar.as_py()
    except OverflowError:
        raise _NoFormError("has a time outside the years 1 to 9999") from None


def _struct(scalar: Any) -> dict[str, Any]:
    names = [scalar.type.field(n).name for n in range(scalar.type.num_fields)]
    if len(set(names)) < len(names):
        raise _NoFormError("has two fields of one name")
    return {name: _value(scalar[n]) for n, name in enumerate(names)}


def _timestamp(value: int, kind: Any) -> str:
    seconds, rest = divmod(value, UNITS[kind.unit])
    nanoseconds = rest * (UNITS["ns"] // UNITS[kind.unit])
    try:
        moment = EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
        if kind.tz is not None:
            moment = moment.replace(tzinfo=UTC).astimezone(_zone(kind.tz))
    except (OverflowError, ValueError):
        raise _NoFormError("has a time outside the years 1 to 9999") from None
    return _with_nanoseconds(moment, nanoseconds)


def _zone(name: str) -> Any:
    try:
        return pa.lib.string_to_tzinfo(name)
    except (LookupError, ValueError):
        return UTC


def _time(nanoseconds: int) -> str:
    if not 0 <= nanoseconds < 86_400 * UNITS["ns"]:
        raise _NoFormError("has a time that no day has")
    moment = EPOCH + timedelta(microseconds=nanoseconds // 1000)
    return _with_nanoseconds(moment.time(), nanoseconds)


def _with_nanoseconds(moment: datetime | time, nanoseconds: int) -> str:
    """ISO 8601, with 9 digits where 6 are not enough."""
    text, digits = moment.isoformat(), nanoseconds % 1000
    if not digits:
        return text
    text = moment.isoformat(timespec="microseconds")
    end = text.index(".") + 7
    return f"{text[:end]}{digits:03}{text[end:]}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}}".rstrip("0") if rest else str(whole)
