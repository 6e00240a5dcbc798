"""How full calls are in tokens, how good the estimate is, and what a prompt costs each item.

    python -m benchmarks.packing [--json]

Through the real SDK to the simulator, which counts the tokens of whole requests by itself and whose
journal is read. Items of 5 to 2,000 tokens (as many short as long ones by their logarithm) in
English, Chinese, source code, and all three mixed; 8,000 tokens to a call, five calls at once. Then
500 short items under an instruction of 200 tokens, one and twenty to a call.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import math
import os
import random
import statistics
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

import streams
from benchmarks.bars import Bar, Report, conclude, say
from streams.core.call import Call, Slot
from streams.core.events import Arrived, Delivered, Flush, Opened, Replied
from streams.demo.texts import demo_items
from streams.running.runner import Runner
from streams.running.work import Options
from streams.simulator.running_server import Simulator, serve
from streams.simulator.simulator_settings import SimulatorSettings
from streams.simulator.tokens import cut, estimate

MAX_TOKENS = 8_000
CALLS = 200
LEARNED = 50
"""Calls after which the estimate is to be good."""
LEAST_FILL = 0.9
MOST_OFF = 0.1
ITEMS = 500
LEAST_FALL = 0.95
LABELS = ["positive", "negative", "neutral"]
INSTRUCTIONS = ("Judge the opinion of whoever wrote the text, and of nobody whom it quotes. " * 20)[
    : 7 * 100
]
MODULES = (argparse, asyncio.base_events, inspect, random, statistics, textwrap)
CHINESE = (
    "电池可以用两天，但是屏幕一周后就坏了。",
    "我还会再买一次，价格很合适！",
    "快递用了九天，客服什么都不知道。",
    "说明书写得很清楚，安装只用了十分钟。",
)  # fmt: skip


class Seen(NamedTuple):
    """One call: by estimate, as it was counted, and what closed its window."""

    estimate: float
    used: int
    reason: str

    @property
    def off(self) -> float:
        return abs(self.estimate - self.used) / self.used


def corpora(chance: random.Random) -> dict[str, str]:
    english = "\n".join(each["text"] for each in demo_items(3_000))
    code = "\n".join(inspect.getsource(module) for module in MODULES)
    chinese = "".join(chance.choice(CHINESE) for _ in range(20_000))
    return {"English": english, "Chinese": chinese, "source code": code}


def texts_of(sources: Sequence[str], chance: random.Random, tokens: int) -> Iterator[str]:
    """Texts of 5 to 2,000 tokens, from anywhere in the sources, of so many tokens in all."""
    while tokens > 0:
        wanted = round(5 * 400 ** chance.random())
        source = chance.choice(sources)
        start = chance.randrange(len(source) - 8_000)
        text = cut(source[start : start + 8_000], wanted)
        tokens -= wanted
        yield text


async def calls_of(texts: Sequence[str]) -> tuple[list[Seen], float]:
    """All calls for these texts, in the order in which they ended, and the engine's own error."""
    label = streams.classify(LABELS, instructions=INSTRUCTIONS)
    work = label.work(Options(max_items=1_000, max_tokens=MAX_TOKENS, max_in_flight=5))
    seen: list[Seen] = []
    left, done = len(texts), asyncio.Event()

    def ended(call: Call, _: Any, event: Any) -> None:
        if isinstance(event, Replied) and event.usage is not None:
            estimated = call.reservation.demand.input_tokens
            seen.append(Seen(estimated, event.usage.input_tokens, call.reason))

    def release(lane: Any, slots: list[Slot]) -> None:
        nonlocal left
        left -= len(slots)
        runner.handle(Delivered(lane, slots))
        if not left:
            done.set()

    runner = Runner(
        work.caller, work.limits, timeout_s=60, account=work.account,
        on_release=release, on_ended=ended, on_defect=_raise,
    )  # fmt: skip
    slots = [Slot(0, n, text, arrived_at=runner.now()) for n, text in enumerate(texts)]
    work.weigh(slots)
    for event in (Opened(0), Arrived(slots), Flush()):
        runner.handle(event)
    await done.wait()
    await runner.stop()
    await work.close()
    return seen, runner.engine.statistics().token_estimate_error or math.nan


