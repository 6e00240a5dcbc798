"""What to send again, and how far that has come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.codes import CodeCounts
from streams.kafka.dead.letters import Choice


@dataclass(frozen=True)
class Redrive:
    """What to send again. `into`: a topic for all of them, None: each into its own source.
    `everything`: also what has been sent again before. `count`: at most so many, `rate`: letters a
    second; None: no limit. `dry`: only look."""

    topic: str
    choice: Choice
    into: str | None = None
    everything: bool = False
    count: int | None = None
    rate: float | None = None
    dry: bool = False


@dataclass
class Progress:
    """What has happened so far; every change calls `changed`. `sent`: letters acknowledged (with
    `dry`: that would be sent). `skipped`: letters that could not be, by code. `went_on`:
    whether an earlier run had sent some, which are left out now."""

    tell: Callable[[str], None]
    changed: Callable[[Any], None]
    started: float = field(default_factory=time.monotonic)
    sent: int = 0
    into: Counter[str] = field(default_factory=Counter)
    codes: CodeCounts = field(default_factory=CodeCounts)
    skipped: CodeCounts = field(default_factory=CodeCounts)
    went_on: bool = False
    position: int = 0
    size: int | None = None

    @property
    def left_out(self) -> int:
        return self.skipped.total()

    def add(self, planned: Sequence[Any]) -> None:
        """These letters (`plan.Planned`) are acknowledged."""
        self.sent += len(planned)
        self.into.update(plan.topic for plan in planned)
        for plan in planned:
            self.codes.add(plan.letter.code)
        self.changed(self)


def summary(job: Redrive, progress: Progress) -> Mapping[str, Any]:
    """The keys that `--json` prints."""
    elapsed = time.monotonic() - progress.started
    return {
        "redriven": 0 if job.dry else progress.sent,
        **({"would_redrive": progress.sent, "dry_run": True} if job.dry else {}),
        "skipped": progress.left_out,
        "into": dict(progress.into),
        "codes": dict(progress.codes),
        "elapsed_s": round(elapsed, 3),
    }
