"""Which part of a record is the text: what `--text` says, and what to say where it is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.errors import UsageError


def text_option(value: str) -> str:
    """`--text` as a JSON Pointer or a template; a name alone is that field's. Raises UsageError."""
    from streams.settings.values import pointer_or_template

    if not value.startswith("/") and "{" not in value:
        return pointer_to(value)
    try:
        return pointer_or_template(value)
    except ValueError as error:
        raise UsageError(f"--text {error}") from None


def pointer_to(name: str) -> str:
    """The JSON Pointer of a field."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def advice(document: Mapping[str, Any]) -> str:
    """The field that is probably the text: the one with the longest string."""
    strings = {name: len(value) for name, value in document.items() if isinstance(value, str)}
    if not strings:
        return "say where it is with --text"
    longest = max(strings, key=lambda name: strings[name])
    fields = ", ".join(document)
    return f"say where it is: the fields are {fields}, perhaps --text '{pointer_to(longest)}'"
