"""`python -m streams.simulator`: the simulator as a program that needs no other part of us."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from streams.errors import UsageError
from streams.simulator import SimulatorSettings, run
from streams.simulator.simulator_settings import changes_of


def _parser() -> argparse.ArgumentParser:
    default = SimulatorSettings()
    parser = argparse.ArgumentParser(
        prog="python -m streams.simulator",
        description="Speaks the Anthropic and the Voyage API on 127.0.0.1. Prints one JSON line "
        "with its port when it is ready; SIGTERM ends it.",
    )
    add = parser.add_argument
    add("--port", type=int, default=default.port, help="0: a free one")
    add("--latency-ms", type=float, default=default.latency_ms)
    add("--jitter-ms", type=float, default=default.jitter_ms)
    add("--ms-per-token", type=float, default=default.ms_per_token, help="of output")
    add("--seed", type=int, default=default.seed)
    add("--script", type=Path, help="faults, JSON or TOML")
    for option, name in (
        ("--rpm", "requests_per_minute"),
        ("--itpm", "input_tokens_per_minute"),
        ("--otpm", "output_tokens_per_minute"),
        ("--voyage-rpm", "voyage_requests_per_minute"),
        ("--voyage-tpm", "voyage_tokens_per_minute"),
    ):
        add(option, dest=name, type=int, metavar="N")
    add("--burst-s", type=float, default=default.burst_s)
    add("--request-burst-s", type=float, metavar="S")
    add("--limits-at", action="append", metavar="S:FACTOR", help="seconds after the first call")
    add("--others-share", type=float, default=default.others_share)
    add("--acceleration", type=float, metavar="FACTOR")
    add("--max-concurrent", type=int, metavar="N")
    choices = ("answer", "arrival", "none")
    add("--limit-headers", choices=choices, default=default.limit_headers)
    add("--ledger", dest="ledger_path", type=Path, metavar="FILE")
    add("--ledger-size", type=int, default=default.ledger_size)
    add("--answers", choices=("auto", "offline", "hash"), default=default.answers)
    add("--batch-ms", type=float, default=default.batch_ms)
    add("--batch-lifetime-ms", type=float, default=default.batch_lifetime_ms)
    add("--batch-kept-ms", type=float, default=default.batch_kept_ms)
    add("--batch-cancel-ms", type=float, default=default.batch_cancel_ms)
    add("--batch-queue", type=int, metavar="N")
    add("--count-items", action="store_true")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the simulator; returns the exit code."""
    settings = vars(_parser().parse_args(arguments))
    try:
        settings["limit_changes"] = changes_of(settings.pop("limits_at"))
        return run(SimulatorSettings(**settings), as_json=True)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
