"""What the options of `streams replay` ask for together, and which do not go together: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streams.errors import UsageError

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_SECONDS = (86_400, 3600, 60, 1)
_RANGE_ONLY = (
    "task", "first", "until", "partitions", "where", "into", "mode", "dry_run", "exact",
)  # fmt: skip
_NAMES = {"first": "from", "max_cost_usd": "max-cost", "dry_run": "dry-run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """The options as they were given; None: not given."""

    task: str | None = None
    first: str | None = None
    until: str | None = None
    partitions: str | None = None
    where: str | None = None
    into: str | None = None
    mode: str | None = None
    share: float | None = None
    deadline: str | None = None
    max_cost_usd: float | None = None
    dry_run: bool = False
    exact: bool = False
    yes: bool = False
    list_runs: bool = False
    resume: str | None = None
    cancel: str | None = None

    def check(self) -> None:
        """Raises UsageError."""
        actions = [name for name in ("list_runs", "resume", "cancel") if getattr(self, name)]
        if len(actions) > 1:
            raise UsageError("say one of --list, --resume RUN and --cancel RUN")
        if actions:
            self._refuse_range(actions[0].partition("_")[0])
        elif self.first is None:
            raise UsageError("--from says where to begin: earliest, an offset, a time, or -2h")
        if self.mode not in (None, "live", "batch"):
            raise UsageError(f"--mode must be live or batch, not {self.mode!r}")
        if self.exact and not self.dry_run:
            raise UsageError("--exact belongs to --dry-run")
        if self.share is not None and not 0 < self.share <= 1:
            raise UsageError(f"--share must be above 0 and at most 1, not {self.share:g}")
        if self.max_cost_usd is not None and not 0 < self.max_cost_usd < float("inf"):
            raise UsageError(f"--max-cost must be dollars above 0, not {self.max_cost_usd:g}")
        if self.deadline is not None and self.mode != "batch" and self.resume is None:
            raise UsageError("--deadline belongs to --mode batch")
        if self.share is not None and self.mode == "batch":
            raise UsageError("--share belongs to --mode live: batches have limits of their own")
        self.deadline_s  # noqa: B018  # raises

    def _refuse_range(self, action: str) -> None:
        refused = list(_RANGE_ONLY)
        if action != "resume":
            refused += ["share", "deadline", "max_cost_usd"]
        given = [f"--{_NAMES.get(name, name)}" for name in refused if getattr(self, name)]
        if given:
            raise UsageError(f"{', '.join(given)} cannot be given with --{action}")

    @property
    def deadline_s(self) -> float | None:
        """`6h`, `1d12h`, `90m`, `30s`; None: not given. Raises UsageError."""
        if self.deadline is None:
            return None
        found = _DURATION.fullmatch(self.deadline)
        seconds = 0
        if found is not None:
            parts = zip(found.groups(), _SECONDS, strict=True)
            seconds = sum(int(part or 0) * unit for part, unit in parts)
        if not seconds:
            raise UsageError(
                f"--deadline must be a time as 6h, 1d12h or 90m, not {self.deadline!r}"
            )
        return float(seconds)