def _raise(error: BaseException) -> None:
    raise error


async def packed(chance: random.Random) -> tuple[list[Bar], dict[str, Any], list[Sequence[str]]]:
    bars: list[Bar] = []
    figures: dict[str, Any] = {}
    rows: list[Sequence[str]] = [("texts", "calls", "mean fill", "fullest", "off by", "error")]
    sources = corpora(chance)
    for name, chosen in {
        **{n: [s] for n, s in sources.items()},
        "mixed": [*sources.values()],
    }.items():
        texts = list(texts_of(chosen, chance, CALLS * MAX_TOKENS))
        seen, error = await calls_of(texts)
        full = [each for each in seen if each.reason == "tokens"]
        fill = statistics.fmean(each.used for each in full) / MAX_TOKENS
        most = max(each.used for each in seen) / MAX_TOKENS
        later = [each.off for each in seen[LEARNED:]]
        off = statistics.fmean(later)
        say(f"packing  {name}: {len(seen)} calls, {fill:.1%} full, off by {off:.1%}")
        bars += [
            Bar(f"{name}: mean fill of max_tokens", fill, "at least", LEAST_FILL),
            Bar(f"{name}: fullest call", most, "at most", 1.0),
            Bar(f"{name}: estimate off by, after {LEARNED} calls", off, "at most", MOST_OFF),
        ]
        figures[name] = {
            "calls": len(seen), "fill": fill, "fullest": most, "off": off, "off_most": max(later),
            "error": error, "first_fill": seen[0].used / MAX_TOKENS,
        }  # fmt: skip
        rows.append(
            (name, str(len(seen)), f"{fill:.1%}", f"{most:.1%}", f"{off:.1%}", f"{error:.1%}")
        )
    return bars, figures, rows


async def prompt_tokens_each(simulator: Simulator, max_items: int) -> float:
    """Tokens of the prompt for each of 500 items, by the journal: of all that calls took, less the
    items themselves."""
    simulator.simulation.journal.reset()
    label = streams.classify(LABELS, instructions=INSTRUCTIONS)
    texts = [
        f"The battery of the number {n} lasts two days, but its screen broke." for n in range(ITEMS)
    ]
    await streams.map_batches(label, texts, max_items=max_items)
    state = simulator.state()
    assert state["calls"] == ITEMS / max_items, state["calls"]
    rows = [{"id": str(n % max_items + 1), "text": text} for n, text in enumerate(texts)]
    items = sum(
        estimate(orjson.dumps(rows[n : n + max_items]).decode()) for n in range(0, ITEMS, max_items)
    )
    return (state["input_tokens"] - items) / ITEMS


async def measure(seed: int = 1) -> Report:
    simulator = await serve(SimulatorSettings(latency_ms=0, answers="hash"))
    os.environ.update(ANTHROPIC_API_KEY="sk-ant-bench", ANTHROPIC_BASE_URL=simulator.url)
    try:
        bars, figures, rows = await packed(random.Random(seed))
        alone, shared = [await prompt_tokens_each(simulator, n) for n in (1, 20)]
    finally:
        await simulator.stop()
    fall = round(1 - shared / alone, 3)
    say(f"packing  prompt tokens for each item: {alone:.1f} alone, {shared:.1f} of twenty")
    bars.append(
        Bar("prompt tokens for each item, 20 to a call: less by", fall, "at least", LEAST_FALL)
    )
    figures["prompt_tokens_each"] = {"alone": alone, "of_20": shared}
    return Report("packing", bars, figures, rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    given = parser.parse_args()
    return conclude([asyncio.run(measure())], "no broker", json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
