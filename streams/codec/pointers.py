"""Finds the text and the id of an item: JSON Pointers (RFC 6901) and templates made of them.

Both are compiled once per task. An error in one is a ValueError at that moment, with a message for
its author; a value that a document lacks is a `MissingError`, for that document alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jsonpointer

from streams.codec.strict_json import compact, fit

_PART = re.compile(r"\{(/[^}]*)\}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


class MissingError(LookupError):
    """The document has nothing at `pointer`."""

    def __init__(self, pointer: str) -> None:
        self.pointer = pointer
        super().__init__(pointer)


class Pointer:
    """A compiled JSON Pointer.

    `key`: the member of the document itself that it names (`/text`); None for a pointer of another
    depth. Raises ValueError for an invalid JSON Pointer.
    """

    __slots__ = ("_steps", "key", "source")

    def __init__(self, source: str) -> None:
        if not source.startswith("/"):
            raise ValueError(f"{source!r} is not a JSON Pointer: it must start with '/'")
        try:
            names: list[str] = jsonpointer.JsonPointer(source).parts
        except jsonpointer.JsonPointerException as error:
            raise ValueError(f"{source!r} is not a JSON Pointer: {error}") from None
        self.source = source
        self._steps = [(name, int(name) if _INDEX.fullmatch(name) else None) for name in names]
        self.key = names[0] if len(names) == 1 else None

    def find(self, document: Any) -> Any:
        """The document's value at the pointer. Raises `MissingError`.

        Digits name a member of an object or an element of an array, whichever is there; `-`, the
        element after the last, is never there (RFC 6901, section 4).
        """
        for name, index in self._steps:
            if type(document) is dict:
                if name not in document:
                    raise MissingError(self.source)
                document = document[name]
            elif type(document) is list and index is not None and index < len(document):
                document = document[index]
            else:
                raise MissingError(self.source)
        return document


class Text:
    """How to make an item's text: a pointer (starts with `/`) or a template with `{/pointer}`
    parts, all other text in it literal. `key`: as `Pointer.key`, None for a template.

    Raises ValueError for a template without parts, which is a pointer that lacks its `/`.
    """

    __slots__ = ("_find", "key", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.key: str | None = None
        self._find: Callable[[Any], str]
        if source.startswith("/"):
            pointer = Pointer(source)
            self.key = pointer.key
            self._find = lambda document: as_text(pointer.find(document))
        else:
            self._find = _template(source)

    def find(self, document: Any) -> str:
        """The document's text, fit for UTF-8. Raises `MissingError`, or ValueError for a value that
        is nested too deep."""
        return self._find(document)


def _template(source: str) -> Callable[[Any], str]:
    pieces = _PART.split(source)  # literal, pointer, literal, pointer, ..., literal
    if len(pieces) == 1:
        raise ValueError(
            f"{source!r} is neither a JSON Pointer, which starts with '/',"
            " nor a template with a {/pointer} part"
        )
    literals = pieces[0::2]
    pointers = [Pointer(piece) for piece in pieces[1::2]]

    def find(document: Any) -> str:
        text = [literals[0]]
        for pointer, literal in zip(pointers, literals[1:], strict=True):
            text.append(as_text(pointer.find(document)))
            text.append(literal)
        return "".join(text)

    return find


def as_text(value: Any) -> str:
    """A string as it is, anything else as compact JSON; a lone surrogate, which no API accepts,
    becomes U+FFFD. Raises ValueError for values that are nested too deep."""
    return fit(value if type(value) is str else compact(value))
