"""Through the real SDK to the simulator, which counts the tokens of whole requests by itself: calls
are full of `max_tokens` and never above, in any script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

import streams
from benchmarks import packing
from streams.providers.voyage import max_tokens
from streams.simulator import embeddings
from streams.simulator.catalogue import VOYAGE
from streams.simulator.running_server import Simulator, serve
from streams.simulator.simulator_settings import SimulatorSettings

MAX_TOKENS = packing.MAX_TOKENS
CALLS = 70


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    """What it answers does not matter here."""
    simulator = await serve(SimulatorSettings(latency_ms=0, answers="hash"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
    monkeypatch.setenv("VOYAGE_API_KEY", "pa-test")
    monkeypatch.setenv("VOYAGE_BASE_URL", simulator.voyage_url)
    yield simulator
    await simulator.stop()


@pytest.fixture(scope="module")
def sources() -> dict[str, list[str]]:
    made = packing.corpora(Random(1))
    return {**{name: [text] for name, text in made.items()}, "all of them": [*made.values()]}


@pytest.mark.parametrize("name", ["English", "Chinese", "source code", "all of them"])
async def test_calls_are_full_of_tokens_and_none_is_above_the_limit(
    api: Simulator, sources: dict[str, list[str]], name: str, seed: int
) -> None:
    texts = list(packing.texts_of(sources[name], Random(seed), CALLS * MAX_TOKENS))
    seen, error = await packing.calls_of(texts)
    assert max(each.used for each in seen) <= MAX_TOKENS
    full = [each.used for each in seen if each.reason == "tokens"]
    assert sum(full) / len(full) >= packing.LEAST_FILL * MAX_TOKENS
    assert all(each.off <= packing.MOST_OFF for each in seen[packing.LEARNED :])
    assert error <= packing.MOST_OFF


async def test_the_prompt_costs_each_item_a_twentieth_where_twenty_share_a_call(
    api: Simulator,
) -> None:
    alone, shared = [await packing.prompt_tokens_each(api, n) for n in (1, 20)]
    assert alone >= 200
    assert shared == pytest.approx(alone / 20, rel=0.005)


# -- Voyage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", VOYAGE.values(), ids=VOYAGE)
def test_a_voyage_model_is_given_as_many_tokens_as_it_takes(model: Any) -> None:
    assert max_tokens(model.name) <= model.request_tokens
    assert max_tokens("voyage-of-tomorrow") == 120_000


async def test_calls_of_voyage_keep_to_its_texts_and_tokens_whatever_is_configured(
    api: Simulator,
) -> None:
    """Short texts by their number, long ones by their tokens; the simulator refuses more."""
    calls = api.simulation.journal
    vector = streams.embed("voyage-4-large", dimension=256)
    limits: Any = {"max_items": 5_000, "max_tokens": 10_000_000, "max_in_flight": 2}
    made = await streams.map_batches(vector, ["short"] * (2 * embeddings.MAX_TEXTS), **limits)
    assert all(len(each) == 256 for each in made)
    assert [len(each["items"]) for each in calls.since(0)] == [1_000, 1_000]
    calls.reset()
    made = await streams.map_batches(vector, ["word " * 2_000] * 100, **limits)
    assert all(len(each) == 256 for each in made)
    used = [each["input_tokens"] for each in calls.since(0)]
    assert max(used) <= 120_000
    assert len(used) == 3
