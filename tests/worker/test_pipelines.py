"""A task that is a pipeline, over a real worker without a broker: order, commits, dead letters,
and partitions that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from streams import Item, ItemError, Pipeline, expand, gather, stage
from streams.jobs.dead.letters import letter_of
from streams.observe.web.state import StateView
from streams.running.pipeline_caller import MAX_INSIDE, PipelineCaller, PipelineTask
from tests.library.steered import Steered
from tests.worker.shell import Shell, settled


async def offsets(items: Sequence[Item]) -> list[dict[str, int]]:
    return [{"of": item.offset} for item in items]


async def halves(items: Sequence[Item]) -> list[list[int]]:
    return [[item.offset] * (item.offset % 4) for item in items]


@pytest.fixture
async def piped():
    """A worker whose only task is a pipeline of these stages, given as `await piped(*stages)`."""
    shells: list[tuple[Shell, PipelineCaller]] = []

    async def make(*stages: Any, order: Any = "partition", **keywords: Any) -> Shell:
        shell = Shell(**keywords)
        task = PipelineTask("task", "source", order, "", 1_000_000)
        caller = PipelineCaller(Pipeline(stages), task, shell.worker.on_defect)
        await caller.start()
        shell.caller = caller
        shells.append((shell, caller))
        await shell.start(max_items=1, max_in_flight=MAX_INSIDE, order=order)
        return shell

    yield make
    for shell, caller in shells:
        assert shell.fatal == []
        await shell.stop()
        await caller.aclose()


async def test_results_are_written_in_source_order_and_committed(piped) -> None:
    shell = await piped(
        expand(halves, max_items=3), stage(_same, max_items=5), gather(), stage(_first)
    )
    lanes = await shell.assign(0, 1)
    for lane in lanes:
        shell.arrive(lane, 100)
    await shell.until(lambda: shell.committed == {0: 100, 1: 100})
    assert shell.written(0) == [n if n % 4 else -1 for n in range(100)]


async def _same(parts: Sequence[Any]) -> list[Any]:
    return list(parts)


async def _first(lists: Sequence[list[int]]) -> list[dict[str, int]]:
    return [{"of": each[0] if each else -1} for each in lists]


async def test_nothing_is_committed_before_the_last_stage_has_its_outcome(piped) -> None:
    store = Steered()
    shell = await piped(stage(offsets, max_items=10), stage(store, max_in_flight=3))
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 3)
    calls = await store.started(3)
    for call in reversed(calls[1:]):
        call.answer()
        await asyncio.sleep(0.005)  # some commit intervals
    assert shell.consumer.requests == []
    calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 3})
    assert shell.written() == [0, 1, 2]


async def test_a_dead_letter_of_any_stage_names_it_and_stands_at_its_place(piped) -> None:
    async def checked(items: Sequence[Item]) -> list[Any]:
        return [ItemError("odd", "no") if item.offset == 1 else item.offset for item in items]

    async def stored(numbers: Sequence[int]) -> list[Any]:
        if 2 in numbers:
            raise ValueError("secret")
        return [{"of": number} for number in numbers]

    shell = await piped(stage(checked, max_items=5), stage(stored))
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 4)
    await shell.until(lambda: shell.committed == {0: 4})
    assert shell.written() == [0, 3]
    letters = [_letter(record) for record in shell.broker.logs["dead", 0]]
    assert [(each.source.offset, each.code, each.stage) for each in letters] == [
        (1, "odd", "checked"),
        (2, "function_error", "stored"),
    ]
    assert letters[0].message == "stage checked: no"
    assert shell.task.tally.dead_letters == {"odd": 1, "function_error": 1}


def _letter(record: Any) -> Any:
    from types import SimpleNamespace

    found = letter_of(
        SimpleNamespace(
            partition=0, offset=0, key=record.key, value=record.value, headers=record.headers
        )
    )
    assert found is not None
    return found


async def test_results_of_a_partition_that_was_taken_away_are_dropped_and_the_rest_goes_on(
    piped,
) -> None:
    calls = Steered()
    shell = await piped(stage(calls, max_in_flight=4))
    (first, second) = await shell.assign(0, 1)
    shell.arrive(first, 2)
    shell.arrive(second, 2)
    under_way = await calls.started(4)
    await shell.worker.on_revoked()
    (kept,) = await shell.assign(1)
    shell.arrive(kept, 2)
    for call in under_way:
        call.answer([{"of": call.items[0].offset}])
    for call in (await calls.started(6))[4:]:
        call.answer([{"of": call.items[0].offset}])
    await shell.until(lambda: shell.committed == {1: 4})
    assert (shell.written(0), shell.written(1)) == ([], [0, 1, 2, 3])


async def test_a_stop_lets_what_is_in_the_pipeline_finish(piped) -> None:
    calls = Steered()
    shell = await piped(stage(offsets), stage(calls, max_in_flight=2))
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 2)
    under_way = await calls.started(2)
    draining = asyncio.create_task(shell.worker.drain(5))
    await settled()
    shell.arrive(lane, 2)
    for call in under_way:
        call.answer()
    assert await draining
    assert shell.written() == [0, 1]
    assert shell.committed == {0: 2}


@pytest.mark.parametrize(("order", "wanted"), [("partition", []), ("key", [1]), ("none", [1, 2])])
async def test_results_leave_in_the_order_of_the_task(piped, order: str, wanted: list[int]) -> None:
    """Record 0 is slow; 2 has its key, 1 another."""
    calls = Steered()
    shell = await piped(stage(calls, max_in_flight=3), stage(_same), order=order)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 3, keys=[b"a", b"b"])
    under_way = await calls.started(3)
    for call in under_way[1:]:
        call.answer([{"of": call.items[0].offset}])
    await settled()
    await asyncio.sleep(0.01)
    assert sorted(orjson.loads(each)["of"] for each in _sunk(shell)) == wanted
    under_way[0].answer([{"of": 0}])
    await shell.until(lambda: shell.committed == {0: 3})
    assert sorted(orjson.loads(each)["of"] for each in _sunk(shell)) == [0, 1, 2]


def _sunk(shell: Shell) -> list[bytes]:
    return [each for n in range(4) for each in shell.broker.values("sink", n) if each]


async def test_what_it_shows_is_about_its_stages(piped) -> None:
    calls = Steered()
    shell = await piped(stage(calls, max_items=2, max_in_flight=3), stage(_same, max_in_flight=2))
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 6)
    await calls.started(1)
    await settled()
    statistics, parts = shell.task.statistics(), shell.task.parts
    assert parts.max_in_flight == 5
    assert statistics.in_flight == len(calls.calls)
    assert shell.worker.summary()["calls"] == len(calls.calls)
    while any(not call.ended.done() for call in calls.calls):
        for call in calls.calls:
            if not call.ended.done():
                call.answer([{"of": item.offset} for item in call.items])
        await settled()
    await shell.until(lambda: shell.committed == {0: 6})
    summary = shell.worker.summary()
    assert summary["calls"] == len(calls.calls) + 6
    assert summary["max_in_flight_seen"] <= 5
    pipeline = parts.pipeline
    assert pipeline is not None
    assert [each.name for each in pipeline.stages().stages] == ["Steered", "_same"]
    (shown,) = StateView(shell.worker, "w").worker()["tasks"]
    assert [(each["name"], each["items"]) for each in shown["stages"]] == [
        ("Steered", 6),
        ("_same", 6),
    ]
    assert shown["bottleneck"] == pipeline.stages().bottleneck
    assert shown["calls"]["max_in_flight"] == 5


async def test_an_interrupt_in_a_stage_is_no_items_error(piped) -> None:
    """The worker's process ends (`streams.process`), as for a function."""

    async def interrupt(items: Sequence[Item]) -> list[Any]:
        raise KeyboardInterrupt

    def run(make: Callable[[], Any]) -> None:
        asyncio.run(make())

    async def once() -> None:
        task = PipelineTask("task", "source", "partition", "", 1_000_000)
        caller = PipelineCaller(Pipeline([stage(interrupt)]), task, lambda error: None)
        await caller.start()
        record = Item({}, "", 0, None, (), "source", 0, 0, 0, b"{}")
        await caller([record])

    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(run, once)
