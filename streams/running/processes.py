"""The four operations as functions: `streams.classify`, `extract`, `embed` and `generate`.

Each makes an `ApiProcess`. An argument that cannot be used is a ValueError here; what the
environment lacks (a key, an SDK) is a ConfigError at the first use, in the event loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

from streams.errors import ConfigError
from streams.model import Answer, Item, Unanswered
from streams.operations.classify import Classify
from streams.operations.embed import Embed
from streams.operations.exchange import Operation, Request, Response
from streams.operations.extract import Extract
from streams.operations.generate import Generate
from streams.providers.prices import has_price
from streams.providers.registry import make_provider
from streams.providers.task_caller import TaskCaller
from streams.running.api_process import ApiProcess, Suits

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)

R = TypeVar("R")

CLAUDE: Final = "claude-haiku-5-5"

_LABELS: Final = Suits(max_items=20, max_tokens=8_000)
_OBJECTS: Final = Suits(max_items=10, max_tokens=8_000)
_TEXTS: Final = Suits(max_items=8, max_tokens=8_000)
_VECTORS: Final = Suits(max_items=96, max_tokens=100_000)


class _Provider(NamedTuple):
    """What names a provider, as a task does."""

    name: str
    provider: str
    model: str


class _ProviderSettings(NamedTuple):
    base_url: str | None
    api_key_file: str | os.PathLike[str] | None


def classify(
    labels: Sequence[str],
    *,
    instructions: str = "",
    model: str = CLAUDE,
    text: str | None = None,
    provider: str = "anthropic",
    base_url: str | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
) -> ApiProcess[str]:
    """Gives each item one of `labels`, spelled as here.

    `labels`: two at least, distinct. `instructions`: what to judge, in your own words. `model`: of
    the provider. `text`: where an item's text is, a JSON Pointer ("/body") or a template
    ("{/title}: {/body}"); None: items are strings. `base_url`: None: the SDK's own, or what
    `ANTHROPIC_BASE_URL` says. `api_key_file`: None: the key is in `ANTHROPIC_API_KEY`.

    Raises ValueError.
    """
    names = [labels] if isinstance(labels, str) else list(labels)
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"labels: two at least, all distinct, not {names!r}")
    operation = Classify(names, instructions)
    named = _Provider("classify", provider, model)
    settings = _ProviderSettings(base_url, api_key_file)
    return _process(named, settings, operation, lambda result: str(result["label"]), _LABELS, text)


@overload
def extract(
    schema: type[Model],
    *,
    instructions: str = ...,
    model: str = ...,
    text: str | None = ...,
    provider: str = ...,
    base_url: str | None = ...,
    api_key_file: str | os.PathLike[str] | None = ...,
) -> ApiProcess[Model]: ...


@overload
def extract(
    schema: Mapping[str, Any],
    *,
    instructions: str = ...,
    model: str = ...,
    text: str | None = ...,
    provider: str = ...,
    base_url: str | None = ...,
    api_key_file: str | os.PathLike[str] | None = ...,
) -> ApiProcess[dict[str, Any]]: ...


def extract(
    schema: Any,
    *,
    instructions: str = "",
    model: str = CLAUDE,
    text: str | None = None,
    provider: str = "anthropic",
    base_url: str | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
) -> ApiProcess[Any]:
    """Gives each item an object with what its text says.

    `schema`: a pydantic model, whose instances are the results (an answer that its validators
    refuse is asked again), or a JSON Schema with "type": "object", whose results are dicts. The
    rest as for `classify`. Raises ValueError, also for a schema that cannot be sent.
    """
    named = _Provider("extract", provider, model)
    settings = _ProviderSettings(base_url, api_key_file)
    validate = getattr(schema, "model_validate", None)
    definition = schema if validate is None else schema.model_json_schema()
    if not isinstance(definition, Mapping):
        raise ValueError(
            f"schema: a pydantic model or a JSON Schema, not {type(definition).__name__}"
        )
    try:
        operation: Operation = Extract(definition, instructions)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if validate is not None:
        operation = _Validated(operation, validate)
    return _process(named, settings, operation, lambda result: result, _OBJECTS, text)


def embed(
    model: str = "voyage-4",
    *,
    dimension: int | None = None,
    input_type: str | None = "document",
    text: str | None = None,
    provider: str = "voyage",
    base_url: str | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
) -> ApiProcess[list[float]]:
    """Gives each item its vector, a list of floats.

    `dimension`: None: the model's own. `input_type`: "document", "query" or None. The rest as for
    `classify`, with `VOYAGE_API_KEY`. Raises ValueError.
    """
    if dimension is not None and (not isinstance(dimension, int) or dimension < 1):
        raise ValueError(f"dimension: a number of at least 1, not {dimension!r}")
    if input_type not in (None, "document", "query"):
        raise ValueError(f'input_type: "document", "query" or None, not {input_type!r}')
    named = _Provider("embed", provider, model)
    settings = _ProviderSettings(base_url, api_key_file)
    return _process(named, settings, Embed(dimension, input_type), _floats, _VECTORS, text)


def generate(
    instructions: str,
    *,
    model: str = CLAUDE,
    text: str | None = None,
    provider: str = "anthropic",
    base_url: str | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
) -> ApiProcess[str]:
    """Writes one text per item, as `instructions` say; the rest as for `classify`. Raises
    ValueError."""
    if not instructions.strip():
        raise ValueError("instructions: generate needs to be told what to write")
    operation = Generate(instructions)
    named = _Provider("generate", provider, model)
    settings = _ProviderSettings(base_url, api_key_file)
    return _process(named, settings, operation, lambda result: str(result["text"]), _TEXTS, text)


def _process(
    named: _Provider,
    settings: _ProviderSettings,
    operation: Operation,
    result: Callable[[Any], R],
    suits: Suits,
    text: str | None,
) -> ApiProcess[R]:
    def make_caller() -> TaskCaller:
        try:
            provider = make_provider(named, settings, os.environ)
        except ConfigError as error:
            place = f"task.{named.name}."
            problems = [problem.removeprefix(place) for problem in error.problems]
            raise ConfigError(problems) from None
        return TaskCaller(operation, provider, suits.timeout_s)

    return ApiProcess(make_caller, result, suits, text=text, priced=has_price(named.model))


def _floats(result: Any) -> list[float]:
    from array import array

    return array("f", result["embedding_f32"]).tolist()


class _Validated:
    """An extraction whose objects become instances of a pydantic model; one that the model refuses
    is an invalid answer."""

    def __init__(self, operation: Operation, validate: Callable[[Any], Any]) -> None:
        self._operation = operation
        self._validate = validate

    def request(self, items: Sequence[Item]) -> Request:
        return self._operation.request(items)

    def read(self, items: Sequence[Item], response: Response) -> list[Answer]:
        return [self._instance(answer) for answer in self._operation.read(items, response)]

    def describe(self) -> dict[str, Any]:
        return self._operation.describe()

    def _instance(self, answer: Answer) -> Answer:
        if not isinstance(answer, dict):
            return answer
        try:
            return self._validate(answer)
        except ValueError:  # pydantic's ValidationError is one
            return Unanswered.INVALID
