"""`PipelineCaller`: one call for each item, all through one running pipeline."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams import Item, ItemError, Pipeline, expand, gather, stage
from streams.codec.fingerprint import fingerprint
from streams.core.limits import Limits
from streams.errors import CallError, ConfigError, Fault, StageError
from streams.model import DROP, Reply, Usage
from streams.running.pipeline_caller import PipelineCaller, PipelineTask
from streams.running.task_stages import pipeline_of
from streams.running.trips import memory_of
from streams.running.work import Options, OwnWork, limits_of
from tests.library.steered import Steered, settled

MB = 1_000_000


def item(offset: int, *, partition: int = 0, key: bytes | None = None, **value: Any) -> Item:
    return Item(value, f"text {offset}", offset, key, (), "docs", partition, offset, 0, b"{}")


@asynccontextmanager
async def running(
    *stages: Any, order: Any = "partition", room_bytes: int = 16 * MB, version: str = ""
) -> AsyncIterator[PipelineCaller]:
    defects: list[BaseException] = []
    task = PipelineTask("task", "docs", order, version, room_bytes)
    caller = PipelineCaller(Pipeline(stages), task, defects.append)
    await caller.start()
    try:
        yield caller
    finally:
        await caller.aclose()
    assert defects == []


async def outcome(caller: PipelineCaller, item: Item) -> Any:
    (answer,) = (await caller([item])).answers
    return answer


async def same(items: Sequence[Any]) -> list[Any]:
    return list(items)


async def texts(items: Sequence[Item]) -> list[str]:
    return [item.text for item in items]


class Paid(OwnWork):
    """An operation whose every call takes 1,000 tokens in and `output` out, by an item's length."""

    name = "Paid"

    def __init__(self, output: int = 7, fault: CallError | None = None) -> None:
        self.output = output
        self.fault = fault
        self.has_price = True
        self.account = self.money = None
        self.timeout_s = None
        self.faults: list[CallError] = []

    def check(self, options: Options) -> None: ...

    def work(self, options: Options) -> Any:
        self.limits: Limits = limits_of(options, max_items=4, max_attempts=6, split=True)
        return self

    async def caller(self, items: list[Any]) -> Reply:
        if self.faults:
            raise self.faults.pop()
        return Reply([f"<{item}>" for item in items], Usage(1_000, self.output, 123_457))

    def weigh(self, slots: Sequence[Any]) -> None:
        for slot in slots:
            slot.tokens = len(str(slot.item))

    def results(self, slots: Sequence[Any]) -> list[Any]:
        return [slot.outcome for slot in slots]

    def describe(self) -> dict[str, Any]:
        return {"provider": "paid", "model": "m", "prompt": "p"}

    async def close(self) -> None: ...


# -- outcomes ------------------------------------------------------------------------------------


async def test_each_item_has_the_last_stages_outcome() -> None:
    async def words(items: Sequence[Item]) -> list[list[str]]:
        return [item.text.split() for item in items]

    async with running(expand(words), stage(same, max_items=3), gather()) as caller:
        answers = await asyncio.gather(*(outcome(caller, item(n)) for n in range(50)))
    assert answers == [["text", str(n)] for n in range(50)]


async def test_none_drops_the_item_and_models_become_json() -> None:
    from pydantic import BaseModel

    class Fact(BaseModel):
        n: int

    async def facts(items: Sequence[Item]) -> list[Any]:
        return [[None, Fact(n=1), [Fact(n=2)]][item.offset] for item in items]

    async with running(stage(facts)) as caller:
        answers = [await outcome(caller, item(n)) for n in range(3)]
    assert answers == [DROP, {"n": 1}, [{"n": 2}]]


def plain_function(items: Sequence[Item]) -> list[str]:
    return [threading.current_thread().name for _ in items]


async def test_a_plain_function_runs_in_a_thread() -> None:
    async with running(stage(plain_function)) as caller:
        assert (await outcome(caller, item(0))).startswith("streams-stage")


# -- errors --------------------------------------------------------------------------------------


