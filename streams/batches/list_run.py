"""`map_batches(mode="batch")`: a list through Message Batches, in one process or in several, one
after the other."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from os import PathLike
from typing import Any

from streams.batches.batch_operation import operation_of
from streams.batches.batch_run import BatchRun
from streams.batches.core.run_terms import RunTerms
from streams.batches.list_door import ListDoor
from streams.batches.run_head import RunHead
from streams.batches.run_report import BatchProgress, RunSummary
from streams.batches.state_file import StateFile
from streams.codec.fingerprint import fingerprint
from streams.errors import StreamsError
from streams.model import Usage
from streams.running.api_process import ApiProcess, ApiWork
from streams.running.work import Options


async def run_list(
    process: ApiProcess[Any],
    items: Iterable[Any] | AsyncIterable[Any],
    options: Options,
    state: str | PathLike[str],
    *,
    deadline_s: float | None = None,
    max_cost_usd: float | None = None,
    terms: RunTerms | None = None,
    on_progress: Callable[[BatchProgress], object] | None = None,
) -> list[Any]:
    """One result or ItemError per item, in order: see `map_batches`. `terms`: of polling and of
    chunks; the other two of them are given by the keywords."""
    if max_cost_usd is not None and not process.has_price:
        raise ValueError("max_cost_usd: the price of the model is not known")
    listed = [item async for item in items] if isinstance(items, AsyncIterable) else list(items)
    limit = None if max_cost_usd is None else int(max_cost_usd * 1e9)
    terms = replace(terms or RunTerms(), max_cost_nano_usd=limit)
    work = process.work(options)
    try:
        async with aclosing(StateFile(state)) as file:
            records = await file.load()
            door = ListDoor(listed, work.weigh, file, records)
            head = await _head(RunHead.read(records), work, door, deadline_s)
            async with aclosing(process.batches()) as api:
                operation = operation_of(work.task_caller, work)
                # fmt: off
                summary = await BatchRun(head, operation, door, api, file, records, terms,
                                         on_progress=on_progress).run()
                # fmt: on
    finally:
        await work.close()
    _count(process, summary)
    if summary.state == "stopped":
        raise StreamsError(
            f"more than max_cost_usd={max_cost_usd} would be spent: {summary.equation};"
            f" with a higher one {state} goes on"
        )
    return process.values(door.outcomes)


def _count(process: ApiProcess[Any], summary: RunSummary) -> None:
    tokens = summary.input_tokens, summary.output_tokens
    process.count(Usage(*tokens, summary.cost_nano_usd, calls=summary.calls))


async def _head(
    head: RunHead | None, work: ApiWork, door: ListDoor, deadline_s: float | None
) -> RunHead:
    """The run's, or that of a new one. Raises ValueError where the state is of something else."""
    identity = {
        "the operation": fingerprint(**work.describe()),
        "the items": f"{door.count} {await door.texts_hash()}",
    }
    if head is None:
        now_ms = int(time.time() * 1000)
        deadline_at_ms = None if deadline_s is None else now_ms + int(deadline_s * 1000)
        return RunHead(f"map{secrets.token_hex(6)}", identity, now_ms, deadline_at_ms)
    if different := head.differences(identity):
        raise ValueError(
            f"the state is of another run: {' and '.join(different)} were others."
            " Each run needs a state of its own"
        )
    return head
