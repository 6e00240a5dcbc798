"""What was promised, what was measured, and how both are shown."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psutil


class Bar(NamedTuple):
    """`bound`: `"at least"` or `"at most"`."""

    name: str
    measured: float
    bound: str
    promised: float
    unit: str = ""

    @property
    def held(self) -> bool:
        if self.bound == "at least":
            return self.measured >= self.promised
        return self.measured <= self.promised


class Report(NamedTuple):
    """One benchmark's answer. `figures`: everything measured, for `--json`. `rows`: the same as a
    table, its head first."""

    title: str
    bars: list[Bar]
    figures: dict[str, Any]
    rows: list[Sequence[str]]


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other things."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "load_1min": round(psutil.getloadavg()[0], 2),
    }


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need, the first to the left, the others to the right."""
    rows = list(rows)
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if n == 0 else text.rjust(width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def bar_rows(bars: Iterable[Bar]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("bar", "measured", "promised", "")]
    for bar in bars:
        promised = f"{bar.bound} {bar.promised:g} {bar.unit}".strip()
        measured = f"{bar.measured:.4g} {bar.unit}".strip()
        rows.append((bar.name, measured, promised, "held" if bar.held else "MISSED"))
    return rows


def as_json(reports: Sequence[Report], broker: str) -> dict[str, Any]:
    return {
        "broker": broker,
        "machine": machine(),
        "bars": [{**bar._asdict(), "held": bar.held} for each in reports for bar in each.bars],
        **{each.title: each.figures for each in reports},
    }


def say(text: str) -> None:
    """Progress, to the error output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def conclude(reports: Sequence[Report], broker: str, *, json_alone: bool) -> int:
    """Print tables or JSON; 0 if every bar was held, else 1."""
    if json_alone:
        print(json.dumps(as_json(reports, broker)))
    else:
        facts = ", ".join(f"{key} {value}" for key, value in machine().items())
        print(f"{broker}; {facts}")
        for each in reports:
            print(f"\n{each.title}\n{table(each.rows)}")
        print()
        print(table(bar_rows(bar for each in reports for bar in each.bars)))
    return 0 if all(bar.held for each in reports for bar in each.bars) else 1


Say = Callable[[str], None]
