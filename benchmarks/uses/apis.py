"""Lists: texts to be classified, documents to be embedded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import ceil
from typing import Any

import streams
from benchmarks.bars import Bar, Report
from benchmarks.ground import PROSE
from benchmarks.uses.measure import Effort, median_seconds, one_by_one
from benchmarks.uses.simulated import simulator

LABELS = ["positive", "negative", "neutral"]


class Waiting:
    """A function that takes as long as an API, whatever it is given. `calls`: so far."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.calls = 0

    async def __call__(self, items: Sequence[Any]) -> Sequence[Any]:
        self.calls += 1
        await asyncio.sleep(self._seconds)
        return items


async def classification(effort: Effort) -> Report:
    """500 texts, 200 ms a call, 20 to a call. Twenty times is all that a function that only waits
    can gain by serial batches, so it has no bar there; an SDK's own work per call is saved too."""
    texts = [f"{n}: {PROSE}" for n in range(500)]
    function = Waiting(0.2)
    alone_s = await one_by_one(lambda text: function([text]), texts, effort)
    serial_s, wide_s = await _both(function, texts, 20, effort)
    async with simulator(200) as address:
        alone_api_s = await _claude_one_by_one(address.anthropic, texts, effort)
        async with streams.classify(LABELS, base_url=address.anthropic) as label:
            await label(texts[:1])  # imports, connects
            serial_api_s, wide_api_s = await _both(label, texts, 20, effort)
    bars = [
        Bar("classified by a function, 5 calls at once", wide_s, "at most", 1.05, "s"),
        Bar("classified by Claude, serial", alone_api_s / serial_api_s, "at least", 20, "x"),
        Bar("classified by Claude, 5 calls at once", wide_api_s, "at most", 1.05, "s"),
    ]
    figures = {
        "function": {"one_call_per_item_s": alone_s, "serial_s": serial_s, "wide_s": wide_s},
        "claude": {
            "one_call_per_item_s": alone_api_s, "serial_s": serial_api_s, "wide_s": wide_api_s
        },
    }  # fmt: skip
    return _report("classification: 500 texts, 200 ms a call, N=20", bars, figures)


async def embedding(effort: Effort) -> Report:
    """1,000 documents, 100 ms a call, 96 to a call."""
    texts = [f"{n}: {PROSE}" for n in range(1000)]
    function = Waiting(0.1)
    alone_s = await one_by_one(lambda text: function([text]), texts, effort)
    function.calls = 0
    serial_s, wide_s = await _both(function, texts, 96, effort)
    calls = function.calls / (2 * effort.repeat)
    async with simulator(100) as address:
        alone_api_s = await _voyage_one_by_one(address.voyage, texts, effort)
        async with streams.embed("voyage-4", base_url=address.voyage) as vector:
            await vector(texts[:1])
            before = vector.usage.calls
            serial_api_s, wide_api_s = await _both(vector, texts, 96, effort)
            calls_api = (vector.usage.calls - before) / (2 * effort.repeat)
    bars = [
        Bar("embedded by a function, calls", calls, "at most", 11),
        Bar("embedded by a function, serial", serial_s, "at most", 1.2, "s"),
        Bar("embedded by a function, 5 calls at once", wide_s, "at most", 0.35, "s"),
        Bar("embedded by Voyage, calls", calls_api, "at most", 11),
        Bar("embedded by Voyage, 5 calls at once", wide_api_s, "at most", 0.5, "s"),
    ]
    figures = {
        "function": {"one_call_per_item_s": alone_s, "serial_s": serial_s, "wide_s": wide_s},
        "voyage": {
            "one_call_per_item_s": alone_api_s, "serial_s": serial_api_s, "wide_s": wide_api_s
        },
    }  # fmt: skip
    return _report("embedding: 1,000 documents, 100 ms a call, N=96", bars, figures)


async def _both(
    process: Any, texts: Sequence[str], max_items: int, effort: Effort
) -> tuple[float, float]:
    """Seconds with one call at a time, and with five."""
    taken = []
    for max_in_flight in (1, 5):

        async def work(max_in_flight: int = max_in_flight) -> None:
            results = await streams.map_batches(
                process, texts, max_items=max_items, max_in_flight=max_in_flight
            )
            assert not any(isinstance(result, streams.ItemError) for result in results)

        taken.append(await median_seconds(work, effort.repeat))
    return taken[0], taken[1]


async def _claude_one_by_one(url: str, texts: Sequence[str], effort: Effort) -> float:
    """What a program writes that knows nothing of batches: the SDK, an item at a time."""
    from anthropic import AsyncAnthropic

    schema = {
        "type": "object", "properties": {"label": {"enum": LABELS}}, "required": ["label"],
        "additionalProperties": False,
    }  # fmt: skip
    async with AsyncAnthropic(base_url=url, max_retries=0) as client:

        async def call(text: str) -> Any:
            return await client.messages.create(
                model="claude-haiku-5-5",
                max_tokens=100,
                system=f"Give the text one of these labels: {', '.join(LABELS)}.",
                messages=[{"role": "user", "content": text}],
                output_config={"format": {"type": "json_schema", "schema": schema}},
            )

        await call(texts[0])
        return await one_by_one(call, texts, effort)


async def _voyage_one_by_one(url: str, texts: Sequence[str], effort: Effort) -> float:
    import voyageai

    client = voyageai.AsyncClient(base_url=url, max_retries=0)

    async def call(text: str) -> Any:
        return await client.embed([text], model="voyage-4", input_type="document")

    await call(texts[0])
    return await one_by_one(call, texts, effort)


def _report(title: str, bars: list[Bar], figures: dict[str, Any]) -> Report:
    rows: list[Sequence[str]] = [("", "one call per item", "one call at a time", "5 at once", "")]
    for name, each in figures.items():
        alone_s, wide_s = each["one_call_per_item_s"], each["wide_s"]
        rows.append(
            (name, f"{alone_s:.1f} s", f"{each['serial_s']:.2f} s", f"{wide_s:.2f} s",
             f"{alone_s / each['serial_s']:.1f} x, {ceil(alone_s / wide_s)} x")
        )  # fmt: skip
    return Report(title, bars, figures, rows)
