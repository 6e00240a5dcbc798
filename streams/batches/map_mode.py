"""`map_batches` in both modes: live calls at once, or Message Batches at half the price.

`mode="batch"`: an operation on Claude (`streams.classify`, `extract`, `generate`) travels in
Message Batches and is answered within 24 hours, mostly within one. What a batch leaves without an
answer is asked in another one, then live.

`state`: a file that remembers the run, one for each. Whatever ends this process (Ctrl-C, a kill),
the batches go on; the same call with the same items goes on with them, on another day if need be.
When the run is over, the same call gives the results again.
`deadline_s`: when the results are wanted, in seconds from the first start of the run: what is not
back in time for it goes live, at the full price. None: whenever batches end.
`max_cost_usd`: submit nothing that would bring the cost above it, by estimate. None: any cost.
`max_in_flight` and `timeout_s` are of live calls. `progress`: a function gets `BatchProgress`.

Raises ValueError for a function of one's own, which has no batches, for a state of other items or
of another operation, and for `max_cost_usd` where the price is not known; ConfigError where the
provider has no batches; StreamsError where the run cannot go on before a person has looked at
something (the money is spent, the API refuses the first request, results are gone): it says what.

What batches need is imported when they are used: live, it needs neither codecs nor an API.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from streams.errors import ItemError
from streams.running import map as live
from streams.running.bar import Shown
from streams.running.work import LimitOptions, ListFunction, Options

if TYPE_CHECKING:
    from streams.batches.batch_bar import BatchShown

T = TypeVar("T")
R = TypeVar("R")


@overload
async def map_batches(
    process: ListFunction[T, R],
    items: live.Items[T],
    *,
    mode: Literal["live"] = ...,
    stop_on_error: bool = ...,
    progress: Shown = ...,
    **limits: Unpack[LimitOptions[T]],
) -> list[R | ItemError]: ...


@overload
async def map_batches(
    process: ListFunction[T, R],
    items: live.Items[T],
    *,
    mode: Literal["batch"],
    state: str | PathLike[str],
    deadline_s: float | None = ...,
    max_cost_usd: float | None = ...,
    progress: BatchShown = ...,
    **limits: Unpack[LimitOptions[T]],
) -> list[R | ItemError]: ...


async def map_batches(
    process: ListFunction[T, R],
    items: live.Items[T],
    *,
    mode: Literal["live", "batch"] = "live",
    state: str | PathLike[str] | None = None,
    deadline_s: float | None = None,
    max_cost_usd: float | None = None,
    stop_on_error: bool = False,
    progress: Any = False,
    **limits: Unpack[LimitOptions[T]],
) -> list[R | ItemError]:
    """Call `process` with microbatches of `items`; one result per item, in the items' order.

    The arguments, and what becomes of errors: see `map_batches_iter`; this one holds all results.
    `mode="batch"`, with `state`, `deadline_s` and `max_cost_usd`: see `streams.batches.map_mode`.
    Raises what they say there, and ValueError for one of these in live mode.
    """
    if mode == "live":
        _refuse(state=state, deadline_s=deadline_s, max_cost_usd=max_cost_usd)
        return await live.map_batches(
            process, items, stop_on_error=stop_on_error, progress=progress, **limits
        )
    if mode != "batch":
        raise ValueError(f'mode: "live" or "batch", not {mode!r}')
    if state is None:
        raise ValueError('mode="batch" needs state=, a file that remembers the run')
    if stop_on_error:
        raise ValueError("stop_on_error: what is submitted is paid, so a batch is read to its end")
    return await _in_batches(
        process, items, Options(**limits), state, deadline_s, max_cost_usd, progress
    )


def _refuse(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f'{name}: for mode="batch"')


async def _in_batches(
    process: Any,
    items: live.Items[Any],
    options: Options,
    state: str | PathLike[str],
    deadline_s: float | None,
    max_cost_usd: float | None,
    progress: BatchShown,
) -> list[Any]:
    from streams.batches.batch_bar import shown
    from streams.batches.list_run import run_list
    from streams.running.api_process import ApiProcess

    if not isinstance(process, ApiProcess):
        raise ValueError(
            'mode="batch" is for streams.classify, extract and generate: a function of your own'
            " has no batches"
        )
    for name, value in (("deadline_s", deadline_s), ("max_cost_usd", max_cost_usd)):
        if value is not None and not value > 0:  # also refuses NaN
            raise ValueError(f"{name} must be above 0, not {value}")
    with shown(progress) as on_progress:
        return await run_list(
            process,
            items,
            options,
            state,
            deadline_s=deadline_s,
            max_cost_usd=max_cost_usd,
            on_progress=on_progress,
        )
