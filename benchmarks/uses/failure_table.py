"""Who has which of the 18 failures, found by having each library go through each of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any

from benchmarks.bars import Bar, Report
from benchmarks.uses.failures import DEADLINE_S, FAILURES, Failure, NotSaid, made_by
from benchmarks.uses.measure import Effort
from benchmarks.uses.peers import PEERS, SILENT, Ours, Peer
from benchmarks.uses.stage_failures import STAGE_FAILURES, stage_verdict
from benchmarks.uses.stage_peers import STAGE_PEERS, OurStages


def eighteen(_: Effort) -> Report:
    """The failures of coalescers among them. "-": the library has no word for it."""
    for name in ("asyncio", SILENT):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    rows: list[Sequence[str]] = [("", *(peer.name for peer in PEERS))]
    figures: dict[str, Any] = {}
    passed = tried = 0
    for number, (what, failure) in FAILURES.items():
        said = {peer.name: verdict(failure, peer) for peer in PEERS}
        figures[str(number)] = {"failure": what, **said}
        rows.append((f"{number:>2} {what}", *(text.split(":")[0] for text in said.values())))
        tried += 1
        passed += said[Ours.name] == "passes"
    bars = [Bar("failures that we do not have", passed, "at least", tried)]
    return Report("the failures of other coalescers", bars, figures, rows)


def of_stages(_: Effort) -> Report:
    """The failures of pipelines among them."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    rows: list[Sequence[str]] = [("", *(peer.name for peer in STAGE_PEERS))]
    figures: dict[str, Any] = {}
    passed = 0
    for number, (what, _failure) in STAGE_FAILURES.items():
        said = {peer.name: stage_verdict(number, peer) for peer in STAGE_PEERS}
        figures[str(number)] = {"failure": what, **said}
        rows.append((f"{number:>2} {what}", *(text.split(":")[0] for text in said.values())))
        passed += said[OurStages.name] == "passes"
    bars = [Bar("failures of stages that we do not have", passed, "at least", len(STAGE_FAILURES))]
    return Report("the failures of other pipelines", bars, figures, rows)


def verdict(failure: Failure, peer: type[Peer]) -> str:
    """ "passes", "-: what it lacks", "hangs" or "fails: why"."""
    try:
        asyncio.run(_within_the_deadline(failure, peer))
    except NotSaid as missing:
        return f"-: no {missing}"
    except TimeoutError as error:
        return f"hangs: {error}"
    except Exception as error:
        return f"fails: {error or type(error).__name__}"
    return "passes"


async def _within_the_deadline(failure: Failure, peer: type[Peer]) -> None:
    """The deadline is a thread's: one of the failures sets the loop's clock."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _about: None)
    task = asyncio.ensure_future(failure(made_by(peer)))
    timer = threading.Timer(DEADLINE_S, loop.call_soon_threadsafe, [task.cancel])
    timer.start()
    try:
        await task
    except asyncio.CancelledError:
        raise TimeoutError("somebody waits for ever") from None
    finally:
        timer.cancel()
