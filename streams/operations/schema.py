"""Prepares a user's JSON Schema for the API, which takes a part of JSON Schema only.

The API cannot enforce some keywords. They are not sent as such: the description names them, so
that the model knows them, and we check the answer with the schema as the user wrote it. What cannot
be sent in any form (recursion, maps, remote references, too many optional properties) is a problem
that the user hears of at the start. Source of the limits: docs/operations.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16

_SUPPORTED: Final = frozenset({"type", "enum", "const", "default", "title", "description"})
_LOCAL_CHECKS: Final = frozenset(
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
"""Keywords that the API refuses, always or in part: the description names them, we check them."""

_UNSUPPORTED: Final = frozenset(
    {
        "patternProperties",
        "prefixItems",
        "unevaluatedProperties",
        "unevaluatedItems",
        "if",
        "then",
        "else",
        "dependentSchemas",
        "$dynamicRef",
        "$recursiveRef",
        "$anchor",
        "$dynamicAnchor",
    }
)
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_SIMPLE_PATTERN: Final = re.compile(r"(?:[^\\()]|\\[wdsWDS.\-\[\]{}()*+?^$|/\\])*")
"""No groups, look-arounds, back-references or word boundaries."""


_JSON: Final = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str
)
"""Not orjson: a limit may be an integer of more than 64 bits."""


class Prepared(NamedTuple):
    """`schema`: the schema of one answer, as it is sent. `defs`: its definitions, to move to the
    root of the reply's schema. `problems`: one line each, starting with the place in the schema;
    empty: the schema can be used."""

    schema: dict[str, Any]
    defs: dict[str, Any]
    problems: list[str]


def prepare(schema: Any) -> Prepared:
    """The user's schema as the API takes it. Never raises."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return Prepared({}, {}, [f"{_place(error.absolute_path)}: {error.message}"])
    except RecursionError:
        return Prepared({}, {}, ["the schema is nested too deep"])
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return Prepared({}, {}, ['the schema must have "type": "object" at its root'])
    preparation = _Preparation(schema)
    try:
        wire = preparation.subschema(schema, ())
    except RecursionError:
        return Prepared({}, {}, ["the schema is nested too deep"])
    return Prepared(wire, preparation.defs, preparation.all_problems())


def _place(path: Any) -> str:
    return "/" + "/".join(str(step) for step in path)


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return types if isinstance(types, list) else [types]


