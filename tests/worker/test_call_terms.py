"""What items say of their calls, at a worker's shell: call keys, and when they are to be back."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streams.codec.call_terms import FLUSH_BY_HEADER, CallTerms
from tests.worker.shell import Shell

HOUR_S = 3600.0


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    yield made
    await made.stop()


def ms(in_s: float) -> int:
    return int((time.time() + in_s) * 1000)


async def test_only_items_with_equal_values_share_a_call(shell: Shell) -> None:
    await shell.start(CallTerms("/tenant"), max_items=3)
    (lane,) = await shell.assign(0)
    tenants: list[dict[str, Any]] = [{"tenant": "a"}, {"tenant": "b"}, {}]
    shell.arrive(lane, 9, also=tenants)
    await shell.until(lambda: len(shell.calls) == 3)
    assert sorted(call.offsets for call in shell.calls) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    for call in reversed(shell.calls):
        call.answer()
    await shell.until(lambda: shell.written() == list(range(9)))


@pytest.mark.parametrize("in_header", [False, True])
async def test_a_window_that_would_wait_for_an_hour_closes_in_time_for_an_item(
    shell: Shell, in_header: bool
) -> None:
    await shell.start(CallTerms(flush_by="/by"), max_wait_s=HOUR_S)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 2)
    by = ms(in_s=0.5)  # sooner than the assumed first call takes
    if in_header:
        shell.arrive(lane, 1, also=[{"by": ms(HOUR_S)}], headers=[(FLUSH_BY_HEADER, b"%d" % by)])
    else:
        shell.arrive(lane, 1, also=[{"by": by}])
    await shell.until(lambda: len(shell.calls) == 1)
    assert sorted(shell.calls[0].offsets) == [0, 1, 2]


async def test_items_whose_outcome_comes_after_their_time_are_counted(shell: Shell) -> None:
    await shell.start(CallTerms(flush_by="/by"))
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 6, also=[{"by": ms(-1)}, {"by": ms(HOUR_S)}, {}])
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 6})
    assert shell.worker.summary()["late_items"] == shell.task.tally.late == 2


async def test_a_flush_by_that_is_no_time_costs_no_item_and_is_counted_and_told_once(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    await shell.start(CallTerms(flush_by="/by"))
    (lane,) = await shell.assign(0)
    with caplog.at_level(logging.WARNING, "streams"):
        shell.arrive(lane, 4, also=[{"by": "secret"}])
        shell.arrive(lane, 1, headers=[(FLUSH_BY_HEADER, b"secret")])
    await shell.until(lambda: len(shell.calls) >= 1)
    await shell.until(lambda: [call.answer() for call in shell.calls] and shell.committed == {0: 5})
    assert shell.task.tally.invalid_flush_bys == 5
    assert shell.worker.summary()["late_items"] == 0
    (said,) = [each for each in caplog.messages if "flush_by" in each]
    assert "source/0/0" in said
    assert "secret" not in said
