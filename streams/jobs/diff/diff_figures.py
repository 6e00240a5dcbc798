"""Figures of a comparison as a person reads them; the same in the table and on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.codec.strict_json import compact
from streams.kafka.record_views import printable
from streams.running.bar import duration
from streams.running.histograms import DAY_MS

UNKNOWN = "–"

Facts = dict[str, Any]
"""An object of the summary (`diff_summary`)."""


def whole(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """In per cent; what is not all, or not nothing, never reads so."""
    if value is None:
        return UNKNOWN
    if 0.9999 < value < 1:
        return "> 99.99 %"
    return f"{value:.2%}".replace("%", " %") if value == 0 or value >= 0.0001 else "< 0.01 %"


def dollars(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"${value:,.2f}" if value >= 100 else f"${value:,.4f}"


def milliseconds(value: int | None) -> str:
    if value is None:
        return UNKNOWN
    if value >= DAY_MS:
        return "a day or more"
    return f"{value:,} ms" if value < 10_000 else duration(value / 1000)


def distance(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def change(a: float | None, b: float | None) -> str:
    """From a to b in per cent; empty where that says nothing."""
    if a is None or b is None or not a or a == b:
        return ""
    return f"{(b - a) / a:+.1%}".replace("%", " %")


class SideFigure:
    """One line about both sides. `a`, `b`: as written."""

    def __init__(self, name: str, a: str, b: str, change: str = "") -> None:
        self.name, self.a, self.b, self.change = name, a, b, change


def side_figures(found: Facts) -> list[SideFigure]:
    """What differs between the sides as a whole; lines that say nothing on either are left out."""
    a, b = found["a"], found["b"]
    lines = [
        SideFigure("records", whole(a["records"]), whole(b["records"])),
        SideFigure("items", whole(a["items"]), whole(b["items"])),
        SideFigure(
            "items missing here", whole(found["missing_in_a"]), whole(found["missing_in_b"])
        ),
    ]
    for name, key in (
        ("earlier results of an item", "repeated"),
        ("tombstones", "tombstones"),
        ("other records", "other_records"),
    ):
        if a[key] or b[key]:
            lines.append(SideFigure(name, whole(a[key]), whole(b[key])))
    lines += [
        _figure("cost", dollars, a["cost_usd"], b["cost_usd"]),
        _figure("input tokens", whole, a["input_tokens"], b["input_tokens"]),
        _figure("output tokens", whole, a["output_tokens"], b["output_tokens"]),
        _figure("latency p50", milliseconds, a["latency_ms_p50"], b["latency_ms_p50"]),
        _figure("latency p99", milliseconds, a["latency_ms_p99"], b["latency_ms_p99"]),
    ]
    return lines


def _figure(name: str, written: Callable[[Any], str], a: Any, b: Any) -> SideFigure:
    return SideFigure(name, written(a), written(b), change(a, b))


def version(facts: Facts) -> str:
    """A fingerprint and what wrote it."""
    by = f"run {facts['run']}" if facts["run"] else "live"
    return f"{facts['fingerprint'] or 'fingerprint not known'}, {by}"


def item_name(facts: Facts) -> str:
    """What names an item: its id, else its key, else its position."""
    if facts["id"] is not None:
        name = facts["id"] if isinstance(facts["id"], str) else compact(facts["id"])
    elif isinstance(facts["key"], str):
        name = facts["key"]
    else:
        name = place(facts) or "?"
    return printable(name)


def place(facts: Facts) -> str:
    """The position of the item's source; empty where it is not known."""
    source = facts["source"]
    if source is None:
        return ""
    topic = f"{source['topic']}/" if source["topic"] else ""
    return f"{topic}{source['partition']}/{source['offset']}"
