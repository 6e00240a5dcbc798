"""The settings of the simulator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from streams.errors import UsageError

DAY_MS: Final = 86_400_000.0


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """One simulator. It listens on 127.0.0.1 alone. Raises UsageError for values out of range.

    `port`: 0 takes a free one.
    `latency_ms`, `jitter_ms`, `ms_per_token`: a successful call takes `latency_ms`, plus
    `ms_per_token` for each output token, plus between 0 and `jitter_ms` drawn from `seed`.
    `script`: the faults to play: a JSON or TOML file, or what such a file holds; None: none.
    `requests_per_minute`, `input_tokens_per_minute`, `output_tokens_per_minute`: limits for each
    group of Claude models; `voyage_requests_per_minute`, `voyage_tokens_per_minute`: for each
    Voyage model; None: no limit, and no headers that name one.
    `burst_s`: how many seconds' worth of a limit may be used at once; `request_burst_s`: the same
    of requests; None: `burst_s`.
    `limit_changes`: pairs of seconds after the first call and the factor that the limits have from
    then on, e.g. `[(60, 0.5), (120, 1)]`.
    `others_share`: of each limit, what another program on the same key takes, evenly.
    `acceleration`: refuses calls while the last second used more than so many times the mean second
    of the five before it, and more than a quarter of the limit; None: never.
    `max_concurrent`: calls at once; more are refused (529); None: any number.
    `limit_headers`: the moment that a reply's headers tell of; "none": no headers, and refusals
    without `retry-after`.
    `ledger_path`: the journal's file, which gets a JSON line for each request; None: memory alone.
    `ledger_size`: how many requests the journal has in memory.
    `answers`: "offline" takes labels and vectors from the encoder of the extra `offline`, "hash"
    from a hash, "auto" from the encoder where it is installed.
    `batch_ms`: how long a Message Batch takes until it has ended; `batch_lifetime_ms`: its open
    requests expire then, `batch_kept_ms`: its results are gone then, both from its creation;
    `batch_cancel_ms`: how long cancelling takes; answers still come meanwhile.
    `batch_queue`: how many requests of batches may wait at once; None: any number.
    `count_items`: keeps how often each item's text was answered, and so paid for.
    """

    port: int = 0
    latency_ms: float = 200.0
    jitter_ms: float = 0.0
    ms_per_token: float = 0.0
    seed: int = 0
    script: Path | str | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    voyage_requests_per_minute: int | None = None
    voyage_tokens_per_minute: int | None = None
    burst_s: float = 60.0
    request_burst_s: float | None = None
    limit_changes: Sequence[tuple[float, float]] = ()
    others_share: float = 0.0
    acceleration: float | None = None
    max_concurrent: int | None = None
    limit_headers: Literal["answer", "arrival", "none"] = "answer"
    ledger_path: Path | None = None
    ledger_size: int = 10_000
    answers: Literal["auto", "offline", "hash"] = "auto"
    batch_ms: float = 0.0
    batch_lifetime_ms: float = DAY_MS
    batch_kept_ms: float = 29 * DAY_MS
    batch_cancel_ms: float = 0.0
    batch_queue: int | None = None
    count_items: bool = False

    def __post_init__(self) -> None:
        for name in (
            "latency_ms",
            "jitter_ms",
            "ms_per_token",
            "batch_ms",
            "batch_lifetime_ms",
            "batch_kept_ms",
            "batch_cancel_ms",
        ):
            if not 0 <= getattr(self, name) < math.inf:  # nor NaN
                raise UsageError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in (
            "requests_per_minute",
            "input_tokens_per_minute",
            "output_tokens_per_minute",
            "voyage_requests_per_minute",
            "voyage_tokens_per_minute",
            "max_concurrent",
            "batch_queue",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more, not {value}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port must be between 0 and 65535, not {self.port}")
        if self.ledger_size < 1:
            raise UsageError(f"ledger_size must be 1 or more, not {self.ledger_size}")
        if self.answers not in ("auto", "offline", "hash"):
            raise UsageError(f"answers must be auto, offline or hash, not {self.answers!r}")
        self._check_limits()

    def _check_limits(self) -> None:
        for name in ("burst_s", "request_burst_s", "acceleration"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} must be above 0, not {value}")
        if not 0 <= self.others_share < 1:
            raise UsageError(f"others_share must be 0 or more and below 1, not {self.others_share}")
        for after_s, factor in self.limit_changes:
            if not (0 <= after_s < math.inf and 0 < factor < math.inf):
                raise UsageError(
                    f"limit_changes: seconds of 0 or more and a factor above 0 are expected, "
                    f"not {after_s:g}:{factor:g}"
                )
        if self.limit_headers not in ("answer", "arrival", "none"):
            raise UsageError(
                f"limit_headers must be answer, arrival or none, not {self.limit_headers!r}"
            )


def changes_of(texts: Sequence[str] | None) -> list[tuple[float, float]]:
    """`limit_changes` from a command line: "60:0.5" each. Raises UsageError."""
    changes = []
    for text in texts or ():
        after_s, _, factor = text.partition(":")
        try:
            changes.append((float(after_s), float(factor)))
        except ValueError:
            raise UsageError(
                f'limit changes: seconds and a factor are expected, such as "60:0.5", not {text!r}'
            ) from None
    return changes
