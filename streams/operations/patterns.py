"""A string that matches a simple regular expression: the `pattern` of a schema.

Takes the first way through the expression; the drawn number decides among characters and branches.
Look-arounds, back-references and word boundaries are not supported, as in the API.
"""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]  # the compiler's own tree: there is no public one
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

_ANY: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_CLASSES: Final = {
    codes.CATEGORY_DIGIT: "0123456789",
    codes.CATEGORY_WORD: _ANY,
    codes.CATEGORY_SPACE: " ",
    codes.CATEGORY_NOT_DIGIT: "abcdefgh",
    codes.CATEGORY_NOT_WORD: "- .",
    codes.CATEGORY_NOT_SPACE: _ANY,
}
_PRINTABLE: Final = [chr(code) for code in range(32, 127)]


class PatternError(ValueError):
    """The expression is not one of the simple ones."""


def matching(pattern: str, drawn: int) -> str:
    """A string that `pattern` matches, the same for the same number. Raises PatternError."""
    try:
        return _sequence(parser.parse(pattern), drawn)
    except re.error as error:
        raise PatternError(str(error)) from None


def _sequence(tree: Any, drawn: int) -> str:
    parts = []
    for place, (code, argument) in enumerate(tree):
        parts.append(_one(code, argument, drawn // (place + 1)))
    return "".join(parts)


def _one(code: Any, argument: Any, drawn: int) -> str:
    if code is codes.LITERAL:
        return chr(argument)
    if code is codes.AT:
        if argument in (
            codes.AT_BEGINNING,
            codes.AT_END,
            codes.AT_BEGINNING_STRING,
            codes.AT_END_STRING,
        ):
            return ""
    elif code is codes.ANY:
        return _ANY[drawn % len(_ANY)]
    elif code is codes.NOT_LITERAL:
        return "b" if argument == ord("a") else "a"
    elif code is codes.IN:
        return _of_class(argument, drawn)
    elif code is codes.BRANCH:
        branches = argument[1]
        return _sequence(branches[drawn % len(branches)], drawn)
    elif code is codes.SUBPATTERN:
        return _sequence(argument[3], drawn)
    elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        least, greatest, inner = argument
        times = max(least, min(greatest, 1))
        return "".join(_sequence(inner, drawn // (turn + 1)) for turn in range(times))
    raise PatternError(f"{code} is not supported")


def _of_class(parts: Any, drawn: int) -> str:
    negated = parts[0][0] is codes.NEGATE
    characters: list[str] = []
    for code, argument in parts[1:] if negated else parts:
        if code is codes.LITERAL:
            characters.append(chr(argument))
        elif code is codes.RANGE:
            low, high = argument
            characters.extend(chr(point) for point in range(low, min(high, low + 255) + 1))
        elif code is codes.CATEGORY and argument in _CLASSES:
            characters.extend(_CLASSES[argument])
        else:
            raise PatternError(f"{code} is not supported")
    if negated:
        characters = [character for character in _PRINTABLE if character not in characters]
    if not characters:
        raise PatternError("an empty class")
    return characters[drawn % len(characters)]
