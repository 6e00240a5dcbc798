"""The alternatives of a JSON Schema: `allOf`, `anyOf`, `oneOf` and `$ref` multiplied out.

    {"properties": A, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}   two shapes
    {"$ref": "#/$defs/price", "maximum": 5}                                  one

A `Shape` is what one alternative demands in all. What belongs to an object (a property, the items
of a list) stays a list of `Part`s: the shapes of these are made where they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from streams.codec.exact_schema import same

MAX_SHAPES: Final = 32
"""Alternatives of one value; more are refused."""

ANNOTATIONS: Final = ("title", "default")
TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")
LIMITS: Final = frozenset(
    {
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "pattern",
        "format",
        "propertyNames",
        "not",
        "minProperties",
        "maxProperties",
        "dependentRequired",
    }
)
"""Keywords that limit a value without giving it a form."""

Path = tuple[str, ...]


class Part(NamedTuple):
    """A schema, where it stands, and the references that led there."""

    schema: Any
    path: Path
    references: tuple[str, ...] = ()

    def at(self, *steps: str) -> Part:
        """The schema below, by the keywords and names that lead to it."""
        schema = self.schema
        for step in steps:
            schema = schema[int(step)] if isinstance(schema, list) else schema[step]
        return self._replace(schema=schema, path=(*self.path, *steps))


@dataclass(frozen=True)
class Shape:
    """One alternative. `path`: of its first part. `types`, `values`: None: any. `names`: the names
    that "additionalProperties": false leaves; None: it stands nowhere. `limits`: every part with
    its keywords of `LIMITS`. `nothing`: why no value has this shape."""

    path: Path = ()
    types: tuple[str, ...] | None = None
    values: list[Any] | None = None
    is_const: bool = False
    properties: Mapping[str, list[Part]] = field(default_factory=dict)
    required: Mapping[str, Path] = field(default_factory=dict)
    names: frozenset[str] | None = None
    items: Sequence[Part] = ()
    limits: Sequence[tuple[Part, Mapping[str, Any]]] = ()
    annotations: Mapping[str, Any] = field(default_factory=dict)
    nothing: str = ""

    def declared(self) -> list[str]:
        """The properties that an object of this shape may have."""
        return [name for name in self.properties if self.names is None or name in self.names]

    def may_be(self, kind: str) -> bool:
        return self.types is None or bool(_both((kind,), self.types))

    def limit(self, keyword: str) -> list[Any]:
        """What all parts say of one keyword."""
        return [limits[keyword] for _, limits in self.limits if keyword in limits]


Report = Callable[[Path, str], None]


class Shapes:
    """Makes the shapes of the parts of one schema. `report`: is told what cannot be used."""

    def __init__(self, root: Any, report: Report = lambda path, text: None) -> None:
        self._root = root
        self._report = report

    def of(self, parts: Iterable[Part]) -> list[Shape]:
        """The alternatives of a value that keeps all of these."""
        shapes = [Shape()]
        for part in parts:
            shapes = self._each(shapes, [part])
        return shapes

    def target(self, part: Part) -> Part | None:
        """What the part's `$ref` names; None: it is reported."""
        reference = str(part.schema["$ref"])
        if reference in part.references or reference == "#":
            self._report(part.path, f"{reference} refers to itself: the API takes no recursion")
            return None
        target = resolve(self._root, reference)
        if target is None:
            self._report(part.path, f"{reference} is not in this schema")
            return None
        return Part(target, pointer_steps(reference), (*part.references, reference))

    def _each(self, shapes: list[Shape], branches: list[Part]) -> list[Shape]:
        """Every shape with every branch."""
        if len(shapes) * len(branches) > MAX_SHAPES:
            self._report(branches[0].path[:-1], f"more than {MAX_SHAPES} alternatives in all")
            return shapes[:1]
        found = [new for shape in shapes for part in branches for new in self._with(shape, part)]
        if len(found) > MAX_SHAPES:
            self._report(branches[0].path[:-1], f"more than {MAX_SHAPES} alternatives in all")
        return found[:MAX_SHAPES]

    def _with(self, shape: Shape, part: Part) -> list[Shape]:
        schema = part.schema
        if not isinstance(schema, dict):
            never = f"{place(part.path)}: false takes no value"
            return [shape if schema is True else replace(shape, nothing=shape.nothing or never)]
        shapes = [merged(shape, part)]
        if "$ref" in schema and (target := self.target(part)) is not None:
            shapes = self._each(shapes, [target])
        for number in range(len(schema.get("allOf", ()))):
            shapes = self._each(shapes, [part.at("allOf", str(number))])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                numbers = range(len(schema[keyword]))
                shapes = self._each(shapes, [part.at(keyword, str(n)) for n in numbers])
        return shapes


def merged(shape: Shape, part: Part) -> Shape:
    """The shape with the part's own keywords."""
    schema: Mapping[str, Any] = part.schema
    properties = dict(shape.properties)
    for name in schema.get("properties", {}):
        properties[name] = [*properties.get(name, ()), part.at("properties", name)]
    required = dict(shape.required)
    for name in schema.get("required", ()):
        required.setdefault(name, (*part.path, "required"))
    names = shape.names
    if schema.get("additionalProperties") is False:
        own = frozenset(schema.get("properties", {}))
        names = own if names is None else names & own
    limits = {key: schema[key] for key in sorted(schema.keys() & LIMITS)}
    described = {key: schema[key] for key in ANNOTATIONS if key in schema}
    typed = _typed(shape, schema, part.path)
    return replace(
        typed,
        path=shape.path if shape.limits else part.path,
        properties=properties,
        required=required,
        names=names,
        items=[*shape.items, part.at("items")] if "items" in schema else shape.items,
        limits=[*shape.limits, (part, limits)],
        annotations={**described, **shape.annotations},
    )


def _typed(shape: Shape, schema: Mapping[str, Any], path: Path) -> Shape:
    """The shape with the part's types and values."""
    nothing, types, values, is_const = shape.nothing, shape.types, shape.values, shape.is_const
    if "type" in schema:
        given = schema["type"]
        own = tuple(given) if isinstance(given, list) else (given,)
        types = own if types is None else _both(types, own)
        if not types:
            nothing = nothing or f"{place(path)}: no value is of all types at once"
    if "const" in schema:
        values, is_const = _values(values, [schema["const"]]), True
    if "enum" in schema:
        values = _values(values, schema["enum"])
    if values == []:
        nothing = nothing or f"{place(path)}: enum and const leave no value"
    return replace(shape, types=types, values=values, is_const=is_const, nothing=nothing)


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The types in both; an integer is a number."""
    found = [name for name in one if name in other]
    numbers = [{"number", "integer"} & set(names) for names in (one, other)]
    if sorted(map(sorted, numbers)) == [["integer"], ["number"]]:
        found.append("integer")
    return tuple(found)


def _values(values: list[Any] | None, own: list[Any]) -> list[Any]:
    if values is None:
        return list(own)
    return [value for value in values if any(same(value, other) for other in own)]


# -- places --------------------------------------------------------------------------------------


def place(path: Iterable[object]) -> str:
    """A JSON Pointer; the root is "/", so that a line never starts without a place."""
    return "/" + "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in path)


def pointer_steps(reference: str) -> Path:
    """The steps of a reference of the form `#/a/b`."""
    steps = unquote(reference[2:]).split("/")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def resolve(root: Any, reference: str) -> Any:
    """What a reference of the form `#/a/b` names in `root`; None: nothing, or not in `root`."""
    if not reference.startswith("#/"):
        return None
    target = root
    for name in pointer_steps(reference):
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            return None
    return target
