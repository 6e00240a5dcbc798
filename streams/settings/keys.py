"""How a key is declared: its default, its range, and the words that say what is allowed.

Every field made here carries as its description the phrase that completes "must be ...", so that
one sentence serves every kind of error.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Table(BaseModel):
    """A table of the file: frozen; unknown keys are refused; errors show no value."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def whole(default: int | None, lowest: int, highest: int) -> Any:
    """A whole number: no fraction, no boolean, no text."""
    allowed = f"a whole number from {lowest} to {highest}"
    return Field(default=default, ge=lowest, le=highest, strict=True, description=allowed)


def number(default: Any, lowest: float, highest: float) -> Any:
    """A number, whole or not: no boolean, no text, neither NaN nor infinite; `...` as the default
    means that the key is required."""
    allowed = f"a number from {lowest:.9g} to {highest:.9g}"
    return Field(default=default, ge=lowest, le=highest, strict=True, description=allowed)


def truth(default: bool) -> Any:
    """true or false, nothing that merely looks like it."""
    return Field(default=default, strict=True, description="true or false")


def choice(default: Any, *words: Any) -> Any:
    """One of a few words; the annotation is the `Literal` of the same words."""
    return Field(default=default, description=one_of(words))


def string(default: Any, allowed: str = "a text in quotes") -> Any:
    """A text; `...` as the default means that the key is required."""
    return Field(default=default, description=allowed)


def table(of: type[Table], allowed: str) -> Any:
    """A nested table; left out, it has all its defaults."""
    return Field(default_factory=of, description=allowed)


def one_of(words: tuple[Any, ...]) -> str:
    """The words as a person would list them: `"a", "b" or "c"`."""
    quoted = [f'"{word}"' if isinstance(word, str) else str(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
