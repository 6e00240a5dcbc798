"""The JSON Schemas that structured answers accept, and what they refuse with 400."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from streams.operations.patterns import PatternError, matching
from streams.simulator.text_pieces import FORMATS
from streams.simulator.wire import RefusalError

OPTIONAL_PROPERTIES: Final = 24
UNIONS: Final = 16

_UNSUPPORTED: Final = frozenset(
    (
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "contains",
        "prefixItems",
        "minProperties",
        *[
            "maxProperties",
            "patternProperties",
            "propertyNames",
            "not",
            "if",
            "then",
            "else",
            "oneOf",
        ],
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
    )
)
_TYPES: Final = frozenset(("object", "array", "string", "integer", "number", "boolean", "null"))
_MAX_SCHEMAS: Final = 64
_checked_schemas: dict[bytes, None] = {}


def check_schema(schema: Any) -> None:
    """Raises RefusalError (400) for a schema that structured answers do not support."""
    if not isinstance(schema, dict):
        raise RefusalError(400, "output_config.format.schema: Field required")
    key = orjson.dumps(schema)
    if key in _checked_schemas:
        return
    _check_form(schema)
    _Check(schema).run()
    if len(_checked_schemas) >= _MAX_SCHEMAS:
        _checked_schemas.clear()
    _checked_schemas[key] = None


def _check_form(schema: dict[str, Any]) -> None:
    """Refuses a schema that is not valid JSON Schema."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "".join(f".{step}" for step in error.absolute_path)
        raise RefusalError(
            400, f"output_config.format.schema{where}: JSON schema is invalid: {error.message}"
        ) from None


class _Check:
    """One walk over a schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._optional = 0
        self._unions = 0

    def run(self) -> None:
        self._visit(self._root, "schema", ())
        if self._optional > OPTIONAL_PROPERTIES:
            raise RefusalError(
                400,
                f"Schemas contains too many optional parameters ({self._optional}); the limit is "
                f"{OPTIONAL_PROPERTIES}.",
            )
        if self._unions > UNIONS:
            raise RefusalError(
                400,
                f"Schemas contains too many parameters with union types ({self._unions}); the "
                f"limit is {UNIONS}.",
            )

    def _visit(self, schema: Any, path: str, references: tuple[str, ...]) -> None:
        where = f"output_config.format.{path}"
        if not isinstance(schema, dict):
            raise RefusalError(400, f"{where}: Input should be a valid dictionary")
        unsupported = next((name for name in schema if name in _UNSUPPORTED), None)
        if unsupported is not None:
            raise RefusalError(
                400, f"{where}: For this schema, property '{unsupported}' is not supported"
            )
        if "$ref" in schema:
            self._reference(str(schema["$ref"]), path, references)
            return
        self._keywords(schema, where)
        for name, part in _parts(schema):
            self._visit(part, f"{path}.{name}", references)

    def _keywords(self, schema: Mapping[str, Any], where: str) -> None:
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds] if kinds is not None else []
        unknown = next((kind for kind in kinds if kind not in _TYPES), None)
        if unknown is not None:
            raise RefusalError(400, f"{where}.type: '{unknown}' is not a type")
        self._unions += len(kinds) > 1 or "anyOf" in schema
        if "object" in kinds or "properties" in schema:
            if schema.get("additionalProperties") is not False:
                raise RefusalError(
                    400,
                    f"{where}: For 'object' type, 'additionalProperties' must be explicitly set "
                    "to false",
                )
            required = schema.get("required", ())
            self._optional += sum(name not in required for name in schema.get("properties", ()))
        if schema.get("minItems", 0) not in (0, 1):
            raise RefusalError(
                400,
                f"{where}: For 'array' type, 'minItems' values other than 0 or 1 are not supported",
            )
        if schema.get("enum") == []:
            raise RefusalError(400, f"{where}: 'enum' must not be empty")
        if any(isinstance(value, dict | list) for value in schema.get("enum", ())):
            raise RefusalError(400, f"{where}: 'enum' may hold strings, numbers, booleans and null")
        if schema.get("format", "date") not in FORMATS:
            raise RefusalError(400, f"{where}: String format '{schema['format']}' is not supported")
        if "pattern" in schema:
            try:
                matching(schema["pattern"], 0)
            except PatternError:
                raise RefusalError(400, f"{where}: this 'pattern' is not supported") from None

    def _reference(self, reference: str, path: str, references: tuple[str, ...]) -> None:
        where = f"output_config.format.{path}"
        if not reference.startswith("#"):
            raise RefusalError(400, f"{where}: External $ref '{reference}' is not supported")
        if reference in references or reference == "#":
            raise RefusalError(400, f"{where}: Recursive schemas are not supported ('{reference}')")
        target: Any = self._root
        for step in reference.lstrip("#/").split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            target = target.get(step) if isinstance(target, dict) else None
        if target is None:
            raise RefusalError(400, f"{where}: $ref '{reference}' points nowhere")
        self._visit(target, path, (*references, reference))


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas within a schema. Definitions are visited where they are referred to."""
    for name, part in (schema.get("properties") or {}).items():
        yield f"properties.{name}", part
    if "items" in schema:
        yield "items", schema["items"]
    for word in ("anyOf", "allOf"):
        for place, part in enumerate(schema.get(word) or ()):
            yield f"{word}.{place}", part
