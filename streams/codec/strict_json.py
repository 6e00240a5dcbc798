"""JSON as RFC 8259 has it, read and written without a silent change: the one rule for items,
replies, schemas and files.

- orjson reads nearly everything. The standard library reads what orjson refuses or would change:
  lone surrogate escapes, and numbers that 64 bits do not hold.
- A number keeps its value and its digits: integers of any size are `int`, decimals `float` if that
  gives their text back, else `Number`.
- No JSON: NaN and Infinity, what is not UTF-8, an empty value, more than 1,024 levels of nesting
  (about 950 where the standard library has to read).
- Of duplicate keys the last one counts, as in every common parser; an item's `raw` has them all.
- A byte order mark is skipped, except in an item, which could not be merged then.
- A lone surrogate stays in an item's value and becomes U+FFFD in its text; in what a model writes
  it is an error, and the record that has it is asked for again.

Writing refuses what JSON cannot hold (NaN, infinity, keys that are not strings) and what common
parsers cannot read (lone surrogates, more than 254 levels).
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Final, NoReturn

import orjson

from streams.codec.numbers import Number, integer, near, number
from streams.errors import ItemError

WRITING: Final = orjson.OPT_SERIALIZE_NUMPY
"""How results are written: numpy's arrays and numbers become JSON arrays and numbers."""

# COPIED: orjson writes into at least 1,024 bytes and gives back the rest. With hundreds of such
# results glibc returns and fetches memory from the system each time: 3.4 us for a short one, 7.5 us
# for an envelope. A copy of the right size costs 0.1 us.

BOM: Final = b"\xef\xbb\xbf"
_TOO_DEEP = "the value is nested too deep"
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

# -- reading -----------------------------------------------------------------------------------


def read(raw: bytes) -> Any:
    """The JSON value in these bytes. Raises ValueError, with a message that quotes none of them."""
    return _read(raw.removeprefix(BOM))


def read_reply(text: str) -> Any:
    """The same, of what a model wrote. Raises ValueError for a lone surrogate too."""
    raw = text.encode()  # a UnicodeEncodeError is a ValueError
    value = read(raw)
    if b"\\ud" in raw or b"\\uD" in raw:
        compact(value).encode()
    return value


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that an item is. Raises ValueError for anything else."""
    if raw.startswith(BOM):
        raise ValueError("the value starts with a byte order mark, which JSON does not allow")
    value = _read(raw)
    if type(value) is not dict:
        raise ValueError(f"the value is JSON, but {_KINDS[type(value)]} instead of an object")
    return value


_KINDS = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    Number: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _read(raw: bytes) -> Any:
    try:
        value = orjson.loads(raw)
    except ValueError as error:
        if "depth limit" in str(error):
            raise ValueError(_TOO_DEEP) from None
        return _read_slowly(raw)
    if b"-0" in raw and _NEGATIVE_ZERO.search(raw) is not None:
        return _read_slowly(raw)
    shortens = _SHORTENED.search(raw) is not None or may_lose_value(raw)
    return _read_slowly(raw) if shortens and has_float(value) else value


_SHORTENED = re.compile(rb"\.(?:[0-9]+0(?![0-9])|0000)")
"""Decimals that orjson writes in another way: 1.10 and 0.00001."""
_NEGATIVE_ZERO = re.compile(rb"(?:^|[\[:,\s])-0(?:[\],}\s]|$)")
_DIGITS = bytes.maketrans(b"123456789.E", b"0000000000e")


def may_lose_value(raw: bytes) -> bool:
    """Whether a number in this JSON may read as a float that is another number. A float gives back
    15 digits without an exponent; digits in a string count too, which costs time alone."""
    digits = raw.translate(_DIGITS)
    return digits.find(b"0000000000000000") >= 0 or digits.find(b"0e") >= 0  # `in` costs twice


def has_float(value: Any) -> bool:
    """Whether a number in it is a float; an integer beyond 64 bits has become one."""
    stack: list[Any] = [(value,)]
    while stack:
        node = stack.pop()
        for child in node.values() if type(node) is dict else node:
            kind = type(child)
            if kind is float:
                return True
            if (kind is dict or kind is list) and child:
                stack.append(child)
    return False


def _read_slowly(raw: bytes) -> Any:
    if not raw:
        raise ValueError("the value is empty")
    try:
        # Decoded here, since json.loads would take bytes for UTF-16 or UTF-32 too.
        return json.loads(
            raw.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=number,
            parse_int=integer,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"the value is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        reason = error.msg.partition(":")[0]  # the source decides what follows a colon
        raise ValueError(f"the value is not JSON: {reason} at character {error.pos}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the value is not JSON: it holds {name}")


def plain(value: Any) -> Any:
    """The value with a float for each `Number` that a float stands for: for a user's function,
    whose libraries take floats alone."""
    kind = type(value)
    if kind is dict:
        return {name: plain(inner) for name, inner in value.items()}
    if kind is list:
        return [plain(inner) for inner in value]
    return near(value) if kind is Number else value


def fit(text: str) -> str:
    """The text with each lone surrogate, which no UTF-8 can carry, replaced by U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


