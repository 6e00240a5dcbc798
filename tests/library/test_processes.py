"""`map_batches`: what a process is, told before it is called."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest.mock import AsyncMock

import pytest

from streams import map_batches

pytestmark = pytest.mark.timeout(20)


def blocks(items: Sequence[int]) -> list[int]:
    raise AssertionError("it was called")


class Blocking:
    def __call__(self, items: Sequence[int]) -> list[int]:
        return blocks(items)

    async def embed(self, items: Sequence[int]) -> Sequence[int]:
        return items


async def yields(items: Sequence[int]) -> AsyncIterator[int]:
    for item in blocks(items):
        yield item


@pytest.mark.parametrize(
    "process",
    [
        blocks,
        functools.partial(blocks),
        Blocking(),
        Blocking,
        yields,
        lambda items: blocks(items),
        lambda items: Blocking().embed(blocks(items)),
        list,
    ],
    ids=["function", "partial", "object", "class", "generator", "lambda", "async lambda", "type"],
)
async def test_a_process_that_is_not_async_is_refused_before_it_is_called(process: Any) -> None:
    items = iter(range(100))
    with pytest.raises(TypeError, match=r"process must be an async function, not .*(wrap|list)"):
        await map_batches(process, items, max_items=1)
    assert next(items) == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_refusal_of_a_blocking_process_says_how_to_wrap_it() -> None:
    with pytest.raises(TypeError, match=r"asyncio\.to_thread\(blocks, items\)"):
        await map_batches(blocks, range(3))  # type: ignore[arg-type]


async def test_every_kind_of_async_callable_is_a_process() -> None:
    class Client:
        async def __call__(self, items: Sequence[int]) -> Sequence[int]:
            return items

        async def embed(self, items: Sequence[int], extra: int = 0) -> Sequence[int]:
            return items

    client = Client()

    @functools.wraps(client.embed)
    def decorated(items: Sequence[int]) -> Any:
        return client.embed(items)

    mock = AsyncMock(side_effect=client.embed)
    partial = functools.partial(client.embed, extra=1)
    for process in (client, client.embed, partial, functools.partial(client), decorated, mock):
        results: list[Any] = await map_batches(process, range(3))
        assert results == [0, 1, 2]
