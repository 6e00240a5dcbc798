"""JSON as RFC 8259 has it, read and written without a silent change.

- orjson reads nearly everything. The standard library reads what orjson refuses or would change:
  lone surrogate escapes, and integers beyond 64 bits, which keep every digit.
- `invalid_json`: no JSON, no JSON object, not UTF-8, a byte order mark, NaN or Infinity, an empty
  value, more than 1,024 levels of nesting (about 950 where the standard library has to read),
  an integer of more than 4,300 digits.
- Of duplicate keys the last one counts, as in every common parser; `raw` keeps them all.

Writing refuses what JSON cannot hold (NaN, infinity, keys that are not strings) and what common
parsers cannot read (integers beyond 64 bits, lone surrogates, more than 254 levels).
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Final, NoReturn

import orjson

from streams.errors import ItemError

WRITING: Final = orjson.OPT_SERIALIZE_NUMPY
"""How results are written: numpy's arrays and numbers become JSON arrays and numbers."""

# COPIED: orjson writes into at least 1,024 bytes and gives back the rest. With hundreds of such
# results glibc returns and fetches memory from the system each time: 3.4 us for a short one, 7.5 us
# for an envelope. A copy of the right size costs 0.1 us.

_HUGE = 2.0**63
_TOO_DEEP = "the value is nested too deep"


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in these bytes. Raises ValueError for anything else, with a message that
    quotes none of them."""
    try:
        value = orjson.loads(raw)
        if type(value) is dict and has_huge(value):
            value = _read_slowly(raw)
    except ValueError as error:
        if "depth limit" in str(error):
            raise ValueError(_TOO_DEEP) from None
        value = _read_slowly(raw)
    if type(value) is not dict:
        raise ValueError(f"the value is JSON, but {_KINDS[type(value)]} instead of an object")
    return value


_KINDS = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _read_slowly(raw: bytes) -> Any:
    if not raw:
        raise ValueError("the value is empty")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ValueError("the value starts with a byte order mark, which JSON does not allow")
    try:
        # Decoded here, since json.loads would take bytes for UTF-16 or UTF-32 too.
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"the value is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        reason = error.msg.partition(":")[0]  # the source decides what follows a colon
        raise ValueError(f"the value is not JSON: {reason} at character {error.pos}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except _ConstantError:
        raise
    except ValueError:
        digits = sys.get_int_max_str_digits()
        raise ValueError(f"the value has an integer of more than {digits} digits") from None


class _ConstantError(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(f"the value is not JSON: it holds {name}")


def has_huge(value: dict[str, Any]) -> bool:
    """Whether a number may be an integer beyond 64 bits, which orjson has made a float."""
    stack: list[Any] = [value]
    while stack:
        node = stack.pop()
        for child in node.values() if type(node) is dict else node:
            kind = type(child)
            if kind is float:
                if child >= _HUGE or child <= -_HUGE:
                    return True
            elif (kind is dict or kind is list) and child:
                stack.append(child)
    return False


def write(value: Any) -> bytes:
    try:
        return b"%b" % orjson.dumps(value, None, WRITING)  # a copy, see COPIED
    except TypeError as error:  # orjson's message names types, never values
        raise ItemError("invalid_result", f"the result is not JSON: {error}") from None
    except Exception as error:  # raised by a user's object while it was read
        message = f"the result cannot be read: {type(error).__name__}"
        raise ItemError("invalid_result", message) from None


def refuse_null(value: Any) -> None:
    """orjson writes null for NaN and infinity; this finds out which it was."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, float):
            if not isfinite(node):
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
