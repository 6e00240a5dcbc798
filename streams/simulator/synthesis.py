"""Answers any JSON Schema: one record for each item of the prompt, values that satisfy the schema.

A schema is compiled once into closures (a `Plan`) and kept: the same schema comes with every call
of a task. How values come about:

- enum: with the encoder the value whose words are closest to the item's text; else by hash
- string: a piece of the item's own text (its first sentence for "text", "summary" and the like,
  else one to three words of it), or what its `format` or `pattern` asks for
- number: the first number in the text, else by hash; boolean: by hash
- array: one record per item where its records have an "id", else one or two values
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from streams.operations.patterns import matching
from streams.simulator.encoder import Vectors, digest
from streams.simulator.prompt import PromptItem
from streams.simulator.text_pieces import first_number, first_sentence, formatted, phrase

Choose = Callable[[str, str, Sequence[Any]], Any]
"""Picks one of an enum's values: (path in the schema, text, values)."""


class Subject(NamedTuple):
    """The input of a value: an item's text and the choice of its enums."""

    text: str
    choose: Choose
    seed: int
    items: Sequence[PromptItem]
    records: list[dict[str, Any]]


Maker = Callable[[Subject], Any]

_SENTENCES: Final = frozenset(
    ("text", "summary", "answer", "title", "reason", "explanation", "description", "result")
)
_SHARES: Final = frozenset(("score", "confidence", "probability", "likelihood", "share"))
_MAX_PLANS: Final = 64


class Answer(NamedTuple):
    """`root`: the whole value. `records`: those made for items, the very objects within `root`."""

    root: Any
    records: list[dict[str, Any]]


class Plan:
    """How to answer one schema. `enums`: every list of words that a value is chosen from;
    `record`: the schema of one item's record, None where the schema has no such array."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.enums: list[Sequence[Any]] = []
        self.record: Mapping[str, Any] | None = None
        self._root = schema
        self._make = self._compile(schema, "")

    def answer(self, prompt: str, items: Sequence[PromptItem], choose: Choose, seed: int) -> Answer:
        """The answer for `items`; where there are none, one for the prompt as a whole."""
        records: list[dict[str, Any]] = []
        root = self._make(Subject(prompt, choose, seed, items, records))
        return Answer(root, records)

    def _compile(self, schema: Any, path: str) -> Maker:
        schema = self._resolved(schema)
        if "const" in schema:
            constant = schema["const"]
            return lambda subject: constant
        if "enum" in schema:
            return self._enum(schema["enum"], path)
        for word in ("anyOf", "oneOf"):
            if schema.get(word):
                return self._compile(_first_real(schema[word], self._resolved), path)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "string"
        return self._typed(kind, schema, path)

    def _typed(self, kind: str, schema: Mapping[str, Any], path: str) -> Maker:
        if kind == "object":
            return self._object(schema, path)
        if kind == "array":
            return self._array(schema, path)
        if kind == "string":
            return _string(schema, path)
        if kind == "boolean":
            return lambda subject: digest(subject.seed, path, subject.text) % 2 == 0
        if kind in ("number", "integer"):
            return _number(kind, path)
        return lambda subject: None

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """The schema behind local references, with the parts of `allOf` laid over each other."""
        if not isinstance(schema, Mapping):
            return {}
        merged = dict(schema)
        for _ in range(32):
            if "$ref" not in merged:
                break
            target: Any = self._root
            for step in str(merged.pop("$ref")).lstrip("#/").split("/"):
                step = step.replace("~1", "/").replace("~0", "~")
                target = target.get(step, {}) if isinstance(target, Mapping) else {}
            merged = {**target, **merged}
        for part in merged.pop("allOf", ()):
            part = self._resolved(part)
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**merged, **part}
            if properties:
                merged.update(properties=properties, required=required)
        return merged

    def _enum(self, values: Sequence[Any], path: str) -> Maker:
        self.enums.append(values)
        return lambda subject: subject.choose(path, subject.text, values)

    def _object(self, schema: Mapping[str, Any], path: str) -> Maker:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = schema.get("required", ())
        # The API emits required members first, in the schema's order.
        names = sorted(properties, key=lambda name: name not in required)
        makers = [(name, self._compile(properties[name], f"{path}/{name}")) for name in names]
        return lambda subject: {name: make(subject) for name, make in makers}

    def _array(self, schema: Mapping[str, Any], path: str) -> Maker:
        record = self._resolved(schema.get("items", {}))
        properties = record.get("properties", {})
        if "id" in properties and _takes_any_id(self._resolved(properties["id"])):
            self.record = self.record or record
            # The id is the item's own: a constant holds its place in the record's order.
            fixed = {**record, "properties": {**properties, "id": {"const": None}}}
            return _records(self._compile(fixed, path + "/"), properties["id"])
        make = self._compile(record, path + "/")
        if "enum" in record:
            return lambda subject: [make(subject)]
        return lambda subject: _values(make, subject, path)


def _takes_any_id(identity: Mapping[str, Any]) -> bool:
    """Whether a member named `id` can hold the id of an item, whatever that is."""
    if identity.keys() & {"const", "enum", "anyOf", "oneOf", "pattern", "format"}:
        return False
    return identity.get("type", "string") in ("string", "integer", "number")


def _records(make: Maker, identity: Mapping[str, Any]) -> Maker:
    """One record for each item, under the item's own id."""
    as_text = identity.get("type") == "string"

    def records(subject: Subject) -> list[dict[str, Any]]:
        records = []
        for item in subject.items or (PromptItem("1", subject.text),):
            record = make(Subject(item.text, subject.choose, subject.seed, (), []))
            record["id"] = str(item.id) if as_text else item.id
            records.append(record)
        subject.records.extend(records)
        return records

    return records


