"""`streams.Pipeline`: stages that overlap, parts of items, errors in their place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

import pytest

from streams import ItemError, Pipeline, Retry, expand, gather, stage
from tests.library.steered import Steered, answering, settled


async def same(items: Sequence[Any]) -> list[Any]:
    return list(items)


async def halves(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text."""
    return [text.split() for text in texts]


async def upper(words: Sequence[str]) -> list[str | ItemError]:
    return [ItemError("no_word", f"{word!r}") if word == "bad" else word.upper() for word in words]


def codes(results: Sequence[Any]) -> list[Any]:
    return [result.code if isinstance(result, ItemError) else result for result in results]


# -- what comes out ------------------------------------------------------------------------------


async def test_one_result_for_each_item_in_order() -> None:
    pipeline = Pipeline(
        [stage(same, max_items=3, max_in_flight=2), stage(same, max_items=5), stage(same)]
    )
    assert await pipeline.run(range(100)) == list(range(100))
    assert [result async for result in pipeline.stream(range(100))] == list(range(100))


async def test_no_items_give_no_results_and_no_call() -> None:
    calls, process = answering(lambda item: item)
    assert await Pipeline([stage(process)]).run([]) == []
    assert [each async for each in Pipeline([process]).stream(iter(()))] == []
    assert calls == []


async def test_a_small_buffer_keeps_no_call_waiting_for_an_async_iterable() -> None:
    """One item at a time fits before the stage, and each one goes into a call at once."""

    async def numbers() -> AsyncIterator[int]:
        for n in range(5):
            yield n

    calls = Steered()
    running = asyncio.create_task(
        Pipeline([stage(calls, buffer=1, max_in_flight=5)]).run(numbers())
    )
    for call in await calls.started(5):
        call.answer()
    assert await running == list(range(5))


async def test_an_async_iterable_is_an_input_too() -> None:
    async def numbers() -> AsyncIterator[int]:
        for n in range(50):
            yield n

    pipeline = Pipeline([stage(same, max_items=7), stage(same, max_items=3, max_in_flight=4)])
    assert await pipeline.run(numbers()) == list(range(50))


async def test_a_function_alone_is_a_stage_with_the_defaults() -> None:
    calls, process = answering(lambda item: item + 1)
    assert await Pipeline([process, process]).run([1, 2]) == [3, 4]
    assert [len(call) for call in calls] == [1] * 4


async def test_results_come_as_soon_as_it_is_their_turn() -> None:
    process = Steered()
    results = Pipeline([stage(process, max_in_flight=3)]).stream("abc")
    first = asyncio.ensure_future(anext(results))
    calls = await process.started(3)
    calls[1].answer(["B"])
    await settled()
    assert not first.done()
    calls[0].answer(["A"])
    assert [await first, await anext(results)] == ["A", "B"]
    calls[2].answer(["C"])
    assert [each async for each in results] == ["C"]


async def test_where_order_is_none_results_overtake_and_a_list_is_in_order_all_the_same() -> None:
    process = Steered()
    pipeline = Pipeline([stage(process, max_in_flight=2, order="none"), stage(same)])
    results = pipeline.stream("ab")
    first = asyncio.ensure_future(anext(results))
    calls = await process.started(2)
    calls[1].answer()
    assert await first == "b"
    calls[0].answer()
    assert [each async for each in results] == ["a"]

    listed = asyncio.ensure_future(pipeline.run("cd"))
    calls = await process.started(4)
    calls[3].answer()
    await settled()
    calls[2].answer()
    assert await listed == ["c", "d"]


# -- parts ---------------------------------------------------------------------------------------


async def test_parts_come_back_as_one_list_in_order() -> None:
    pipeline = Pipeline([expand(halves), stage(upper, max_items=2, max_in_flight=3), gather()])
    assert await pipeline.run(["a b c", "d", "e f"]) == [["A", "B", "C"], ["D"], ["E", "F"]]


async def test_parts_of_a_stage_whose_results_overtake_come_back_in_order() -> None:
    process = Steered()
    pipeline = Pipeline([expand(halves), stage(process, max_in_flight=4, order="none"), gather()])
    results = asyncio.ensure_future(pipeline.run(["a b", "c d"]))
    for call in reversed(await process.started(4)):
        call.answer()
        await settled()
    assert await results == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("text", ["", "a", "a b " * 5_000])
async def test_an_item_may_have_no_parts_or_one_or_many(text: str) -> None:
    pipeline = Pipeline([expand(halves), stage(upper, max_items=50), gather(), stage(same)])
    texts = ["x y", text, "z"]
    assert await pipeline.run(texts) == [each.upper().split() for each in texts]


