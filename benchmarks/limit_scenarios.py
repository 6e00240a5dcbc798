"""The scenarios of `benchmarks.limits`, one function each: what the API does, and its bars."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import streams
from benchmarks.bars import Bar, Report
from benchmarks.limit_chart import draw
from benchmarks.limited_calls import (
    LIMITS,
    OPTIONS,
    PER_MINUTE,
    TEXTS,
    Journal,
    api,
    call_for,
    classifier,
    read_journal,
)

Scenario = Callable[[float | None, Path | None], Awaitable[Report]]
"""Takes the seconds that it measures for (None: its own), and where its picture goes."""

START_S: Final = 30.0
"""A slow start is in no figure of use, but in those of refusals."""
SETTLE_S: Final = 20.0
CUT_OFF_S: Final = 3.0
"""What is under way at the end is cut off: it is in no figure."""
USED: Final = 0.97
REFUSED: Final = 0.005
SHARP: Final = ("--acceleration", "4", "--burst-s", "2")
PLACES: Final = 30

OPUS, OPUS_TOO, HAIKU = "claude-opus-4-8", "claude-opus-4-7", "claude-haiku-5-5"
"""The first two share their limits."""


def report(name: str, bars: list[Bar], journal: Journal, more: Mapping[str, Any]) -> Report:
    bars = [bar._replace(name=f"{name}: {bar.name}") for bar in bars]
    refusals = dict(journal.refusals())
    rows = [
        (name, "calls", "refused by"),
        (
            "",
            f"{len(journal.calls):,}",
            ", ".join(f"{k} {n:,}" for k, n in refusals.items()) or "-",
        ),
        *((key, str(value), "") for key, value in more.items()),
    ]
    figures = {"calls": len(journal.calls), "refused_by": refusals, **more}
    return Report(name, bars, figures, rows)  # type: ignore[arg-type]


def share(journal: Journal, kind: str, start: float, end: float) -> float:
    """Of the limit, what was used."""
    return journal.used(kind, start, end) / PER_MINUTE[kind]


def steady(name: str, kind: str, *options: str, ours: float = 1.0) -> Scenario:
    """Three minutes in which `kind` binds, and `ours` of it is left by others."""

    async def run(seconds: float | None, plot: Path | None) -> Report:
        end = START_S + (seconds or 180.0)
        async with api(*LIMITS, *options) as at:
            await call_for(end + CUT_OFF_S, classifier(at), TEXTS[kind], **OPTIONS[kind])
            journal = read_journal(at.journal)
        used = {each: share(journal, each, START_S, end) for each in PER_MINUTE}
        bars = [
            Bar("used of what is left", used[kind] / ours, "at least", USED),
            Bar("429s", journal.refused_share(0, end), "at most", REFUSED),
        ]
        return report(name, bars, journal, {each: round(of, 4) for each, of in used.items()})

    return run


async def halved(seconds: float | None, plot: Path | None) -> Report:
    """The limits are halved after a third of the time and restored after two."""
    third = (seconds or 180.0) / 3
    settle = min(SETTLE_S, third / 2)
    changes = ("--limits-at", f"{third}:0.5", "--limits-at", f"{2 * third}:1")
    async with api(*LIMITS, *changes) as at:
        await call_for(3 * third + CUT_OFF_S, classifier(at), TEXTS["requests"])
        journal = read_journal(at.journal)
    half = share(journal, "requests", third + settle, 2 * third) / 0.5
    whole = share(journal, "requests", 2 * third + settle, 3 * third)
    bars = [
        Bar("used of the half, 20 s after", half, "at least", USED),
        Bar("used of the whole, 20 s after", whole, "at least", USED),
        Bar("429s", journal.refused_share(0, 3 * third), "at most", REFUSED),
    ]
    return report("halved", bars, journal, {})


async def cold_start(seconds: float | None, plot: Path | None) -> Report:
    """Sharp increases are refused."""
    end = seconds or 60.0
    async with api(*LIMITS, *SHARP) as at:
        await call_for(end + CUT_OFF_S, classifier(at), TEXTS["requests"])
        journal = read_journal(at.journal)
    course = [
        round(share(journal, "requests", end * n / 6, end * (n + 1) / 6), 3) for n in range(6)
    ]
    bars = [
        Bar("acceleration 429s", journal.refusals()["acceleration"], "at most", 0),
        Bar("used in the last third of a minute",
            share(journal, "requests", end * 2 / 3, end), "at least", 0.9),
    ]  # fmt: skip
    return report("cold_start", bars, journal, {"used, by sixths": course})


async def places(seconds: float | None, plot: Path | None) -> Report:
    """An API that takes 30 calls at once and says nothing: how far the cap moves."""
    end = seconds or 240.0
    async with api("--max-concurrent", str(PLACES)) as at:
        await call_for(end + CUT_OFF_S, classifier(at), TEXTS["requests"])
        journal = read_journal(at.journal)
    caps = journal.in_flight(end / 2, end, step_s=5.0)
    bars = [
        Bar("how far the cap moves", max(caps) / max(1, min(caps)) - 1, "at most", 0.1),
        Bar("529s", journal.refused_share(end / 2, end, status=529), "at most", 0.02),
        Bar("of the places, in use", sum(caps) / len(caps) / PLACES, "at least", 0.9),
    ]
    course = journal.in_flight(0, end, step_s=end / 12)
    return report("places", bars, journal, {"in flight, by twelfths": course})


async def one_burst(seconds: float | None, plot: Path | None) -> Report:
    """50 calls in flight are answered by 529, after their time: that is one cut of a quarter."""
    before_s = seconds or 60.0
    async with api(latency_ms=1000, jitter_ms=0) as at:
        calling = asyncio.ensure_future(
            call_for(before_s + 30, classifier(at), TEXTS["requests"], max_in_flight=100)
        )
        await at.called(before_s)
        refuse = {"fault": "overloaded", "billed": True, "calls": "1-50"}
        await at.post("script", [refuse])
        await calling
        journal = read_journal(at.journal)
    hit = [call for call in journal.calls if call.refused_by]
    before = max(journal.in_flight(hit[0].arrived - 5, hit[0].arrived))
    back = min(call.arrived for call in journal.calls if call.arrived > hit[-1].ended + 1)
    course = journal.in_flight(hit[0].arrived - 5, hit[-1].ended + 20)
    after = max(journal.in_flight(back + 2, back + 5))
    bars = [
        Bar("refusals", len(hit), "at least", 50),
        Bar("in flight after / before", after / before, "at least", 0.7),
        Bar("the cut, in flight after / before", after / before, "at most", 0.85),
    ]
    return report("one_burst", bars, journal, {"in flight, by seconds": course})


async def group(seconds: float | None, plot: Path | None) -> Report:
    """Two tasks on two models that share their limits."""
    end = START_S + (seconds or 180.0)
    async with api(*LIMITS) as at:
        tasks = [classifier(at, model) for model in (OPUS, OPUS_TOO)]
        await asyncio.gather(
            *(call_for(end + CUT_OFF_S, task, TEXTS["requests"]) for task in tasks)
        )
        journal = read_journal(at.journal)
    halves = {
        model: share(journal.of(model), "requests", START_S, end) * 2 for model in (OPUS, OPUS_TOO)
    }
    bars = [
        Bar("used by both", sum(halves.values()) / 2, "at least", USED),
        Bar("used of its half by the one with less", min(halves.values()), "at least", 0.4),
        Bar("429s", journal.refused_share(0, end), "at most", REFUSED),
    ]
    return report("group", bars, journal, {m: round(used, 3) for m, used in halves.items()})


async def outage(seconds: float | None, plot: Path | None) -> Report:
    """Ten minutes of nothing but 429 for one model, and another one beside it."""
    lasts_s, before_s, after_s = seconds or 600.0, 60.0, 60.0
    whole_s = before_s + lasts_s + after_s
    async with api(latency_ms=500, jitter_ms=0) as at:
        both = asyncio.gather(
            *(
                call_for(whole_s, classifier(at, model), TEXTS["requests"], max_in_flight=10)
                for model in (OPUS, HAIKU)
            )
        )
        await at.called(before_s)
        began = time.time()
        await at.post("script", [{"fault": "rate_limited", "model": OPUS}])
        await asyncio.sleep(lasts_s)
        await at.post("script", [])
        ended = time.time()
        failed = [sum(codes.values()) for codes in await both]
        journal = read_journal(at.journal)
    start, end = began - journal.began, ended - journal.began
    hit, beside = journal.of(OPUS), journal.of(HAIKU)
    usual = beside.answers(20, start) / (start - 20)
    kept = beside.answers(start, end) / (end - start) / usual
    first = min(
        (call.ended for call in hit.calls if call.answered and call.arrived > end),
        default=end + 999,
    )
    rates = [
        hit.answers(end + n, end + n + 5) / 5 / (hit.answers(20, start) / (start - 20))
        for n in range(0, 50, 5)
    ]
    bars = [
        Bar("dead letters", sum(failed), "at most", 0),
        Bar("rate of the other account", kept, "at least", 0.95),
        Bar("first answer after its end", first - end, "at most", 5, "s"),
    ]
    more = {
        "probes": hit.refused(start, end),
        "rate after its end, by 5 s": [round(r, 2) for r in rates],
    }
    return report("outage", bars, journal, more)


def silent(name: str, *options: str, voyage: bool) -> Scenario:
    """Limits that are neither configured nor told."""

    async def run(seconds: float | None, plot: Path | None) -> Report:
        end = 60 + (seconds or 180.0)
        async with api(*options) as at:
            process = streams.embed("voyage-4", base_url=at.voyage) if voyage else classifier(at)
            await call_for(end + CUT_OFF_S, process, TEXTS["requests"], max_items=8)
            journal = read_journal(at.journal)
        used = share(journal, "requests", 60, end)
        course = [round(share(journal, "requests", n, n + 10), 3) for n in range(0, int(end), 10)]
        bars = [
            Bar("used, from the second minute on", used, "at least", 0.9),
            Bar("429s", journal.refused_share(0, end), "at most", 0.02),
        ]  # fmt: skip
        return report(name, bars, journal, {"used, by 10 s": course})

    return run


async def changing(seconds: float | None, plot: Path | None) -> Report:
    """Other limits every 30 s, ten in all."""
    end = seconds or 300.0
    each_s = end / 10
    factors = islice(cycle((0.5, 1.0, 0.25, 0.75)), 9)
    changes = [(each_s * n, factor) for n, factor in enumerate(factors, 1)]
    options = [word for at, factor in changes for word in ("--limits-at", f"{at}:{factor}")]
    async with api(*LIMITS, *options) as at:
        await call_for(end + CUT_OFF_S, classifier(at), TEXTS["requests"])
        journal = read_journal(at.journal)
    if plot is not None:
        draw(plot, journal, changes, end)
    settled = [
        share(journal, "requests", at + each_s * 2 / 3, at + each_s) / factor
        for at, factor in changes
    ]
    bars = [
        Bar("used 20 to 30 s after a change", sum(settled) / len(settled), "at least", USED),
        Bar("429s", journal.refused_share(0, end), "at most", REFUSED),
    ]
    refused_at = sorted({round(call.arrived) for call in journal.calls if call.refused_by})
    more = {"settled": [round(used, 3) for used in settled], "refused at, s": refused_at}
    return report("changing", bars, journal, more)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "requests": steady("requests", "requests"),
    "input": steady("input", "input_tokens"),
    "output": steady("output", "output_tokens"),
    "arrival": steady("arrival", "requests", "--limit-headers", "arrival"),
    "halved": halved,
    "others": steady("others", "requests", "--others-share", "0.3", ours=0.7),
    "cold_start": cold_start,
    "places": places,
    "one_burst": one_burst,
    "group": group,
    "outage": outage,
    "voyage": silent("voyage", "--voyage-rpm", "1000", "--burst-s", "5", voyage=True),
    "silent": silent("silent", *LIMITS, "--limit-headers", "none", voyage=False),
    "changing": changing,
}
