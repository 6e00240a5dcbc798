"""`python -m tests.simulation`: many schedules on all processors, or one with its whole story."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from random import SystemRandom
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.schedule import Run, explain, run

CHUNK = 20
LINE_EVERY_S = 10.0


def run_many(seeds: range) -> list[Run]:
    """Those of a chunk, up to the first that breaks a promise."""
    runs: list[Run] = []
    for seed in seeds:
        runs.append(run(seed))
        if runs[-1].violation:
            break
    return runs


def chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1, help="how many (default: 1)")
    parser.add_argument("--seed", type=int, help="of the first; the others count up from it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    seed = SystemRandom().randrange(10**9) if given.seed is None else given.seed
    if given.schedules == 1:
        print(explain(seed))
        return int(run(seed).violation is not None)
    return _many(seed, given.schedules, given.processes)


def _many(seed: int, schedules: int, processes: int) -> int:
    """0: every promise was kept in all of them."""
    print(f"seeds {seed} to {seed + schedules - 1}", file=sys.stderr)
    began, runs, bad = perf_counter(), [], None
    told_at = began
    with ProcessPoolExecutor(processes) as pool, _progress() as bar:
        shown = bar.add_task("", total=schedules, rate=0)
        for made in pool.map(run_many, chunks(seed, schedules)):
            runs += made
            rate = len(runs) / (perf_counter() - began) * 60
            bar.update(shown, advance=len(made), rate=round(rate))
            if bar.disable and perf_counter() - told_at > LINE_EVERY_S:
                told_at = perf_counter()
                print(f"{len(runs)} of {schedules}, {rate:.0f} a minute", file=sys.stderr)
            bad = next((each for each in made if each.violation), None)
            if bad is not None:
                pool.shutdown(cancel_futures=True)
                break
    print(_summary(runs, perf_counter() - began))
    if bad is None:
        return 0
    print(f"\nseed {bad.seed}: {explain(bad.seed)}")
    print(f"\nagain: .venv/bin/python -m tests.simulation --seed {bad.seed}")
    return 1


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} a minute"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _summary(runs: list[Run], seconds: float) -> str:
    violations = sum(each.violation is not None for each in runs)
    return (
        f"{len(runs)} schedules, {violations} violations; "
        f"{sum(each.items for each in runs)} items, {sum(each.calls for each in runs)} calls, "
        f"{sum(each.written for each in runs)} records, "
        f"{sum(each.duplicates for each in runs)} of them again; "
        f"{sum(each.aborted for each in runs)} transactions aborted; "
        f"{sum(each.recalled for each in runs)} answers from the ledger; "
        f"late for another's fault by {max(each.lateness for each in runs):.0%} of what may be; "
        f"{sum(each.ended_at_s for each in runs) / 3600:.1f} h in {seconds:.0f} s, "
        f"{len(runs) / seconds * 60:.0f} schedules a minute"
    )


if __name__ == "__main__":
    sys.exit(main())
