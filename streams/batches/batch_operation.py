"""What a run in batch mode does to its items: a task's operation, as requests and as live calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from streams.core.account import Account
from streams.core.limits import Limits
from streams.model import Reply
from streams.providers import TaskCaller


class BatchOperation(NamedTuple):
    """`request`, `read`: the halves of a call (`streams.providers.TaskCaller`). `call`: a whole
    live call. `limits`: of the task; also of a request. `timeout_s`: of a live call. `account`:
    that of live calls; None: one of its own. `has_price`: whether the model's price is known."""

    request: Callable[[Sequence[Any]], Any]
    read: Callable[[Sequence[Any], Any], Reply]
    call: Callable[[list[Any]], Awaitable[Reply]]
    limits: Limits
    timeout_s: float | None
    account: Account | None
    has_price: bool


class OperationTerms(Protocol):
    """What a task, or a door's use of an operation, says of its calls."""

    @property
    def limits(self) -> Limits: ...
    @property
    def timeout_s(self) -> float | None: ...
    @property
    def account(self) -> Account | None: ...
    @property
    def has_price(self) -> bool: ...


def operation_of(caller: TaskCaller, terms: OperationTerms) -> BatchOperation:
    """Both halves of a call, and the whole of it, under these terms."""
    return BatchOperation(
        request=caller.request,
        read=caller.read,
        call=caller,
        limits=terms.limits,
        timeout_s=terms.timeout_s,
        account=terms.account,
        has_price=terms.has_price,
    )
