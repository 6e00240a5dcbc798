"""A pipeline in time: how stages overlap, who holds whom up. The loop has no clock: time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from typing import Any, TypeVar

import pytest

from streams import Pipeline, Retry, expand, gather, stage
from streams.running.pipeline_run import SOURCE, TAKER
from tests.simulation.loop import VirtualLoop

T = TypeVar("T")


def in_virtual_time(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """The result, and the seconds that it took; NothingLeft where it would hang."""
    with closing(VirtualLoop()) as loop:
        result = loop.run_until_complete(work)
        assert loop.defects == []
        return result, loop.time()


def taking(
    seconds: float, each_s: float = 0.0, slow: dict[Any, float] | None = None
) -> Callable[[Sequence[Any]], Awaitable[list[Any]]]:
    """A function whose call takes so long, and so much longer for each item, or for a slow one."""

    async def work(items: Sequence[Any]) -> list[Any]:
        longer = max((slow or {}).get(item, 0.0) for item in items)
        await asyncio.sleep(max(seconds + each_s * len(items), longer))
        return list(items)

    return work


def test_three_equal_stages_take_a_third_of_one_after_the_other() -> None:
    stages = [taking(0.1), taking(0.1), taking(0.1)]
    results, seconds = in_virtual_time(Pipeline(stages).run(range(100)))
    assert results == list(range(100))
    assert 3 * 100 * 0.1 / seconds >= 2.9


@pytest.mark.parametrize("slow_at", [0, 100, 500])
def test_one_item_ten_times_slower_costs_an_ordered_stage_no_more_than_five_percent(
    slow_at: int,
) -> None:
    def pipeline(slow: dict[Any, float]) -> Pipeline:
        return Pipeline([taking(0.001), stage(taking(0.1, slow=slow), max_in_flight=5)])

    _, even_s = in_virtual_time(pipeline({}).run(range(1_000)))
    results, seconds = in_virtual_time(pipeline({slow_at: 1.0}).run(range(1_000)))
    assert results == list(range(1_000))
    assert seconds <= 1.05 * even_s


def test_where_order_is_none_an_item_of_any_slowness_holds_back_nobody() -> None:
    slow = taking(0.1, slow={3: 15.0})
    pipeline = Pipeline([stage(slow, max_in_flight=5, order="none"), taking(0.001)])
    results, seconds = in_virtual_time(pipeline.run(range(500)))
    assert results == list(range(500))
    assert seconds < 15.2


def test_a_stage_waits_for_more_items_as_long_as_it_may() -> None:
    calls: list[int] = []

    async def count(items: Sequence[Any]) -> list[Any]:
        calls.append(len(items))
        return list(items)

    async def drops() -> AsyncIterator[int]:
        for n in range(10):
            yield n
            await asyncio.sleep(0.02)

    pipeline = Pipeline([stage(count, max_items=100, max_wait_ms=50)])
    results, _ = in_virtual_time(pipeline.run(drops()))
    assert results == list(range(10))
    assert calls == [3, 3, 3, 1]


# -- who holds the others up ---------------------------------------------------------------------


async def burst(items: Sequence[Any]) -> list[list[Any]]:
    return [[item] * 10 for item in items]


async def trickle() -> AsyncIterator[int]:
    for n in range(50):
        await asyncio.sleep(0.5)
        yield n


def named(name: str, seconds: float, each_s: float = 0.0) -> Any:
    function: Any = taking(seconds, each_s)
    function.__name__ = name
    return function


CASES: dict[str, tuple[list[Any], Any, str]] = {
    "one call takes longest": (
        [named("read", 0.01), named("slow", 0.05), named("write", 0.02)],
        range(100),
        "slow",
    ),
    "a longer call has more calls at once": (
        [stage(named("wide", 0.2), max_in_flight=10), named("narrow", 0.03)],
        range(200),
        "narrow",
    ),
    "a longer call has more items": (
        [stage(named("large", 0.2), max_items=100), stage(named("small", 0.01), max_items=2)],
        range(1_000),
        "small",
    ),
    "a stage that is always at work, with calls that are almost empty": (
        [named("feed", 0.1), stage(named("idle", 0.1), max_items=20)],
        range(100),
        "feed",
    ),
    "the parts of an item": (
        [
            expand(burst),
            stage(named("part", 0.02), max_in_flight=2),
            gather(),
            named("whole", 0.05),
        ],
        range(50),
        "part",
    ),
    "the last of three by a little": (
        [named("a", 0.020), named("b", 0.021), named("c", 0.023)],
        range(200),
        "c",
    ),
    "the time grows with the items": (
        [stage(named("bulk", 0.0, each_s=0.01), max_items=10), named("single", 0.004)],
        range(300),
        "bulk",
    ),
    "the source": ([named("a", 0.1), named("b", 0.2)], trickle, SOURCE),
}


@pytest.mark.parametrize(("stages", "source", "bottleneck"), CASES.values(), ids=CASES)
def test_the_bottleneck_is_named(stages: list[Any], source: Any, bottleneck: str) -> None:
    pipeline = Pipeline(stages)
    in_virtual_time(pipeline.run(source() if callable(source) else source))
    assert pipeline.statistics().bottleneck == bottleneck


def test_the_bottleneck_is_named_while_it_runs() -> None:
    async def half() -> str | None:
        pipeline = Pipeline([named("quick", 0.01), named("slow", 10.0)])
        running = asyncio.ensure_future(pipeline.run(range(10)))
        await asyncio.sleep(5)
        named_s = pipeline.statistics().bottleneck
        running.cancel()
        await asyncio.wait([running])
        return named_s

    assert in_virtual_time(half())[0] == "slow"


def test_whoever_takes_the_results_slowly_is_named() -> None:
    async def take() -> str | None:
        pipeline = Pipeline([named("a", 0.1), named("b", 0.2)])
        async for _ in pipeline.stream(range(30)):
            await asyncio.sleep(0.5)
        return pipeline.statistics().bottleneck

    assert in_virtual_time(take())[0] == TAKER


def test_a_stage_whose_calls_wait_to_be_tried_again_is_named() -> None:
    tries = iter(range(1_000))

    async def paused(items: Sequence[Any]) -> list[Any]:
        if next(tries) % 2 == 0:
            raise Retry(5)
        return list(items)

    pipeline = Pipeline([named("a", 0.1), paused, named("b", 0.2)])
    in_virtual_time(pipeline.run(range(20)))
    assert pipeline.statistics().bottleneck == "paused"


def test_statistics_show_each_stage_and_stay_after_the_end() -> None:
    pipeline = Pipeline([stage(named("same", 0.1), max_items=5), named("same", 0.01)])
    assert pipeline.statistics() == ((), None, 0.0)
    in_virtual_time(pipeline.run(range(20)))
    shown = pipeline.statistics()
    assert [each.name for each in shown.stages] == ["same", "same-2"]
    assert [each.items for each in shown.stages] == [20, 20]
    assert [each.calls for each in shown.stages] == [4, 20]
    assert [each.mean_batch_items for each in shown.stages] == [5.0, 1.0]
    assert [each.waiting + each.in_flight + each.reordering for each in shown.stages] == [0, 0]
    assert shown.stages[0].busy == pytest.approx(0.4 / shown.elapsed_s, abs=0.01)
    assert pipeline.statistics() == shown
