"""What a task does to its items: classify, extract, embed, generate. Pure.

    items ──► operation.request ──► provider ──► operation.read ──► one answer per item

Reading order: `exchange` (the values on both sides of a provider), `classify`, `extract`,
`generate`, `embed` (the four operations), `prompts` (the shape of every prompt), `replies` (reads
what a model wrote, however broken), `spelling` (whether it wrote one of our words), `bad_replies`
(what follows from each kind of bad reply), `expected_answers` (how long an answer will be).

A user's JSON Schema as the API takes it: `schema`, then `shapes` (its alternatives), `wire_schema`
(what is sent), `contradictions` and `examples` (whether any value keeps it), `patterns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from streams.errors import ConfigError
from streams.operations.classify import Classify
from streams.operations.embed import Embed
from streams.operations.exchange import (
    Completion,
    Operation,
    Prompt,
    Request,
    Response,
    Texts,
    Vectors,
)
from streams.operations.extract import Extract
from streams.operations.generate import Generate
from streams.operations.spelling import composed

OPERATIONS: Final = ("classify", "extract", "embed", "generate")


class TaskOperation(Protocol):
    """The attributes of a task that an operation reads; `streams.settings.TaskSettings` has
    them."""

    @property
    def name(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def labels(self) -> Sequence[str] | None: ...
    @property
    def instructions(self) -> str | None: ...
    @property
    def schema(self) -> Any: ...
    @property
    def dimension(self) -> int | None: ...
    @property
    def input_type(self) -> str | None: ...


def make_operation(task: TaskOperation) -> Operation:
    """The operation of a task. Raises ConfigError for an unknown or incomplete operation."""
    place = f"task.{task.name}"
    instructions = task.instructions or ""
    if task.operation == "classify":
        labels = list(task.labels or ())
        if len(set(map(composed, labels))) < max(2, len(labels)):
            raise ConfigError([f"{place}.labels: two labels at least, all distinct"])
        return Classify(labels, instructions)
    if task.operation == "extract":
        if not isinstance(task.schema, Mapping):
            raise ConfigError([f"{place}.schema: extract needs the JSON Schema of its answers"])
        return Extract(task.schema, instructions, place=f"{place}.schema")
    if task.operation == "embed":
        return Embed(task.dimension, task.input_type)
    if task.operation == "generate":
        if not instructions.strip():
            raise ConfigError([f"{place}.instructions: generate needs to be told what to write"])
        return Generate(instructions)
    raise ConfigError(
        [f"{place}.operation: {task.operation!r} is not one of {', '.join(OPERATIONS)}"]
    )


__all__ = [
    "OPERATIONS",
    "Classify",
    "Completion",
    "Embed",
    "Extract",
    "Generate",
    "Operation",
    "Prompt",
    "Request",
    "Response",
    "TaskOperation",
    "Texts",
    "Vectors",
    "make_operation",
]
