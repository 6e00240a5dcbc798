"""One run against limits that change, as a picture: limit, in flight, batch size, use, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.chart import save
from benchmarks.limited_calls import PER_MINUTE, Journal

matplotlib.rcParams["svg.hashsalt"] = "limits"  # the same picture for the same run

STEP_S = 2.0


def draw(
    path: Path, journal: Journal, changes: Sequence[tuple[float, float]], seconds: float
) -> None:
    """`changes`: from when on the limits have which factor. The name's ending says which kind of
    file (.svg, .png, .pdf)."""
    from matplotlib import pyplot

    steps = [n * STEP_S for n in range(int(seconds / STEP_S))]
    factors = [[factor for since, factor in [(0, 1), *changes] if since <= at][-1] for at in steps]
    limit = [PER_MINUTE["requests"] * factor for factor in factors]
    used = [journal.used("requests", at, at + STEP_S) for at in steps]
    panels = {
        "calls a minute": [("limit", limit), ("used", used)],
        "calls in flight": [("", journal.in_flight(0, steps[-1] + STEP_S, STEP_S))],
        "items in a call": [("", [journal.mean_items(at, at + STEP_S) for at in steps])],
        "refusals (429)": [("", [journal.refused(at, at + STEP_S) for at in steps])],
    }
    figure, axes = pyplot.subplots(len(panels), 1, sharex=True, figsize=(9, 8))
    for panel, (label, lines) in zip(axes, panels.items(), strict=True):
        for name, values in lines:
            panel.step(steps, values, where="post", label=name, linewidth=1)
        panel.set_ylim(0, 1.05 * max(1.0, *(max(values) for _, values in lines)))
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    save(figure, axes, path, "seconds")
