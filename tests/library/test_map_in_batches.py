"""`map_batches(mode="batch")` over the real SDK, against the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from pydantic import BaseModel

import streams
from streams.batches.batch_bar import state_of
from streams.batches.core.batch_packing import ChunkBounds
from streams.batches.core.polling import PollTimes
from streams.batches.core.run_terms import RunTerms
from streams.batches.list_run import run_list
from streams.batches.run_report import BatchProgress
from streams.errors import ConfigError, ItemError, StreamsError
from streams.running.work import Options
from streams.simulator.running_server import Simulator

LABELS = ["good", "bad"]
TEXTS = [f"text {n}" for n in range(90)]
TERMS = RunTerms(bounds=ChunkBounds(max_requests=3), times=PollTimes(first_ms=5, last_ms=20))
OPTIONS = Options(max_items=5)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


async def requests(api: Simulator) -> list[Any]:
    """Of all batches, as the simulator's journal has them."""
    url = f"{api.url}/simulator/requests"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return [orjson.loads(line) for line in (await response.read()).splitlines()]


async def script(api: Simulator, *rules: dict[str, Any]) -> None:
    url = f"{api.url}/simulator/script"
    async with aiohttp.ClientSession() as session, session.post(url, json=list(rules)) as response:
        assert response.status == 200, await response.text()


async def test_results_come_in_order_as_live_and_at_about_half_the_price(
    api: Simulator, state: Path
) -> None:
    label = streams.classify(LABELS)
    results = await run_list(label, TEXTS, OPTIONS, state, terms=TERMS)
    live = streams.classify(LABELS)
    assert results == await streams.map_batches(live, TEXTS, max_items=5)
    assert label.usage.cost_usd is not None
    assert live.usage.cost_usd is not None
    assert label.usage.cost_usd <= 0.54 * live.usage.cost_usd  # one of 18 calls is the canary
    assert label.usage.calls == live.usage.calls == 18
    asked = await requests(api)
    assert len(asked) == 17
    assert all(each["answered"] == 1 for each in asked)


async def test_the_public_function_takes_the_mode_and_the_same_call_gives_the_same_again(
    api: Simulator, state: Path
) -> None:
    label = streams.classify(LABELS)
    first = await streams.map_batches(label, TEXTS[:8], mode="batch", state=state, max_items=5)
    before = len(await requests(api))
    again = await streams.map_batches(label, TEXTS[:8], mode="batch", state=state, max_items=5)
    assert again == first
    assert len(await requests(api)) == before


async def test_another_process_goes_on_with_what_an_interrupted_one_has_submitted(
    api: Simulator, state: Path
) -> None:
    await script(api, {"fault": "slow_batch", "delay_ms": 3_000, "endpoint": "batches"})
    submitted = asyncio.Event()

    def watch(progress: BatchProgress) -> None:
        if progress.batches >= 6:
            submitted.set()

    label = streams.classify(LABELS)
    run = asyncio.create_task(
        run_list(label, TEXTS, OPTIONS, state, terms=TERMS, on_progress=watch)
    )
    await asyncio.wait_for(submitted.wait(), 60)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    async with asyncio.timeout(60):
        results = await run_list(streams.classify(LABELS), TEXTS, OPTIONS, state, terms=TERMS)
    assert len(results) == 90
    assert set(results) <= set(LABELS)
    assert all(len(each["batches"]) == 1 for each in await requests(api))