def _values(make: Maker, subject: Subject, path: str) -> list[Any]:
    """One or two values, each from its own half of the text."""
    middle = len(subject.text) // 2
    if digest(subject.seed, path, subject.text) % 2 or middle < 20:
        return [make(subject)]
    halves = (subject.text[:middle], subject.text[middle:])
    return [make(subject._replace(text=half)) for half in halves]


def _first_real(options: Sequence[Any], resolved: Callable[[Any], Mapping[str, Any]]) -> Any:
    """The first option that is not null."""
    return next((o for o in options if resolved(o).get("type") != "null"), options[0])


def _string(schema: Mapping[str, Any], path: str) -> Maker:
    form, pattern = schema.get("format"), schema.get("pattern")
    if form is not None:
        return lambda subject: formatted(form, digest(subject.seed, path, subject.text))
    if pattern is not None:
        return lambda subject: matching(pattern, digest(subject.seed, path, subject.text))
    if path.rpartition("/")[2] in _SENTENCES:
        return lambda subject: first_sentence(subject.text)
    return lambda subject: phrase(subject.text, digest(subject.seed, path, subject.text))


def _number(kind: str, path: str) -> Maker:
    share = path.rpartition("/")[2] in _SHARES

    def number(subject: Subject) -> int | float:
        drawn = digest(subject.seed, path, subject.text)
        if share and kind == "number":
            return drawn % 101 / 100
        found = None if share else first_number(subject.text)
        if kind == "integer":
            return drawn % 5 + 1 if found is None else int(found)
        return drawn % 500 / 100 if found is None else found

    return number


class Plans:
    """The plans of recent schemas."""

    def __init__(self) -> None:
        self._plans: dict[bytes, Plan] = {}

    def of(self, schema: Mapping[str, Any]) -> Plan:
        key = orjson.dumps(schema)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = Plan(schema)
        return plan


def by_hash(seed: int) -> Choose:
    """Chooses by hash alone: value number `digest(seed, path, text) mod count`."""

    def choose(path: str, text: str, values: Sequence[Any]) -> Any:
        return values[digest(seed, path, text) % len(values)]

    return choose


def by_meaning(vectors: Vectors, otherwise: Choose) -> Choose:
    """Chooses the word whose vector is closest to the text's; what has no vector, by hash."""

    def choose(path: str, text: str, values: Sequence[Any]) -> Any:
        vector = vectors.get(text)
        rows = [vectors.get(words(value)) for value in values]
        if vector is None or any(row is None for row in rows):
            return otherwise(path, text, values)
        scores = [float(vector @ row) for row in rows]
        return values[scores.index(max(scores))]

    return choose


def words(value: Any) -> str:
    """An enum's value as words: "delivery_time" reads as "delivery time"."""
    return str(value).replace("_", " ").replace("-", " ")
