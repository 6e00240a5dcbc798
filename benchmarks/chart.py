"""The looks of a soak as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "soak"  # the same picture for the same looks
matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: a tenth of the size

PANELS = (("resident_mb", "resident memory, MB"), ("files", "open files"))


def draw(path: Path, looks: Mapping[str, Sequence[Any]], warm_up_s: float) -> None:
    """A line for each name, memory above open files; what is before `warm_up_s` is shaded. The
    name's ending says which kind of file (.svg, .png, .pdf)."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(PANELS), 1, sharex=True, figsize=(9, 6))
    for panel, (field, label) in zip(axes, PANELS, strict=True):
        for name, seen in looks.items():
            minutes = [look.at_s / 60 for look in seen]
            panel.plot(minutes, [getattr(look, field) for look in seen], label=name, linewidth=1)
        panel.axvspan(0, warm_up_s / 60, color="0.93")
        panel.set_ylim(bottom=0)
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    save(figure, axes, path, "minutes")


def save(figure: Any, axes: Any, path: Path, along: str) -> None:
    """Panels below each other, as a file. `along`: the unit of their common axis."""
    from matplotlib import pyplot

    axes[0].legend(loc="lower right")
    axes[-1].set_xlabel(along)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
