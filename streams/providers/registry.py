"""The providers by name, and how a task gets the caller that uses one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, Protocol, cast

from streams.errors import ConfigError
from streams.operations import TaskOperation, make_operation
from streams.operations.exchange import Operation
from streams.providers.batch_port import BatchApi
from streams.providers.port import (
    Direct,
    Provider,
    ProviderFactory,
    ProviderSettings,
)
from streams.providers.prices import GivenPrice, Price, price_of
from streams.providers.task_caller import TaskCaller

logger = logging.getLogger(__name__)

_BUILT_IN: Final = ("anthropic", "voyage")


_NO_BATCHES: Final = (
    "task.{task.name}.provider: {task.provider} has no Message Batches, anthropic has;"
    " mode live asks any provider"
)


class TaskCalls(Protocol):
    """A task's `[task.calls]`."""

    @property
    def timeout_s(self) -> float: ...


class TaskApi(Protocol):
    """The API of a task."""

    @property
    def name(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def price(self) -> GivenPrice | None: ...


class Task(TaskOperation, TaskApi, Protocol):
    """The attributes of a task that a caller reads; `streams.settings.TaskSettings` has them."""

    @property
    def calls(self) -> TaskCalls: ...


_factories: dict[str, ProviderFactory] = {}


def register_provider(name: str, factory: ProviderFactory) -> None:
    """Makes `provider = name` available to all tasks created later. Raises ValueError for a name in
    use."""
    if name in provider_names():
        raise ValueError(f"the provider {name!r} is there already")
    _factories[name] = factory


def provider_names() -> list[str]:
    """The providers that a task can name."""
    return sorted({*_BUILT_IN, *_factories})


def make_caller(
    task: Task, settings: ProviderSettings | None, *, environ: Mapping[str, str]
) -> TaskCaller:
    """The caller of a task whose operation is not "custom". Imports the provider's SDK.

    `settings`: what is under `[provider.<name>]`; None: nothing. Raises ConfigError with every
    problem found: operation, schema, SDK, key.
    """
    problems: list[str] = []
    operation: Operation | None = None
    provider: Provider | None = None
    try:
        operation = make_operation(task)
    except ConfigError as error:
        problems.extend(error.problems)
    try:
        provider = make_provider(task, settings, environ)
    except ConfigError as error:
        problems.extend(error.problems)
    if provider is not None and operation is not None:
        problems.extend(_misfit(task, provider))
    if operation is None or provider is None or problems:
        raise ConfigError(problems)
    return TaskCaller(operation, provider, task.calls.timeout_s, price=untold_price(task))


class BatchTask(TaskApi, Protocol):
    """The attributes of a task that its batches need."""

    @property
    def calls(self) -> TaskCalls: ...


def has_batches(task: TaskApi) -> bool:
    """Whether the task's provider takes Message Batches."""
    return task.provider == "anthropic"


def make_batch_api(
    task: BatchTask, settings: ProviderSettings | None, *, environ: Mapping[str, str]
) -> BatchApi:
    """The Message Batches of a task's account, beside its caller: `TaskCaller.request` makes their
    params, `read` reads their messages. Imports the provider's SDK.

    Raises ConfigError for a provider without them, a missing SDK or key.
    """
    if not has_batches(task):
        raise ConfigError([_NO_BATCHES.format(task=task)])
    from streams.providers.anthropic_batches import make_anthropic_batches

    return make_anthropic_batches(task, settings, environ, task.calls.timeout_s)


def can_price(task: TaskApi) -> bool:
    """Whether what the task's calls cost can be told. A registered provider tells it itself."""
    return task.provider not in _BUILT_IN or task_price(task) is not None


def task_price(task: TaskApi) -> Price | None:
    """What the task's model costs, before a call; None: it is not known. Of a registered provider
    only what the user says is."""
    if task.provider not in _BUILT_IN and task.price is None:
        return None
    return price_of(task.model, task.price)


def untold_price(task: TaskApi) -> Price | None:
    """What replies cost that do not say it: those of a registered provider; None: it is not
    known."""
    return None if task.provider in _BUILT_IN else task_price(task)


def price_problem(task: TaskApi) -> str | None:
    """Why the task can have no budget; None: it can."""
    if task_price(task) is not None:
        return None
    return (
        f"task.{task.name}.limits: a budget needs the price of {task.model}, which is not known:"
        f' add [prices."{task.model}"] with input and output in USD per million tokens'
    )


def warn_of_price(task: TaskApi) -> None:
    if not can_price(task):
        logger.warning(
            "task %s: the price of %s is not known: its cost_usd is null in results and summary, "
            'and streams_cost_usd_total has no sample of it, until [prices."%s"] says it',
            task.name,
            task.model,
            task.model,
        )


def make_provider(
    task: TaskApi, settings: ProviderSettings | None, environ: Mapping[str, str]
) -> Provider:
    """A task's provider. Raises ConfigError for an unknown provider, a missing SDK or key."""
    provider = _factory(task)(task, settings, environ)
    if hasattr(provider, "read"):
        return cast(Provider, provider)
    return Direct(provider, account=(task.provider, task.model))


def _factory(task: TaskApi) -> ProviderFactory:
    if task.provider == "anthropic":
        from streams.providers.anthropic import make_anthropic

        return make_anthropic
    if task.provider == "voyage":
        from streams.providers.voyage import make_voyage

        return make_voyage
    if task.provider in _factories:
        return _factories[task.provider]
    names = ", ".join(provider_names())
    raise ConfigError([f"task.{task.name}.provider: {task.provider!r} is not one of {names}"])


def _misfit(task: Task, provider: Provider) -> list[str]:
    if task.operation in provider.operations:
        return []
    can = " and ".join(sorted(provider.operations))
    return [f"task.{task.name}.provider: {task.provider} does {can}, not {task.operation}"]