# -- writing -----------------------------------------------------------------------------------


def write(value: Any) -> bytes:
    """The value as JSON. Raises ItemError `invalid_result`."""
    try:
        return b"%b" % orjson.dumps(value, _digits, WRITING)  # a copy, see COPIED
    except TypeError as error:  # orjson's message names types, never values
        if "64-bit" not in str(error):
            raise ItemError("invalid_result", f"the result is not JSON: {error}") from None
    except Exception as error:  # raised by a user's object while it was read
        message = f"the result cannot be read: {type(error).__name__}"
        raise ItemError("invalid_result", message) from None
    try:
        return orjson.dumps(_in_digits(value), _digits, WRITING)
    except (TypeError, ValueError, RecursionError) as error:
        raise ItemError("invalid_result", f"the result is not JSON: {error}") from None


def _digits(value: Any) -> orjson.Fragment:
    if type(value) is Number:
        return orjson.Fragment(value.digits)
    raise TypeError(type(value).__name__)


def _in_digits(value: Any) -> Any:
    """A copy in which integers that orjson does not write are JSON already."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**64 else orjson.Fragment(int.__repr__(value))
    if isinstance(value, dict):
        return {name: _in_digits(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in_digits(inner) for inner in value]
    if is_dataclass(value):
        return {f.name: _in_digits(getattr(value, f.name)) for f in fields(value)}
    return _in_digits(value.value) if isinstance(value, Enum) else value


def compact(value: Any, *, ascii_only: bool = False) -> str:
    """A value that was read, as compact JSON with its own digits, of any depth that can be read;
    a lone surrogate stays as it is, or is an escape where `ascii_only`. Raises ValueError if it is
    nested too deep."""
    try:
        if not ascii_only:
            return orjson.dumps(value, _digits).decode()
    except TypeError:  # beyond 64 bits, deeper than 254 levels, or a lone surrogate
        pass
    try:
        return _compact(value, json.encoder.encode_basestring_ascii if ascii_only else _quoted)
    except RecursionError:
        raise ValueError("nested too deep to be written as text") from None


_quoted = json.encoder.encode_basestring


def _compact(value: Any, quoted: Any) -> str:
    kind = type(value)
    if kind is str:
        return str(quoted(value))
    if kind is dict:
        members = (f"{quoted(name)}:{_compact(inner, quoted)}" for name, inner in value.items())
        return "{" + ",".join(members) + "}"
    if kind is list:
        return "[" + ",".join([_compact(inner, quoted) for inner in value]) + "]"
    return value.digits if kind is Number else json.dumps(value)


def indented_json(raw: bytes) -> str:
    """JSON for a person, with its own digits. Raises ValueError for what is none, or cannot be
    written."""
    try:
        value = _in_digits(read(raw))
        return orjson.dumps(value, _digits, orjson.OPT_INDENT_2).decode()
    except (TypeError, RecursionError):
        raise ValueError(_TOO_DEEP) from None


def refuse_null(value: Any) -> None:
    """orjson writes null for NaN and infinity; this finds out which it was."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, float):
            if not isfinite(node) and type(node) is not Number:
                raise ItemError("invalid_result", "the result holds NaN or infinity")
        elif isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, (list, tuple)):
            stack.extend(node)
        elif isinstance(node, Enum):
            stack.append(node.value)
        elif is_dataclass(node):
            stack.extend(getattr(node, field.name, None) for field in fields(node))
        elif hasattr(node, "dtype"):  # a numpy array or number
            stack.append(node.tolist())