async def test_without_gather_the_results_are_the_parts() -> None:
    pipeline = Pipeline([expand(halves), upper])
    assert await pipeline.run(["a b", "", "c"]) == ["A", "B", "C"]


async def test_parts_can_have_parts_and_come_back_level_by_level() -> None:
    async def letters(words: Sequence[str]) -> list[list[str]]:
        return [[] if word == "-" else list(word) for word in words]

    stages = [expand(halves), expand(letters, max_items=3), stage(upper), gather(), gather()]
    results = await Pipeline(stages).run(["ab c", "", "-", "- d"])
    assert results == [[["A", "B"], ["C"]], [], [[]], [[], ["D"]]]


async def test_an_item_with_a_failed_part_has_the_error_of_the_first() -> None:
    pipeline = Pipeline([expand(halves), stage(upper, max_items=10), gather(), stage(same)])
    results = await pipeline.run(["a bad", "b"])
    assert codes(results) == ["no_word", ["B"]]


async def test_failed_parts_can_stay_in_the_list() -> None:
    pipeline = Pipeline([expand(halves), stage(upper), gather(errors="keep"), stage(same)])
    (result,) = await pipeline.run(["a bad b"])
    assert codes(result) == ["A", "no_word", "B"]


async def test_a_part_that_is_an_error_passes_the_later_stages_by() -> None:
    async def split(texts: Sequence[str]) -> list[list[str | ItemError]]:
        return [["a", ItemError("cut", "no end")] for _ in texts]

    calls, process = answering(str.upper)
    results = await Pipeline([expand(split), process, gather(errors="keep")]).run(["x"])
    assert codes(results[0]) == ["A", "cut"]
    assert calls == [["a"]]


@pytest.mark.parametrize("returned", ["text", {"a": 1}, 5, None])
async def test_what_is_no_list_of_parts_is_the_items_error(returned: Any) -> None:
    _, process = answering(lambda item: returned if item == "bad" else [item])
    results = await Pipeline([expand(process), gather()]).run(["a", "bad", "b"])
    assert codes(results) == [["a"], "function_error", ["b"]]
    assert "not a list of parts" in str(results[1])


async def test_a_generator_of_parts_is_read_and_its_error_is_the_items() -> None:
    def parts(item: int) -> Iterator[int]:
        yield item
        if item == 1:
            raise KeyError("x")

    _, process = answering(parts)
    results = await Pipeline([expand(process), gather()]).run([0, 1, 2])
    assert codes(results) == [[0], "function_error", [2]]


# -- errors stay with their item -----------------------------------------------------------------


async def test_what_failed_passes_the_later_stages_by_in_its_place() -> None:
    calls, process = answering(str.lower)
    pipeline = Pipeline([stage(upper, max_items=3), stage(process, max_items=3)])
    assert codes(await pipeline.run(["a", "bad", "b"])) == ["a", "no_word", "b"]
    assert [item for call in calls for item in call] == ["A", "B"]


async def test_a_call_that_raises_gives_each_of_its_items_an_error_and_the_rest_goes_on() -> None:
    async def picky(items: Sequence[int]) -> list[int]:
        if 4 in items:
            raise KeyError("four")
        return list(items)

    results = await Pipeline([stage(picky, max_items=2), same]).run(range(6))
    assert codes(results) == [0, 1, 2, 3, "function_error", "function_error"]
    assert isinstance(results[4].__cause__, KeyError)
    split = await Pipeline([stage(picky, max_items=2, split=True), same]).run(range(6))
    assert codes(split) == [0, 1, 2, 3, "function_error", 5]


async def test_a_stage_tries_again_as_its_limits_say() -> None:
    tries = count()

    async def flaky(items: Sequence[int]) -> list[int]:
        if next(tries) == 0:
            raise Retry(0)
        return list(items)

    assert await Pipeline([stage(flaky)]).run([1, 2]) == [1, 2]


@pytest.mark.parametrize("answers", [[], [1], None, "ab", (n for n in range(2))])
async def test_an_answer_of_the_wrong_length_is_an_error_of_the_call(answers: Any) -> None:
    async def wrong(items: Sequence[int]) -> Any:
        return answers

    results = await Pipeline([stage(wrong, max_items=2), same]).run([1, 2])
    assert codes(results) == ["function_error"] * 2


async def test_what_tokens_raises_is_the_error_of_its_item() -> None:
    def tokens(item: Any) -> int:
        return len(item)

    pipeline = Pipeline([stage(same, max_items=5, max_tokens=3, tokens=tokens), same])
    assert codes(await pipeline.run(["a", 5, "bb", "long text"])) == [
        "a",
        "function_error",
        "bb",
        "too_large",
    ]


async def test_none_is_a_result_like_any_other() -> None:
    _, process = answering(lambda item: None)
    assert await Pipeline([process, same]).run([1, 2]) == [None, None]


