"""Makes values that keep a schema: to see, before a call is paid, that there are any.

At each place some values of each shape are tried and those that keep the schema go on, so that one
at the root keeps all of it. It finds an example of every usual schema; where patterns, "not" and
"contains" leave it none, the schema's own "examples" may show one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, islice, pairwise
from typing import Any, Final

from streams.codec.exact_schema import exact, same
from streams.codec.numbers import exact as decimal_of
from streams.codec.numbers import integer, number
from streams.operations.patterns import PatternError, matching
from streams.operations.shapes import TYPES, Part, Shape, Shapes

_MAX_VALUES: Final = 8
"""Of one place."""
_MAX_LENGTH: Final = 100_000
"""Of a string or array that is made."""
_MAX_POWER: Final = 60

_TEXTS: Final = ("text", "a", "", "A word", "1", "true")
_OF_FORMAT: Final = {
    "date-time": "2026-01-31T12:30:00Z",
    "time": "12:30:00Z",
    "date": "2026-01-31",
    "duration": "P3D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}


class Examples:
    """The examples of one schema. `may_miss_some`: it has a pattern that none was made for."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._shapes = Shapes(root)
        self._valid = exact()(root)
        self.may_miss_some = False

    def first(self) -> dict[str, Any] | None:
        """A value of the whole schema; None: none was found."""
        given = self._root.get("examples", ()) if isinstance(self._root, dict) else ()
        shown = [value for value in given if self.keeps_all(value, [Part(self._root, ())])]
        found: dict[str, Any] | None = next(chain(shown, self._of([Part(self._root, ())])), None)
        return found

    def keeps(self, value: Any, shape: Shape) -> bool:
        """Whether the value keeps every part of the shape."""
        return self.keeps_all(value, [part for part, _ in shape.limits])

    def keeps_all(self, value: Any, parts: Sequence[Part]) -> bool:
        try:
            return all(self._valid.evolve(schema=part.schema).is_valid(value) for part in parts)
        except Exception:  # whatever the library stumbles over, no answer passes it
            return False

    def _of(self, parts: Sequence[Part]) -> Iterator[Any]:
        """Different values that keep all of these."""
        found: list[Any] = []
        for shape in self._shapes.of(parts):
            made = islice(self._made(shape), 200)
            for value in made:
                if self.keeps_all(value, parts) and not any(same(value, old) for old in found):
                    found.append(value)
                    yield value
                if len(found) >= _MAX_VALUES:
                    return

    def _made(self, shape: Shape) -> Iterator[Any]:
        if shape.nothing:
            return
        if shape.values is not None:
            yield from shape.values
            return
        for kind in shape.types or TYPES:
            if kind == "object":
                yield from self._objects(shape)
            elif kind == "array":
                yield from self._arrays(shape)
            elif kind == "string":
                yield from self._strings(shape)
            elif kind in ("number", "integer"):
                yield from _numbers(shape, whole=kind == "integer")
            else:
                yield from (True, False) if kind == "boolean" else (None,)

    def _objects(self, shape: Shape) -> Iterator[dict[str, Any]]:
        values: dict[str, list[Any]] = {}
        for name in shape.declared():
            values[name] = list(self._of(shape.properties[name]))
        names = [name for name in values if values[name]]
        required = [name for name in names if name in shape.required]
        if len(required) < len(shape.required):
            return
        yield _chosen(values, required, 0)
        yield _chosen(values, names, 0)
        for turn in range(1, _MAX_VALUES):
            yield _chosen(values, required, turn)
            yield _chosen(values, names, turn)
        for name in names:
            yield _chosen(values, [*required, *([] if name in required else [name])], 0)
            for turn in range(1, len(values[name])):
                yield {**_chosen(values, names, 0), name: values[name][turn]}

    def _arrays(self, shape: Shape) -> Iterator[list[Any]]:
        items = list(self._of(shape.items)) if shape.items else [1, "a", True, None, 2, 3]
        wanted = [
            value
            for part, limits in shape.limits
            if isinstance(limits.get("contains"), dict)
            for value in self._of([*shape.items, part.at("contains")])
        ]
        least = [*shape.limit("minItems"), *shape.limit("minContains")]
        at_least = int(max(least, default=0))
        for values in (wanted, [*wanted[:1], *items], items) if at_least <= _MAX_LENGTH else ():
            for length in (at_least, at_least + 1):
                yield values[:length]
                yield [*values[:1], *values[-1:] * (length - 1)][:length] if values else []
                yield (values * (length // len(values) + 1))[:length] if values else []

    def _strings(self, shape: Shape) -> Iterator[str]:
        low = int(max(shape.limit("minLength"), default=0))
        high = min(shape.limit("maxLength"), default=None)
        for pattern in shape.limit("pattern"):
            try:
                drawn = [matching(pattern, number) for number in range(_MAX_VALUES)]
            except (PatternError, RecursionError):
                drawn = []
            good = [text for text in drawn if self.keeps(text, shape)]
            self.may_miss_some = self.may_miss_some or not good
            yield from good
        yield from (_OF_FORMAT[name] for name in shape.limit("format") if name in _OF_FORMAT)
        for text in _TEXTS if low <= _MAX_LENGTH else ():
            padded = text + "x" * (low - len(text))
            yield padded if high is None else padded[: int(high)]


def _chosen(values: Mapping[str, Sequence[Any]], names: Sequence[str], turn: int) -> dict[str, Any]:
    return {name: values[name][turn % len(values[name])] for name in names}


def _numbers(shape: Shape, *, whole: bool) -> Iterator[Any]:
    """Numbers at and beside the limits, and the multiples next to these."""
    limits = [
        decimal_of(limit)
        for keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        for limit in shape.limit(keyword)
    ]
    steps = [decimal_of(step) for step in shape.limit("multipleOf")]
    if any(abs(value.adjusted()) > _MAX_POWER for value in [*limits, *steps] if value):
        yield from (value for value in shape.limit("minimum") + shape.limit("maximum"))
        return
    near = [Decimal(0), Decimal(1), *limits]
    near += [sum(pair, Decimal(0)) / 2 for pair in pairwise(limits)]
    for value in near:
        for step in [*steps, Decimal(1)]:
            for turn in (0, 1, -1):
                multiple = (value / step).to_integral_value() * step + turn * step
                yield _json_number(multiple)
        if not whole:
            yield _json_number(value)
            yield _json_number(value + Decimal("0.5"))


def _json_number(value: Decimal) -> Any:
    text = f"{value:f}"
    return number(text) if "." in text else integer(text)
