"""The worker's exit line: what it counts, and what only somebody who reads the topics can know."""

from __future__ import annotations

import pytest

from streams.errors import CallError, Fault
from streams.model import Unanswered, Usage
from tests.worker.shell import Shell

KEYS = [
    "items", "results", "dead_letters", "calls", "retries", "splits", "mean_batch_items",
    "max_in_flight_seen", "elapsed_s", "items_per_s", "latency_ms_p50", "latency_ms_p99",
    "input_tokens", "output_tokens", "cost_usd", "one_call_per_item_s", "speedup",
]  # fmt: skip


@pytest.fixture
async def shell():
    made = Shell()
    yield made
    await made.stop()


async def test_the_exit_line_claims_nothing_about_lost_duplicated_or_disordered_results(shell):
    await shell.start()
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 10})
    assert list(shell.worker.summary()) == KEYS


async def test_calls_are_all_that_were_made_and_no_call_is_both_a_retry_and_a_split(shell):
    await shell.start()
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].ended.set_exception(
        CallError(Fault.REJECTED, "no")
    )  # a repeat, and a further call
    await shell.until(lambda: len(shell.calls) == 3)
    shell.calls[1].answer()
    answers = [{"of": offset} for offset in shell.calls[2].offsets]
    shell.calls[2].answer(Unanswered.MISSING, *answers[1:])  # asked again
    await shell.until(lambda: len(shell.calls) == 4)
    shell.calls[3].answer()
    await shell.until(lambda: shell.committed == {0: 10})
    summary = shell.worker.summary()
    assert (summary["calls"], summary["retries"], summary["splits"]) == (1 + 2 + 1, 2, 1)
    assert sum(shell.task.call_tally.by_status.values()) == 4
    assert summary["mean_batch_items"] == (10 + 5 + 5 + 1) / 4


async def test_tokens_count_at_the_reply_also_of_a_refusal_and_of_items_that_still_wait(shell):
    await shell.start(max_items=1)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 2)
    await shell.until(lambda: len(shell.calls) == 2)
    shell.calls[1].answer()
    await shell.until(lambda: shell.worker.summary()["input_tokens"] == 100)
    assert shell.worker.summary()["items"] == 0
    refusal = CallError(Fault.REFUSED, "no", usage=Usage(7, 1, 50))
    shell.calls[0].ended.set_exception(refusal)
    await shell.until(lambda: shell.worker.summary()["items"] == 2)
    summary = shell.worker.summary()
    assert (summary["input_tokens"], summary["output_tokens"]) == (107, 11)
    assert summary["cost_usd"] == 1050 / 1e9