async def test_an_error_has_the_name_of_the_stage_where_it_came_up() -> None:
    one_error = ItemError("odd", "of several items")

    async def check(items: Sequence[Item]) -> list[Any]:
        return [one_error if item.offset == 0 else item for item in items]

    async def words(items: Sequence[Item]) -> list[Any]:
        return [7 if item.offset == 1 else [item.offset, item.offset] for item in items]

    async def vector(parts: Sequence[int]) -> list[Any]:
        return [ItemError("no_vector") if part == 2 else part for part in parts]

    async def store(lists: Sequence[list[int]]) -> list[Any]:
        if lists[0] == [3, 3]:
            raise ValueError("secret")
        return list(lists)

    async with running(check, expand(words), vector, gather(), store) as caller:
        found = [await outcome(caller, item(n)) for n in range(5)]
    errors = [each for each in found if isinstance(each, StageError)]
    assert [(each.stage, each.code) for each in errors] == [
        ("check", "odd"),
        ("words", "function_error"),
        ("vector", "no_vector"),
        ("store", "function_error"),
    ]
    assert [each.message for each in errors[:3]] == [
        "stage check: of several items",
        "stage words: the function of expand returned int, not a list of parts",
        "stage vector",
    ]
    assert "secret" not in errors[3].message
    assert found[4] == [4, 4]
    assert one_error.message == "of several items"  # the function's own is as it was


async def test_a_function_that_raises_is_halved_unless_its_stage_says_no() -> None:
    """One bad item never fails another (contract G7), as in a task without stages."""

    async def picky(items: Sequence[Item]) -> list[str]:
        if any(item.offset == 2 for item in items):
            raise ValueError
        return [item.text for item in items]

    async def fates(**options: Any) -> list[bool]:
        async with running(stage(picky, max_items=5, max_wait_ms=20, **options)) as caller:
            found = await asyncio.gather(*(outcome(caller, item(n)) for n in range(5)))
        return [isinstance(each, ItemError) for each in found]

    assert await fates() == [False, False, True, False, False]
    assert await fates(split=False) == [True] * 5


@pytest.mark.parametrize("kind", ["async", "thread", "awaitable from a thread"])
async def test_a_function_that_exits_fails_its_item_alone(kind: str) -> None:
    def leave(items: Sequence[Item]) -> list[str]:
        if any(item.offset == 1 for item in items):
            raise SystemExit(3)
        return [item.text for item in items]

    async def leave_in_loop(items: Sequence[Item]) -> list[str]:
        return leave(items)

    function: Any = {
        "async": leave_in_loop,
        "thread": leave,
        "awaitable from a thread": lambda items: leave_in_loop(items),
    }[kind]
    async with running(stage(function)) as caller:
        found = [await outcome(caller, item(n)) for n in range(3)]
    assert [found[0], found[2]] == ["text 0", "text 2"]
    assert found[1].code == "function_error"
    assert "SystemExit at test_pipeline_caller.py" in found[1].message


# -- order and who waits for whom ----------------------------------------------------------------


async def test_a_slow_item_holds_back_its_own_partition_and_no_other() -> None:
    """Stages keep the order of each partition, not one over all of them."""
    first, later = Steered(), Steered()
    async with running(stage(first, max_in_flight=4), stage(later, max_in_flight=4)) as caller:
        items = [item(0), item(1), item(0, partition=1), item(1, partition=1)]
        waiting = [asyncio.create_task(outcome(caller, each)) for each in items]
        for call in (await first.started(4))[1:]:
            call.answer(["passed"])
        await settled()
        assert len(later.calls) == 2, "partition 1's"
        first.calls[0].answer(["passed"])
        for call in await later.started(4):
            call.answer(["done"])
        assert await asyncio.gather(*waiting) == ["done"] * 4


async def test_a_slow_item_does_not_fill_the_stage_that_others_need() -> None:
    """Hundreds of its own partition wait behind it, and another partition's still go through."""
    first, last = Steered(), Steered()
    async with running(stage(first, max_in_flight=2), stage(last)) as caller:
        items = [*map(item, range(300)), item(0, partition=1)]
        waiting = [asyncio.create_task(outcome(caller, each)) for each in items]
        for n in range(1, 301):
            call = (await first.started(n + 1))[n]
            call.answer([each.partition for each in call.items])
        (call,) = await last.started(1)
        assert call.items == [1]
        for each in waiting:
            each.cancel()


async def test_results_of_the_last_stage_leave_as_they_are_done() -> None:
    """Its task restores their order."""
    calls = Steered()
    async with running(stage(calls, max_in_flight=2)) as caller:
        waiting = [asyncio.create_task(outcome(caller, item(n))) for n in range(2)]
        (await calls.started(2))[1].answer(["done"])
        assert await waiting[1] == "done"
        waiting[0].cancel()