# -- plain functions -----------------------------------------------------------------------------


async def test_a_plain_function_runs_in_a_thread_and_blocks_nobody() -> None:
    here, told = threading.get_ident(), threading.Event()
    threads: list[int] = []

    def blocks(items: list[int]) -> list[int]:
        threads.append(threading.get_ident())
        assert told.wait(10), "the loop stood still"
        return [item + 1 for item in items]

    async def tells(items: Sequence[int]) -> list[int]:
        told.set()
        return list(items)

    assert await Pipeline([tells, stage(blocks, max_items=4)]).run([1, 2]) == [2, 3]
    assert here not in threads


async def test_a_plain_function_that_returns_an_awaitable_is_awaited() -> None:
    assert await Pipeline([lambda items: same(items), partial(map_list, 2)]).run([1]) == [2]


def map_list(factor: int, items: list[int]) -> list[int]:
    return [factor * item for item in items]


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Pipeline([]), ValueError),
        (lambda: Pipeline([gather()]), ValueError),
        (lambda: Pipeline([expand(same), gather(), gather()]), ValueError),
        (lambda: Pipeline([5]), TypeError),  # type: ignore[list-item]
        (lambda: stage(None), TypeError),  # type: ignore[arg-type]
        (lambda: stage(same, max_items=0), ValueError),
        (lambda: stage(same, max_in_flight=0), ValueError),
        (lambda: stage(same, max_wait_ms=-1), ValueError),
        (lambda: stage(same, max_wait_ms=float("nan")), ValueError),
        (lambda: stage(same, buffer=0), ValueError),
        (lambda: stage(same, timeout_s=0), ValueError),
        (lambda: stage(same, max_attempts=0), ValueError),
        (lambda: stage(same, order="key"), ValueError),  # type: ignore[arg-type]
        (lambda: stage(same, tokens=len), ValueError),
        (lambda: stage(map_list, max_in_flight=0), ValueError),
        (lambda: gather(errors="drop"), ValueError),  # type: ignore[arg-type]
    ],
)
def test_what_is_out_of_range_is_refused_at_once(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


async def test_an_input_that_cannot_be_iterated_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        await Pipeline([same]).run(5)  # type: ignore[arg-type]


# -- limits --------------------------------------------------------------------------------------


async def test_a_slow_stage_holds_back_the_one_before_it_and_the_input() -> None:
    drawn = 0

    def numbers() -> Iterator[int]:
        nonlocal drawn
        for drawn in count():  # noqa: UP028
            yield drawn

    slow = Steered()
    results = Pipeline([stage(same, max_items=2), stage(slow, buffer=3)]).stream(numbers())
    first = asyncio.ensure_future(anext(results))
    await slow.started(1)
    await settled()
    before = drawn
    await settled()
    assert drawn == before < 60
    slow.calls[0].answer()
    assert await first == 0
    await results.aclose()


async def test_the_buffer_limits_what_waits_before_a_stage() -> None:
    slow = Steered()
    pipeline = Pipeline([same, stage(slow, max_items=4, max_in_flight=2, buffer=5)])
    running = asyncio.ensure_future(pipeline.run(range(100)))
    await slow.started(2)
    await settled()
    waiting = pipeline.statistics().stages[1].waiting
    assert waiting == 5
    assert slow.most == 2
    running.cancel()
    await asyncio.wait([running])


async def test_a_buffer_below_max_items_makes_calls_of_what_it_holds() -> None:
    calls, process = answering(lambda item: item)
    await Pipeline([stage(process, max_items=10, buffer=3, max_wait_ms=60_000)]).run(range(6))
    assert [len(call) for call in calls] == [3, 3]


async def test_a_slow_head_holds_no_call_back() -> None:
    process = Steered()
    running = asyncio.ensure_future(Pipeline([stage(process, max_in_flight=2)]).run(range(30)))
    calls = await process.started(2)
    for n in range(1, 20):
        calls[n].answer()
        await process.started(n + 2)
    calls[0].answer()
    for n in range(20, 30):
        (await process.started(n + 1))[n].answer()
    assert await running == list(range(30))


async def test_an_item_with_endless_parts_to_come_waits_for_room() -> None:
    """The parts of 1,000 items are not all made while the first one's wait."""
    made: list[int] = []

    async def many(items: Sequence[int]) -> list[list[int]]:
        made.extend(items)
        return [[item] * 1_000 for item in items]

    slow = Steered()
    running = asyncio.ensure_future(
        Pipeline([expand(many), stage(slow), gather()]).run(range(1_000))
    )
    await slow.started(1)
    await settled()
    assert len(made) < 10
    running.cancel()
    await asyncio.wait([running])
