"""The APIs behind one port, and the callers that tasks use.

    make_caller(task, provider settings) ──► TaskCaller: items ─► operation ─► provider ─► Reply
    function_caller(function)            ──► FunctionCaller: items ─► function ─► Reply

`port` is what a provider must do; `anthropic` and `voyage` do it; `faults` says what each failure
means; `prices` what a call costs; `secrecy` what no message may hold. SDKs are imported when a task
needs them, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from streams.errors import CallError, ConfigError, Fault
from streams.model import Item, Reply
from streams.operations import TaskOperation, make_operation
from streams.operations.exchange import Operation, Response
from streams.providers.functions import FunctionCaller, function_caller
from streams.providers.port import Provider, ProviderFactory, ProviderSettings
from streams.providers.prices import known_price
from streams.providers.secrecy import reworded, without_texts


class TaskCalls(Protocol):
    """A task's `[task.calls]`."""

    @property
    def timeout_s(self) -> float: ...


class Task(TaskOperation, Protocol):
    """What a caller needs to know of a task; `streams.settings.TaskSettings` is one."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def calls(self) -> TaskCalls: ...


class TaskCaller:
    """Makes the calls of one task: `await caller(items)`, one call each, from any number of asyncio
    tasks at once. The shell ends a call that outlasts `timeout_s`; the SDK's own limit lies above.
    """

    def __init__(self, operation: Operation, provider: Provider, timeout_s: float) -> None:
        self._operation = operation
        self._provider = provider
        self._timeout_s = timeout_s

    async def __call__(self, items: Sequence[Item]) -> Reply:
        """Raises CallError, with `usage` where the failed call was billed; nothing else."""
        if not items:
            return Reply([])
        try:
            response = await self._send(items)
            answers = self._answers(items, response)
        except CallError as error:
            failure = reworded(error, without_texts(error.message, items))
        else:
            return Reply(answers, response.usage)
        raise failure

    def describe(self) -> dict[str, Any]:
        """What the results depend on: the keywords of `streams.codec.fingerprint.fingerprint`."""
        operation, provider = self._operation.describe(), self._provider.describe()
        settings = {**operation.get("settings", {}), **provider.get("settings", {})}
        return {**operation, **provider, "settings": settings}

    @property
    def rate_limits(self) -> Mapping[str, str]:
        """The API's rate-limit headers of the last reply, without their common prefix, as
        `requests-remaining`; empty for APIs that send none."""
        return getattr(self._provider, "rate_limits", {})

    async def aclose(self) -> None:
        """Closes the connections; once, after the last call."""
        await self._provider.aclose()

    async def _send(self, items: Sequence[Item]) -> Response:
        try:
            return await self._provider.send(self._operation.request(items), self._timeout_s)
        except CallError:
            raise
        except Exception as error:  # a registered provider's: the engine knows CallError alone
            failure = CallError(Fault.BAD_REPLY, f"the provider failed: {type(error).__name__}")
        raise failure

    def _answers(self, items: Sequence[Item], response: Response) -> list[Any]:
        try:
            return self._operation.answers(items, response)
        except CallError as error:
            error.usage = response.usage
            raise


_factories: dict[str, ProviderFactory] = {}


def register_provider(name: str, factory: ProviderFactory) -> None:
    """Makes `provider = name` known to every task made from now on. Raises ValueError for a name
    that is taken."""
    if name in _factories or name in ("anthropic", "voyage"):
        raise ValueError(f"the provider {name!r} is there already")
    _factories[name] = factory


def provider_names() -> list[str]:
    """The providers that a task can name."""
    return sorted({"anthropic", "voyage", *_factories})


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
        provider = _factory(task)(task, settings, environ)
    except ConfigError as error:
        problems.extend(error.problems)
    if provider is not None and operation is not None:
        problems.extend(_misfit(task, provider))
    if operation is None or provider is None or problems:
        raise ConfigError(problems)
    return TaskCaller(operation, provider, task.calls.timeout_s)


def _factory(task: Task) -> ProviderFactory:
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


__all__ = [
    "FunctionCaller",
    "Provider",
    "ProviderFactory",
    "ProviderSettings",
    "Task",
    "TaskCaller",
    "function_caller",
    "known_price",
    "make_caller",
    "provider_names",
    "register_provider",
]
