"""A caller's program as mypy sees it; see `test_coalesce_types.py`. Nobody runs it.

`# is T`: the type that is revealed there. `# refused: code`: the error.
"""

from collections.abc import Sequence
from typing import reveal_type

import streams
from streams import Coalescer, ItemError


@streams.coalesce(max_items=20, max_wait_ms=10, key=len)
async def length(texts: Sequence[str]) -> list[int | ItemError]:
    return [len(text) for text in texts]


@streams.coalesce()
async def plain(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


class Tenant:
    @streams.coalesce(wait="idle")
    async def name(self, numbers: Sequence[int]) -> Sequence[str]:
        return [str(number) for number in numbers]


async def use(tenant: Tenant) -> None:
    reveal_type(await length("a"))  # is int
    reveal_type(await plain("a"))  # is int
    reveal_type(await tenant.name(3))  # is str
    reveal_type(await length.coalescer().submit_many(["a"]))  # is list[int | ItemError]
    reveal_type(tenant.name)  # is Coalesced[int, str]
    await length(3)  # refused: arg-type
    await length(["a"])  # refused: arg-type
    await tenant.name("three")  # refused: arg-type
    length("a") + 1  # refused: operator


async def twice(texts: Sequence[str]) -> list[str]:
    return [text * 2 for text in texts]


async def without_the_decorator() -> None:
    coalescer = Coalescer(twice, max_items=3, max_tokens=9, tokens=lambda text: len(text.split()))
    reveal_type(await coalescer.submit("a"))  # is str
    await coalescer.submit(1)  # refused: arg-type
    Coalescer(twice, max_tokens=9, tokens=lambda text: text.nothing())  # refused: attr-defined
    Coalescer(twice, max_item=3)  # refused: call-arg
    sentiment = Coalescer(streams.classify(["good", "bad"]), max_items=3)
    reveal_type(sentiment)  # is Coalescer[Any, str]
    reveal_type(await sentiment.submit("a"))  # is str
    reveal_type(await streams.map_batches(twice, ["a"], max_items=3))  # is list[str | ItemError]
    await streams.map_batches(twice, [1])  # refused: arg-type


@streams.coalesce(max_item=20)  # refused: call-arg
async def misspelt(texts: Sequence[str]) -> list[int]:
    return []


@streams.coalesce(max_items="20")  # refused: arg-type
async def wrong(texts: Sequence[str]) -> list[int]:
    return []


@streams.coalesce()  # refused: arg-type
async def of_one(text: str) -> int:
    return 1


@streams.coalesce()  # refused: arg-type
def not_async(texts: Sequence[str]) -> list[int]:
    return []
