"""The four operations as functions: `streams.classify`, `extract`, `embed` and `generate`.

Each makes an `ApiProcess`. An argument that cannot be used is a ValueError here; what the
environment lacks (a key, an SDK) is a ConfigError at the first use, in the event loop.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict, TypeVar, Unpack, overload

from streams.errors import ConfigError
from streams.model import Answer, Item, Unanswered
from streams.operations import make_operation
from streams.operations.exchange import Operation, Request, Response
from streams.providers.batch_port import BatchApi
from streams.providers.registry import (
    can_price,
    make_batch_api,
    make_provider,
    task_price,
    untold_price,
)
from streams.providers.task_caller import TaskCaller
from streams.running.api_limits import Limits
from streams.running.api_process import ApiProcess, Suits
from streams.running.model_price import ModelPrice

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)

R = TypeVar("R")

CLAUDE: Final = "claude-haiku-5-5"

SUITS: Final = {
    "classify": Suits(max_items=20, max_tokens=8_000),
    "extract": Suits(max_items=10, max_tokens=8_000),
    "generate": Suits(max_items=8, max_tokens=8_000),
    "embed": Suits(max_items=96, max_tokens=100_000),
}
"""What suits each operation."""


class ApiOptions(TypedDict, total=False):
    """The keywords that all four have.

    `text`: where an item's text is, a JSON Pointer ("/body") or a template ("{/title}: {/body}");
    None, the default: items are strings. `provider`: "anthropic", for `embed` "voyage", or a
    registered one. `base_url`: None: what `ANTHROPIC_BASE_URL` or `VOYAGE_BASE_URL` names,
    else the API's own. `api_key_file`: None: the key is in `ANTHROPIC_API_KEY` or `VOYAGE_API_KEY`.
    `limits`: what the account allows; None: what the API's responses say. `price`: what the model
    costs; None: as in the price list.
    """

    text: str | None
    provider: str
    base_url: str | None
    api_key_file: str | os.PathLike[str] | None
    limits: Limits | None
    price: ModelPrice | None


class _Api(NamedTuple):
    """`ApiOptions` with its defaults; an unknown keyword is a TypeError."""

    text: str | None = None
    provider: str | None = None
    base_url: str | None = None
    api_key_file: str | os.PathLike[str] | None = None
    limits: Limits | None = None
    price: ModelPrice | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """What makes an operation and names its provider, as in a configuration."""

    operation: str
    model: str
    provider: str = "anthropic"
    labels: Sequence[str] | None = None
    instructions: str | None = None
    schema: Any = None
    dimension: int | None = None
    input_type: str | None = None
    price: ModelPrice | None = None

    @property
    def name(self) -> str:
        return self.operation

    @property
    def calls(self) -> Suits:
        return SUITS[self.operation]


def classify(
    labels: Sequence[str],
    *,
    instructions: str = "",
    model: str = CLAUDE,
    **api: Unpack[ApiOptions],
) -> ApiProcess[str]:
    """Gives each item one of `labels`, spelled as here.

    `labels`: two at least, distinct. `instructions`: what to judge, in your own words. `model`: of
    the provider. `api`: see `ApiOptions`. Raises ValueError.
    """
    names = [labels] if isinstance(labels, str) else list(labels)
    task = _Task("classify", model, labels=names, instructions=instructions)
    return _process(task, _operation(task), lambda result: str(result["label"]), api)


@overload
def extract(
    schema: type[Model],
    *,
    instructions: str = ...,
    model: str = ...,
    **api: Unpack[ApiOptions],
) -> ApiProcess[Model]: ...


@overload
def extract(
    schema: Mapping[str, Any],
    *,
    instructions: str = ...,
    model: str = ...,
    **api: Unpack[ApiOptions],
) -> ApiProcess[dict[str, Any]]: ...


def extract(
    schema: Any,
    *,
    instructions: str = "",
    model: str = CLAUDE,
    **api: Unpack[ApiOptions],
) -> ApiProcess[Any]:
    """Gives each item an object with what its text says.

    `schema`: a pydantic model, whose instances are the results (an answer that its validators
    refuse is asked again), or a JSON Schema with "type": "object", whose results are dicts. The
    rest as for `classify`. Raises ValueError, also for a schema that cannot be sent.
    """
    validate = getattr(schema, "model_validate", None)
    definition = schema if validate is None else schema.model_json_schema()
    task = _Task("extract", model, schema=definition, instructions=instructions)
    operation = _operation(task)
    if validate is None:
        return _process(task, operation, lambda result: result, api)
    validated = _Validated(operation, validate)
    return _process(task, validated, validated.instance, api)


def embed(
    model: str = "voyage-4",
    *,
    dimension: int | None = None,
    input_type: str | None = "document",
    **api: Unpack[ApiOptions],
) -> ApiProcess[list[float]]:
    """Gives each item its vector, a list of floats.

    `dimension`: None: the model's own. `input_type`: "document", "query" or None. `api`: see
    `ApiOptions`. Raises ValueError.
    """
    if dimension is not None and (not isinstance(dimension, int) or dimension < 1):
        raise ValueError(f"dimension: a number of at least 1, not {dimension!r}")
    if input_type not in (None, "document", "query"):
        raise ValueError(f'input_type: "document", "query" or None, not {input_type!r}')
    task = _Task("embed", model, "voyage", dimension=dimension, input_type=input_type)
    return _process(task, _operation(task), _floats, api)


def generate(
    instructions: str, *, model: str = CLAUDE, **api: Unpack[ApiOptions]
) -> ApiProcess[str]:
    """Writes one text per item, as `instructions` say; the rest as for `classify`. Raises
    ValueError."""
    task = _Task("generate", model, instructions=instructions)
    return _process(task, _operation(task), lambda result: str(result["text"]), api)


def _operation(task: _Task) -> Operation:
    """Raises ValueError."""
    try:
        return make_operation(task)
    except ConfigError as error:
        raise ValueError("\n".join(_problems(task, error))) from None


def _process(
    task: _Task,
    operation: Operation,
    result: Callable[[Any], R],
    options: ApiOptions,
) -> ApiProcess[R]:
    api = _Api(**options)
    suits = SUITS[task.operation]
    named = replace(task, provider=api.provider or task.provider, price=api.price)

    def make_caller() -> TaskCaller:
        with _told_without_table(task):
            provider = make_provider(named, api, os.environ)
        return TaskCaller(operation, provider, suits.timeout_s, price=untold_price(named))

    def make_batches() -> BatchApi:
        with _told_without_table(task):
            return make_batch_api(named, api, environ=os.environ)

    return ApiProcess(
        make_caller,
        result,
        suits,
        name=task.operation,
        text=api.text,
        priced=can_price(named),
        make_batches=make_batches,
        allowed=api.limits,
        price=task_price(named),
    )


@contextmanager
def _told_without_table(task: _Task) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(_problems(task, error)) from None


def _problems(task: _Task, error: ConfigError) -> list[str]:
    """The lines without the table of a configuration, which there is none of."""
    return [problem.removeprefix(f"task.{task.name}.") for problem in error.problems]


def _floats(result: Any) -> list[float]:
    return array("f", result["embedding_f32"]).tolist()


class _ModelAnswer(dict[str, Any]):
    """An answer that a pydantic model has taken: `instance`. As a dict it can be written."""

    instance: Any


class _Validated:
    """An extraction whose results are instances of a pydantic model; an object that the model
    refuses is an invalid answer."""

    def __init__(self, operation: Operation, validate: Callable[[Any], Any]) -> None:
        self._operation = operation
        self._validate = validate
        self.answer_room = operation.answer_room

    def request(self, items: Sequence[Item]) -> Request:
        return self._operation.request(items)

    def read(self, items: Sequence[Item], response: Response) -> list[Answer]:
        return [self._judged(answer) for answer in self._operation.read(items, response)]

    def describe(self) -> dict[str, Any]:
        return self._operation.describe()

    def instance(self, result: Any) -> Any:
        """Of an answer, or of one that was written and read again."""
        if isinstance(result, _ModelAnswer):
            return result.instance
        return self._validate(result)

    def _judged(self, answer: Answer) -> Answer:
        if not isinstance(answer, dict):
            return answer
        judged = _ModelAnswer(answer)
        try:
            judged.instance = self._validate(answer)
        except ValueError:  # pydantic's ValidationError is one
            return Unanswered.INVALID
        return judged
