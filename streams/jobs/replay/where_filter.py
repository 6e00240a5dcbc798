"""`--where`: which items of a range belong to it, as a JMESPath expression over the item.

JMESPath (https://jmespath.org) is a specification with many implementations; its expressions have
neither loops nor access to anything but the item. What it calls false is no: `false`, `null`, an
empty text, list or object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import jmespath
import orjson
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from streams.codec.records import BrokenValue
from streams.codec.strict_json import plain, read_object
from streams.errors import UsageError

_COMPARED_FIELD = re.compile(r'(?:==|!=)\s*"')


class Where:
    """`unfit`: how many records the expression could not judge so far: they are no JSON objects, or
    a function in it got a value of a type that it does not take. Those are not part of the range.

    Raises UsageError for an expression that is none, before anything is read.
    """

    def __init__(self, expression: str) -> None:
        self.unfit = 0
        try:
            self._compiled = jmespath.compile(expression)
            _check_functions(self._compiled.parsed)
        except JMESPathError as error:
            raise UsageError(f"--where: {_first_line(error)}") from None
        if _COMPARED_FIELD.search(expression):
            raise UsageError(
                "--where: a text to compare with stands in single quotes, as label == 'bad'; "
                'double quotes name a field, write it @."name"'
            )

    def selected(self, records: Sequence[Any]) -> list[Any]:
        """Those of these source records that belong to the range, in their order."""
        return [record for record in records if self._holds(record.value)]

    def _holds(self, raw: bytes | None) -> bool:
        try:
            found = self._compiled.search(_value(raw))
        except (JMESPathError, ValueError, TypeError):
            self.unfit += 1
            return False
        return found is True or (found is not None and found is not False and _holds_more(found))


def _holds_more(found: Any) -> bool:
    """JMESPath counts 0 as true."""
    return isinstance(found, int | float) or bool(found)


def _value(raw: bytes | None) -> Any:
    """The item's JSON object. Raises ValueError where it is none."""
    if raw is None or isinstance(raw, BrokenValue):
        raise ValueError("no value")
    try:
        value = orjson.loads(raw)
    except ValueError:
        value = plain(read_object(raw))
    if type(value) is not dict:
        raise ValueError("no object")
    return value


def _check_functions(parsed: Any) -> None:
    """Raises JMESPathError for a function that does not exist, or gets too few or too many
    arguments: the library finds that only at the first item."""
    for node in _nodes(parsed):
        if node["type"] != "function_expression":
            continue
        known = Functions.FUNCTION_TABLE.get(node["value"])
        if known is None:
            names = ", ".join(sorted(Functions.FUNCTION_TABLE))
            raise JMESPathError(f"there is no function {node['value']}(): there are {names}")
        signature, given = known["signature"], len(node["children"])
        least = len(signature)
        any_more = bool(signature) and signature[-1].get("variadic")
        if given < least or (given > least and not any_more):
            more = " at least" if any_more else ""
            raise JMESPathError(f"{node['value']}() takes{more} {least} arguments, not {given}")


def _nodes(parsed: Any) -> Iterator[dict[str, Any]]:
    yield parsed
    for child in parsed["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
    return " ".join(lines)