@pytest.mark.parametrize(("order", "passes"), [("partition", 0), ("key", 1), ("none", 2)])
async def test_stages_keep_the_order_of_their_task(order: str, passes: int) -> None:
    """Items 0 and 1 have one key, 2 another; item 0 is slow."""
    first, later = Steered(), Steered()
    async with running(stage(first, max_in_flight=3), stage(later), order=order) as caller:
        keys = [b"a", b"a", b"b"]
        waiting = [
            asyncio.create_task(outcome(caller, item(n, key=key))) for n, key in enumerate(keys)
        ]
        for call in (await first.started(3))[1:]:
            call.answer()
        await settled()
        for call in later.calls:
            call.answer()
            await settled()
        assert len(later.calls) == passes
        for each in waiting:
            each.cancel()


async def test_a_stage_that_keeps_no_order_keeps_none_in_a_task_either() -> None:
    first, later = Steered(), Steered()
    async with running(stage(first, max_in_flight=2, order="none"), stage(later)) as caller:
        waiting = [asyncio.create_task(outcome(caller, item(n))) for n in range(2)]
        (await first.started(2))[1].answer()
        await later.started(1)
        for each in waiting:
            each.cancel()


async def test_what_is_inside_of_a_partition_that_was_taken_away_is_dropped() -> None:
    """From every stage: what waits makes no call, a call that answers nobody else is cancelled, and
    a new owner of the same partition begins anew."""
    first, last = Steered(), Steered()
    async with running(stage(first, max_in_flight=2), stage(last)) as caller:
        lost = [asyncio.create_task(outcome(caller, item(n))) for n in range(6)]
        kept = asyncio.create_task(outcome(caller, item(0, partition=1)))
        (await first.started(2))[0].answer(["passed"])
        await last.started(1)
        for each in lost:
            each.cancel()
        again = asyncio.create_task(outcome(caller, item(0)))
        await settled()
        assert [call.cancelled for call in first.calls[1:2]] == [True]
        assert last.calls[0].cancelled
        for call in (await first.started(len(first.calls)))[2:]:
            if not call.cancelled:
                call.answer([(each.partition, each.offset) for each in call.items])
                await settled()
        for n in (1, 2):
            (await last.started(n + 1))[n].answer()
        assert await kept == (1, 0)
        assert await again == (0, 0)
        called = [(each.partition, each.offset) for call in first.calls for each in call.items]
        assert called.count((0, 5)) == 0, "it waited before the first stage"
        assert caller.with_stages(_no_items()).buffered_bytes == 0
        assert all(each.waiting == each.in_flight == 0 for each in caller.stages().stages)


# -- what it takes -------------------------------------------------------------------------------


async def test_what_the_calls_of_all_stages_take_is_shared_out_exactly_through_parts() -> None:
    async def parts(items: Sequence[Item]) -> list[Any]:
        return [["x" * n for n in range(item.offset)] for item in items]

    first, last = Paid(), Paid(output=3)
    async with running(
        expand(parts), stage(first, max_in_flight=2), gather(), stage(last, max_items=3)
    ) as caller:
        replies = await asyncio.gather(*(caller([item(n)]) for n in range(9)))
        tally = caller.tally
    usages = [reply.usage for reply in replies]
    sums = [sum(each[kind] or 0 for each in usages if each) for kind in range(3)]
    assert sums == [tally.input_tokens, tally.output_tokens, tally.cost_nano_usd]
    assert tally.input_tokens >= 12 * 1_000
    assert sums[2] == 123_457 * (tally.input_tokens // 1_000)
    assert {each.calls for each in usages if each} == {1}, "none was repeated at one stage"


async def test_an_item_counts_the_calls_of_the_stage_that_repeated_it_most() -> None:
    paid = Paid()
    paid.faults = [CallError(Fault.BAD_REPLY), CallError(Fault.BAD_REPLY)]
    async with running(stage(texts), stage(paid), stage(same)) as caller:
        reply = await caller([item(0)])
    assert reply.answers == ["<text 0>"]
    assert reply.usage is not None
    assert reply.usage.calls == 3


async def test_an_unknown_price_is_told_and_makes_the_cost_unknown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    paid = Paid()
    paid.has_price = False
    async with running(stage(texts), stage(paid)) as caller:
        assert caller.tally.cost_usd is None
    assert "the price of stage Paid is not known" in caplog.text


async def test_no_item_begins_while_the_stages_hold_too_much() -> None:
    """Two documents of 200 parts of 10 kB are inside; the others wait."""
    parts, stored = Steered(), Steered()
    async with running(
        expand(parts, buffer=50), stage(same, max_items=50), gather(), stored, room_bytes=3 * MB
    ) as caller:
        waiting = [asyncio.create_task(outcome(caller, item(n))) for n in range(40)]
        begun = 0
        for _ in range(40):
            await settled()
            while len(parts.calls) > begun:
                parts.calls[begun].answer([["x" * 10_000] * 200])
                begun += 1
                await settled()
            inside = begun - sum(each.done() for each in waiting)
            assert inside <= 47 if begun < 47 else inside <= 2
            for call in [each for each in stored.calls if not each.ended.done()]:
                call.answer(["stored"])
            await settled()
        assert await asyncio.gather(*waiting) == ["stored"] * 40


async def test_errors_that_are_kept_in_the_last_list_are_told_in_the_result() -> None:
    """Such a list was no JSON: a dead letter `invalid_result`, after all had been paid."""

    async def judged(parts: Sequence[str]) -> list[Any]:
        return [ItemError("bad_part", "as asked") if part == "b" else [0.5] for part in parts]

    async def letters(items: Sequence[Item]) -> list[list[str]]:
        return [["a", "b"] for _ in items]

    async with running(expand(letters), stage(judged), gather(errors="keep")) as caller:
        assert await outcome(caller, item(0)) == [
            [0.5],
            {"error": {"code": "bad_part", "message": "stage judged: as asked"}},
        ]


async def test_one_item_that_is_larger_than_all_room_passes_alone() -> None:
    async def huge(items: Sequence[Item]) -> list[Any]:
        return [["x" * 100_000] * 10 for _ in items]

    async def lengths(lists: Sequence[list[str]]) -> list[int]:
        return [len(each) for each in lists]

    async with running(expand(huge), same, gather(), lengths, room_bytes=1_000) as caller:
        assert await asyncio.gather(*(outcome(caller, item(n)) for n in range(5))) == [10] * 5
        assert caller.with_stages(_no_items()).buffered_bytes == 0, "all of it is let go"


def _no_items() -> Any:
    from streams.core.engine import Engine

    return Engine(Limits(), random=lambda: 0.5).statistics()


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("x" * 10_000, 10_000, 11_000),
        ([0.5] * 1_024, 1_024 * 32, 1_024 * 34),
        ([["x" * 100] * 10] * 10, 10_000, 20_000),
        ({"a": "x" * 1_000, "b": [1.5] * 100}, 4_200, 5_200),
        (b"x" * 1_000, 1_000, 1_200),
        (None, 1, 100),
    ],
)
def test_memory_is_estimated_on_the_high_side(value: Any, least: int, most: int) -> None:
    assert least <= memory_of(value) <= most


