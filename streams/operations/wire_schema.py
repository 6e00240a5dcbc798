"""What is sent of a user's schema: the part of JSON Schema that the API takes.

It takes every value that the user's schema takes, with three exceptions that a schema cannot say
there: objects have the properties that are named, no others; a schema with "properties" and without
"type" is one of objects; an alternative has the properties around it and its own. Alternatives that
no value keeps are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from streams.codec.numbers import Number, near
from streams.codec.strict_json import compact
from streams.operations.contradictions import contradiction
from streams.operations.examples import Examples
from streams.operations.shapes import LIMITS, Part, Path, Shape, Shapes, place

_UNSUPPORTED: Final = frozenset(
    {
        "patternProperties",
        "prefixItems",
        "unevaluatedItems",
        "if",
        "then",
        "else",
        "dependentSchemas",
        "dependencies",
        "additionalItems",
        "$dynamicRef",
        "$recursiveRef",
        "$anchor",
        "$dynamicAnchor",
    }
)
_FORM: Final = LIMITS | {
    *("$ref", "allOf", "anyOf", "oneOf", "type", "enum", "const", "properties", "required"),
    *("additionalProperties", "items"),
}
"""Keywords that say what a value may be; the others only speak about it."""

_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_SIMPLE_PATTERN: Final = re.compile(r"(?:[^\\()]|\\[wdsWDS.\-\[\]{}()*+?^$|/\\])*")
"""No groups, look-arounds, back-references or word boundaries."""


class Nothing(NamedTuple):
    """Instead of a schema: no value keeps it, and why."""

    reason: str


Wire = dict[str, Any] | Nothing


class Sent:
    """One walk over one schema. `defs`: the definitions to send; `problems`: what cannot be sent,
    each line with its place."""

    def __init__(self, root: dict[str, Any], examples: Examples) -> None:
        self.defs: dict[str, Any] = {}
        self.problems: list[str] = []
        self._shapes = Shapes(root, self._report)
        self._examples = examples
        self._defined: dict[str, Wire] = {}  # by reference

    def emit(self, parts: Sequence[Part]) -> Wire:
        """What is sent for a value that keeps all of these."""
        if len(parts) == 1:
            (part,) = parts
            if not isinstance(part.schema, dict):
                return self._boolean(part)
            form = _FORM & part.schema.keys()
            if part.schema.keys() == {"$ref"}:
                return self._reference(part)
            if form in ({"anyOf"}, {"oneOf"}) and len(part.schema[min(form)]) > 1:
                return self._any_of(part, min(form))
        shapes = self._shapes.of(parts)
        if len(shapes) == 1:
            return self._shape(shapes[0], 0)
        shared = _shared(shapes)
        wire = _one_of([self._shape(shape, shared) for shape in shapes])
        if isinstance(wire, dict):
            outer = [text for texts in _texts(shapes[0].limits)[:shared] for text in texts]
            _describe(wire, outer, shapes[0].annotations)
        return wire

    def _report(self, path: Path, text: str) -> None:
        line = f"{place(path)}: {text}"
        if line not in self.problems:
            self.problems.append(line)

    def _boolean(self, part: Part) -> Wire:
        if part.schema is False:
            return Nothing(f"{place(part.path)}: false takes no value")
        self._report(part.path, "true is no schema for the API: name a type")
        return {}

    def _any_of(self, part: Part, keyword: str) -> Wire:
        """Each branch by itself, so that references stay references. The API has no oneOf; we check
        that exactly one fits."""
        branches = range(len(part.schema[keyword]))
        wire = _one_of([self.emit([part.at(keyword, str(number))]) for number in branches])
        if isinstance(wire, dict):
            (shape,) = Shapes(None).of([part._replace(schema=_spoken(part.schema))])
            _describe(wire, _texts(shape.limits)[0], shape.annotations)
        return wire

    def _reference(self, part: Part) -> Wire:
        reference = str(part.schema["$ref"])
        target = self._shapes.target(part)
        if target is None:
            return {}
        if reference not in self._defined:
            name = self._new_name(reference)
            self._defined[reference] = {"$ref": f"#/$defs/{name}"}
            wire = self.emit([target])
            if isinstance(wire, Nothing):
                del self.defs[name]
                self._defined[reference] = wire
            else:
                self.defs[name] = wire
        return self._defined[reference]

    def _new_name(self, reference: str) -> str:
        base = re.sub(r"\W+", "_", reference.rsplit("/", 1)[-1]) or "definition"
        name, n = base, 1
        while name in self.defs:
            n += 1
            name = f"{base}_{n}"
        self.defs[name] = {}  # reserve this name
        return name

    def _shape(self, shape: Shape, shared: int) -> Wire:
        """What is sent for one alternative. `shared`: how many of its first parts are described
        outside it, where they are common to all."""
        for part, _ in shape.limits:
            self._refuse(part)
        if reason := contradiction(shape):
            return Nothing(reason)
        wire: dict[str, Any] = {}
        types = shape.types
        if types is None and shape.values is None and (shape.properties or shape.required):
            types = ("object",)
        if types is not None:
            wire["type"] = types[0] if len(types) == 1 else list(types)
        if shape.values is not None:
            return self._values(shape, wire, shared)
        if types is not None and "object" in types and (reason := self._object(shape, wire)):
            return Nothing(reason)
        if shape.items and shape.may_be("array"):
            items = self.emit(shape.items)
            if not isinstance(items, Nothing):
                wire["items"] = items
            elif any(shape.limit("minItems")):
                return items
            else:  # the API has no form for an array that is always empty
                self.problems.append(items.reason)
        wire.update(_enforced(shape.limits))
        texts = [text for texts in _texts(shape.limits)[shared:] for text in texts]
        _describe(wire, texts, {} if shared else shape.annotations)
        return wire

    def _values(self, shape: Shape, wire: dict[str, Any], shared: int) -> Wire:
        values = [value for value in shape.values or () if self._examples.keeps(value, shape)]
        if not values:
            return Nothing(f"{place(shape.path)}: none of its values keeps the rest of the schema")
        if any(isinstance(value, dict | list) for value in values):
            self._report(shape.path, "enum takes strings, numbers, booleans and null")
        texts = [text for texts in _texts(shape.limits)[shared:] for text in texts]
        if any(isinstance(value, Number) and near(value) is value for value in values):
            texts.append(f"Must be one of {compact(values)}.")  # the SDK writes floats
        elif shape.is_const:
            wire["const"] = values[0]
        else:
            wire["enum"] = values
        _describe(wire, texts, {} if shared else shape.annotations)
        return wire

    def _refuse(self, part: Part) -> None:
        unsupported = sorted(_UNSUPPORTED & part.schema.keys())
        if unsupported:
            self._report(part.path, f"the API does not take {', '.join(unsupported)}")
        for keyword in ("additionalProperties", "unevaluatedProperties"):
            if isinstance(part.schema.get(keyword), dict) and part.schema[keyword]:
                path = (*part.path, keyword)
                self._report(path, 'the API takes no maps: name the properties in "properties"')

    def _object(self, shape: Shape, wire: dict[str, Any]) -> str:
        """Puts the properties into `wire`. Returns why no object has this shape, or nothing."""
        if not shape.properties and shape.names is None:
            self._report(shape.path, "an object needs named properties: the API takes no maps")
        for name, path in self._demanded(shape):
            if name not in shape.properties:
                self._report(path, f'names {compact(name)}, which "properties" lacks')
        properties: dict[str, Any] = {}
        for name in shape.declared():
            parts = shape.properties[name]
            inner = self.emit(parts)
            if not isinstance(inner, Nothing):
                properties[name] = inner
            elif name in shape.required:
                return inner.reason
            elif len(parts) == 1 and parts[0].schema is not False:
                self.problems.append(inner.reason)  # a slip: the property could never be
        wire["properties"] = properties
        wire["required"] = [name for name in shape.required if name in properties]
        wire["additionalProperties"] = False
        return ""

    def _demanded(self, shape: Shape) -> Iterator[tuple[str, Path]]:
        yield from shape.required.items()
        for part, limits in shape.limits:
            for name, others in limits.get("dependentRequired", {}).items():
                for other in others if name in shape.properties else ():
                    yield other, (*part.path, "dependentRequired", name)


# -- what is written -----------------------------------------------------------------------------


def _spoken(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _FORM}


def _one_of(found: Sequence[Wire]) -> Wire:
    """Any of these; those that no value keeps are left out."""
    sent = [wire for wire in found if not isinstance(wire, Nothing)]
    return {"anyOf": sent} if sent else found[0]


def _shared(shapes: Sequence[Shape]) -> int:
    """How many parts all shapes begin with."""
    paths = [[part.path for part, _ in shape.limits] for shape in shapes]
    shared = 0
    for steps in zip(*paths, strict=False):
        if len(set(steps)) > 1:
            break
        shared += 1
    return shared


def _enforced(limits: Sequence[tuple[Part, Mapping[str, Any]]]) -> dict[str, Any]:
    """What of the limits the API enforces."""
    sent: dict[str, Any] = {}
    for _, given in limits:
        if given.get("format") in _FORMATS:
            sent.setdefault("format", given["format"])
        if "pattern" in given and _SIMPLE_PATTERN.fullmatch(given["pattern"]):
            sent.setdefault("pattern", given["pattern"])
        if "minItems" in given:
            sent["minItems"] = max(sent.get("minItems", 0), min(1, int(given["minItems"])))
    return sent


def _texts(limits: Sequence[tuple[Part, Mapping[str, Any]]]) -> list[list[str]]:
    """What the description says of each part: its own words, and what the API cannot enforce."""
    sent = _enforced(limits)
    found: list[list[str]] = []
    for part, given in limits:
        told = {key: value for key, value in given.items() if sent.get(key) != value}
        words = [str(part.schema["description"])] if "description" in part.schema else []
        found.append([*words, *([f"Must satisfy {compact(told)}."] if told else [])])
    return found


def _describe(wire: dict[str, Any], texts: Sequence[str], annotations: Mapping[str, Any]) -> None:
    if texts:
        wire["description"] = " ".join(dict.fromkeys(texts))
    wire.update(annotations)
