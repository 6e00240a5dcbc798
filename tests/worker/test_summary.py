"""The worker's exit line: what it counts, and what only somebody who reads the topics can know."""

from __future__ import annotations

from random import random

import pytest

from streams.core.engine import Engine
from streams.core.limits import Limits
from streams.errors import CallError, Fault
from streams.model import Reply, Unanswered, Usage
from streams.running.tally import CallTally, Tally, TaskCounts, summary
from tests.worker.shell import Shell

KEYS = [
    "items", "results", "dead_letters", "calls", "retries", "splits", "mean_batch_items",
    "max_in_flight_seen", "elapsed_s", "items_per_s", "latency_ms_p50", "latency_ms_p99",
    "late_items", "input_tokens", "output_tokens", "cost_usd", "one_call_per_item_s", "speedup",
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


async def test_nineteen_answers_behind_a_slow_call_are_on_the_bill_of_a_worker_that_stops(shell):
    """Nothing of the partition could be delivered: it said 0 tokens and 0 dollars."""
    await shell.start(max_items=1, max_in_flight=20)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 20)
    await shell.until(lambda: len(shell.calls) == 20)
    for call in shell.calls[1:]:
        call.answer()
    await shell.worker.drain(0.1)
    summary = shell.worker.summary()
    assert (summary["items"], summary["calls"]) == (0, 20)
    assert (summary["input_tokens"], summary["output_tokens"]) == (1900, 190)
    assert summary["cost_usd"] == 19_000 / 1e9
    assert shell.task.call_tally.bill == "19 calls, 1900 tokens in, 190 out, $0.000019"


async def test_a_reply_whose_price_is_not_known_makes_the_cost_unknown_and_not_0(shell):
    await shell.start(max_items=1)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 2)
    await shell.until(lambda: len(shell.calls) == 2)
    shell.calls[0].answer()
    shell.calls[1].ended.set_result(Reply([{"of": 1}], Usage(7, 1, None)))
    await shell.until(lambda: shell.worker.summary()["items"] == 2)
    summary = shell.worker.summary()
    assert summary["input_tokens"] == 107
    assert summary["cost_usd"] is None
    assert shell.task.call_tally.bill.endswith("107 tokens in, 11 out, cost not known")


def test_the_cost_of_tasks_is_told_together_only_where_that_of_each_is_known():
    """Each task's own is in `/state` and in the metrics; a part is no total."""
    priced, unpriced = CallTally(), CallTally(has_price=False)
    priced.cost_nano_usd = 5
    limits = Limits(max_items=1, max_wait_s=0, max_in_flight=1)
    empty = Engine(limits, random=random).statistics()
    counts = [TaskCounts(Tally(), calls, empty) for calls in (priced, unpriced)]
    assert summary(counts[:1])["cost_usd"] == 5 / 1e9
    assert summary(counts)["cost_usd"] is None
    assert unpriced.cost_usd is None, "also before its first call"