async def test_a_pause_of_an_api_is_the_tasks_and_names_the_stage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    paid = Paid()
    paid.faults = [CallError(Fault.THROTTLED, "slow down", retry_after_s=0.05)]
    async with running(stage(texts), stage(paid)) as caller:
        waiting = asyncio.create_task(outcome(caller, item(0)))
        await settled()
        now = caller.with_stages(_no_items())
        assert now.paused_reason == "throttled"
        assert now.paused_message.startswith("stage Paid: ")
        assert "task task (stage Paid) is paused (throttled)" in caplog.text
        assert await waiting == "<text 0>"
        assert caller.with_stages(_no_items()).paused_reason is None
        assert caller.with_stages(_no_items()).calls == 3


# -- which pipelines a task takes ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        ([expand(same)], "stages: an item's parts are not gathered"),
        ([stage(same, max_wait_ms=float("inf"))], "stages: same: max_wait_ms must be finite"),
        ([], "stages: a pipeline needs at least one stage"),
        ([gather()], "stages: gather: there is no expand before it"),
        ([7], "stages: a stage is a function or an operation, not int"),
    ],
)
def test_a_pipeline_that_cannot_be_a_tasks_is_refused(stages: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        pipeline_of(stages)
    assert refused.value.problems[0].startswith(problem)


async def test_the_fingerprint_is_that_of_the_operations_and_the_version() -> None:
    async def of(*stages: Any, version: str = "") -> str:
        async with running(*stages, version=version) as caller:
            return fingerprint(**caller.describe())

    base = await of(texts, Paid())
    assert await of(stage(texts, max_in_flight=3), stage(Paid(), max_items=2)) == base
    assert await of(texts, Paid(), version="2") != base
    assert await of(texts, Paid(), Paid()) != base


async def test_a_stop_ends_the_calls_under_way_and_leaves_one_behind_that_does_not_end() -> None:
    go_on = threading.Event()

    def blocks(items: Sequence[Item]) -> list[str]:
        go_on.wait(30)
        return ["late" for _ in items]

    try:
        async with running(stage(blocks), stage(same)) as caller:
            waiting = asyncio.create_task(outcome(caller, item(0)))
            await settled()
            waiting.cancel()
        assert len(asyncio.all_tasks()) <= 2  # this test, and the call that does not end
    finally:
        go_on.set()