async def test_a_creation_whose_answer_was_lost_is_found_and_not_made_again(
    api: Simulator, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.batches.core.adoption.SETTLE_MS", 50)
    monkeypatch.setattr("streams.batches.core.polling.BACKOFF.__class__.ceiling_s", lambda *_: 0.05)
    await script(
        api,
        {"fault": "reset", "endpoint": "batches", "method": "POST", "billed": True, "calls": 2},
        {"fault": "reset", "endpoint": "batches", "method": "POST", "billed": True, "calls": 4},
    )
    async with asyncio.timeout(60):
        results = await run_list(streams.classify(LABELS), TEXTS, OPTIONS, state, terms=TERMS)
    assert len(results) == 90
    asked = await requests(api)
    assert all(len(each["batches"]) == 1 for each in asked)
    assert len(asked) == 17


async def test_what_batches_leave_is_asked_again_and_then_live(api: Simulator, state: Path) -> None:
    await script(
        api,
        {"fault": "overloaded", "endpoint": "batch_request", "probability": 0.3},
        {"fault": "expired", "endpoint": "batch_request", "probability": 0.3},
    )
    async with asyncio.timeout(60):
        results = await run_list(streams.classify(LABELS), TEXTS, OPTIONS, state, terms=TERMS)
    assert len(results) == 90
    assert set(results) <= set(LABELS)
    assert all(each["answered"] <= 1 for each in await requests(api))


async def test_an_item_that_fails_for_good_has_its_error_in_its_place(
    api: Simulator, state: Path
) -> None:
    await script(
        api,
        {"fault": "refusal", "text": "poison"},
        {"fault": "refusal", "text": "poison", "endpoint": "batch_request"},
    )
    texts = [*TEXTS[:12], "poison", *TEXTS[12:20]]
    async with asyncio.timeout(60):
        results = await run_list(streams.classify(LABELS), texts, OPTIONS, state, terms=TERMS)
        again = await run_list(streams.classify(LABELS), texts, OPTIONS, state, terms=TERMS)
    error = results[12]
    assert isinstance(error, ItemError)
    assert error.code == "refused"
    assert [place for place, each in enumerate(results) if isinstance(each, ItemError)] == [12]
    assert [str(each) for each in again] == [str(each) for each in results]


async def test_items_without_a_text_need_no_call(api: Simulator, state: Path) -> None:
    label = streams.classify(LABELS, text="/body")
    items = [{"body": "a"}, {"title": "b"}, {"body": "c"}]
    results = await run_list(label, items, OPTIONS, state, terms=TERMS)
    assert isinstance(results[1], ItemError)
    assert results[1].code == "no_text"


class Review(BaseModel):
    product: str
    stars: int


async def test_extraction_gives_instances_of_a_model_also_from_the_state(
    api: Simulator, state: Path
) -> None:
    facts = streams.extract(Review)
    first = await run_list(facts, TEXTS[:12], OPTIONS, state, terms=TERMS)
    again = await run_list(streams.extract(Review), TEXTS[:12], OPTIONS, state, terms=TERMS)
    assert all(isinstance(each, Review) for each in first)
    assert again == first


async def test_an_async_iterable_is_read_to_its_end(api: Simulator, state: Path) -> None:
    async def items() -> AsyncIterator[str]:
        for text in TEXTS[:7]:
            yield text

    label = streams.classify(LABELS)
    assert len(await run_list(label, items(), OPTIONS, state, terms=TERMS)) == 7
    assert await run_list(label, [], OPTIONS, state.with_name("empty"), terms=TERMS) == []


async def test_other_items_or_another_prompt_are_refused(api: Simulator, state: Path) -> None:
    label = streams.classify(LABELS)
    await run_list(label, TEXTS[:8], OPTIONS, state, terms=TERMS)
    with pytest.raises(ValueError, match="the items were others"):
        await run_list(label, TEXTS[:9], OPTIONS, state, terms=TERMS)
    with pytest.raises(ValueError, match="the items were others"):
        await run_list(label, [*TEXTS[:7], "another"], OPTIONS, state, terms=TERMS)
    other = streams.classify(LABELS, instructions="Judge the tone.")
    with pytest.raises(ValueError, match="the operation were others"):
        await run_list(other, TEXTS[:8], OPTIONS, state, terms=TERMS)


async def test_a_run_stops_before_its_maximal_cost_and_goes_on_with_a_higher_one(
    api: Simulator, state: Path
) -> None:
    label = streams.classify(LABELS)
    with pytest.raises(StreamsError, match=r"max_cost_usd=0\.0002 would be spent.* open"):
        await run_list(label, TEXTS, OPTIONS, state, terms=TERMS, max_cost_usd=0.0002)
    assert label.usage.cost_usd is not None
    assert 0 < label.usage.cost_usd <= 0.0002
    results = await run_list(label, TEXTS, OPTIONS, state, terms=TERMS, max_cost_usd=1.0)
    assert set(results) <= set(LABELS)


async def test_a_deadline_that_leaves_no_time_for_batches_is_met_live(
    api: Simulator, state: Path
) -> None:
    label = streams.classify(LABELS)
    results = await run_list(label, TEXTS, OPTIONS, state, terms=TERMS, deadline_s=60)
    assert set(results) <= set(LABELS)
    assert await requests(api) == []


async def test_what_has_no_batches_says_so(api: Simulator, state: Path) -> None:
    async def own(items: Any) -> Any:
        return items

    with pytest.raises(ValueError, match="a function of your own has no batches"):
        await streams.map_batches(own, TEXTS, mode="batch", state=state)
    with pytest.raises(ConfigError, match="voyage has no Message Batches"):
        await streams.map_batches(streams.embed(), TEXTS, mode="batch", state=state)
    unpriced = streams.classify(LABELS, model="claude-unheard-of")
    with pytest.raises(ValueError, match="price"):
        await streams.map_batches(unpriced, TEXTS, mode="batch", state=state, max_cost_usd=1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"mode": "batch"}, "needs state="),
        ({"mode": "later"}, '"live" or "batch"'),
        ({"state": "run.json"}, 'state: for mode="batch"'),
        ({"deadline_s": 60}, 'deadline_s: for mode="batch"'),
        ({"max_cost_usd": 1}, 'max_cost_usd: for mode="batch"'),
        ({"mode": "batch", "state": "x", "stop_on_error": True}, "stop_on_error"),
        ({"mode": "batch", "state": "x", "deadline_s": 0}, "deadline_s must be above 0"),
        ({"mode": "batch", "state": "x", "max_cost_usd": -1}, "max_cost_usd must be above 0"),
        ({"mode": "batch", "state": "x", "max_items": 0}, "max_items"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_at_once(
    keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await streams.map_batches(streams.classify(LABELS), TEXTS, **keywords)


def test_the_bar_says_how_far_it_is_and_what_it_waits_for() -> None:
    progress = BatchProgress(1_000, 800, 400, 3, 20, 5, 2, 0.0123, "2 batches")
    shown = state_of(progress)
    assert shown.text == "400/1,000"
    assert shown.facts == "800 planned  5 batches  $0.0123  waits for 2 batches"