class _Preparation:
    """One walk over one schema, collecting its definitions, its counts and its problems."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.defs: dict[str, Any] = {}
        self._root = root
        self._problems: list[str] = []
        self._names: dict[str, str] = {}  # pointer of a reference -> name in defs
        # references that are being followed: a repeated one is a recursion
        self._open: list[str] = []
        self._costs: dict[str, tuple[int, int]] = {}  # reference -> optionals, unions
        self._optional = 0
        self._unions = 0

    def all_problems(self) -> list[str]:
        problems = list(self._problems)
        if self._optional > MAX_OPTIONAL:
            problems.append(
                f"/: {self._optional} optional properties, the API takes {MAX_OPTIONAL}: "
                'list more of them under "required"'
            )
        if self._unions > MAX_UNIONS:
            problems.append(
                f"/: {self._unions} properties of several types, the API takes {MAX_UNIONS}"
            )
        return problems

    def subschema(self, schema: Any, path: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(schema, dict):
            return self._problem(path, "true and false are no schemas for the API: name a type")
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]), path)
        unsupported = sorted(_UNSUPPORTED & schema.keys())
        if unsupported:
            return self._problem(path, f"the API does not take {', '.join(unsupported)}")
        wire = {key: value for key, value in schema.items() if key in _SUPPORTED}
        self._alternatives(schema, path, wire)
        if "properties" in schema or "object" in _types(schema):
            self._object(schema, path, wire)
        if "items" in schema:
            wire["items"] = self.subschema(schema["items"], (*path, "items"))
        self._scalars(schema, path, wire)
        return wire

    def _problem(self, path: tuple[str, ...], text: str) -> dict[str, Any]:
        self._problems.append(f"{_place(path)}: {text}")
        return {}

    def _object(
        self, schema: Mapping[str, Any], path: tuple[str, ...], wire: dict[str, Any]
    ) -> None:
        properties = schema.get("properties") or {}
        if not properties and "allOf" not in schema and "anyOf" not in schema:
            self._problem(path, "an object needs named properties: the API takes no maps")
        required = [name for name in schema.get("required", ()) if name in properties]
        self._optional += len(properties) - len(required)
        wire["type"] = schema.get("type", "object")
        wire["properties"] = {
            name: self.subschema(inner, (*path, "properties", name))
            for name, inner in properties.items()
        }
        wire["required"] = required
        wire["additionalProperties"] = False

    def _alternatives(
        self, schema: Mapping[str, Any], path: tuple[str, ...], wire: dict[str, Any]
    ) -> None:
        if isinstance(schema.get("type"), list) or "anyOf" in schema or "oneOf" in schema:
            self._unions += 1
        for keyword in ("allOf", "anyOf", "oneOf"):
            if keyword in schema:
                # The API has no oneOf; we check that exactly one fits.
                sent = "anyOf" if keyword == "oneOf" else keyword
                wire[sent] = [
                    self.subschema(inner, (*path, keyword, str(n)))
                    for n, inner in enumerate(schema[keyword])
                ]

    def _scalars(
        self, schema: Mapping[str, Any], path: tuple[str, ...], wire: dict[str, Any]
    ) -> None:
        for value in schema.get("enum", ()):
            if isinstance(value, dict | list):
                self._problem(path, "enum takes strings, numbers, booleans and null")
        local = {key: schema[key] for key in schema.keys() & _LOCAL_CHECKS}
        if local.get("format") in _FORMATS:
            wire["format"] = local.pop("format")
        if "pattern" in local and _SIMPLE_PATTERN.fullmatch(local["pattern"]):
            wire["pattern"] = local.pop("pattern")
        if "minItems" in local:
            wire["minItems"] = min(1, int(local["minItems"]))
            if local["minItems"] <= 1:
                del local["minItems"]
        if local:
            note = f"Must satisfy {_JSON.encode(local)}."
            wire["description"] = f"{schema.get('description', '')} {note}".strip()

    def _reference(self, reference: str, path: tuple[str, ...]) -> dict[str, Any]:
        if reference in self._open or reference == "#":
            return self._problem(path, f"{reference} refers to itself: the API takes no recursion")
        if reference not in self._names:
            target = resolve(self._root, reference)
            if target is None:
                return self._problem(path, f"{reference} is not in this schema")
            self._define(reference, target, path)
        optional, unions = self._costs[reference]
        self._optional += optional
        self._unions += unions
        return {"$ref": f"#/$defs/{self._names[reference]}"}

    def _define(self, reference: str, target: Any, path: tuple[str, ...]) -> None:
        """Moves the definition of a reference to the root. Its counts are set aside: they count at
        each use."""
        name = self._new_name(reference)
        before = self._optional, self._unions
        self._optional = self._unions = 0
        self._open.append(reference)
        self.defs[name] = self.subschema(target, (*path, "$ref"))
        self._open.pop()
        self._costs[reference] = (self._optional, self._unions)
        self._optional, self._unions = before
        self._names[reference] = name

    def _new_name(self, reference: str) -> str:
        base = re.sub(r"\W+", "_", reference.rsplit("/", 1)[-1]) or "definition"
        name, n = base, 1
        while name in self.defs or name in self._names.values():
            n += 1
            name = f"{base}_{n}"
        self.defs[name] = {}  # reserve this name
        return name


def resolve(root: Any, reference: str) -> Any:
    """What a reference of the form `#/a/b` names in `root`; None: nothing, or not in `root`."""
    if not reference.startswith("#/"):
        return None
    target = root
    for step in reference[2:].split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            return None
    return target
