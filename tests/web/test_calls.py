"""What is counted of calls and pauses, at given times."""

from __future__ import annotations

import asyncio

from streams.core.call import Call, Slot
from streams.core.events import Cancelled, Failed, Replied
from streams.errors import CallError, Fault
from streams.running.histograms import Distribution, Latencies
from streams.running.tally import CallTally
from tests.web.assembly import Played, Steered


def test_a_value_on_a_bound_is_below_it_and_one_above_all_is_in_the_last() -> None:
    values = Distribution((1.0, 2.0))
    for value in (0.5, 1.0, 1.1, 2.0, 99.0):
        values.add(value)
    assert values.counts == [2, 2, 1]
    assert values.total == 103.6


def test_several_equal_values_are_added_at_once() -> None:
    values = Distribution((1.0, 2.0))
    values.add(1.5, 4)
    assert (values.counts, values.total) == ([0, 4, 0], 6.0)


def test_throttled_time_runs_from_the_pause_to_its_end_and_only_then_stands_still() -> None:
    tally = CallTally()
    assert tally.throttled_s(100.0) == 0.0
    tally.paused("throttled", 100.0)
    assert tally.throttled_s(103.0) == 3.0
    tally.paused("throttled", 104.0)  # prolonged
    tally.resumed(110.0)
    assert tally.throttled_s(200.0) == 10.0
    tally.resumed(200.0)
    tally.paused("throttled", 300.0)
    assert tally.throttled_s(301.0) == 11.0


def test_a_pause_for_another_reason_is_no_throttled_time() -> None:
    tally = CallTally()
    tally.paused("outage", 0.0)
    tally.resumed(50.0)
    assert tally.throttled_s(50.0) == 0.0
    tally.paused("throttled", 100.0)
    tally.paused("account", 105.0)
    tally.resumed(200.0)
    assert tally.throttled_s(200.0) == 5.0


def test_a_call_ends_as_ok_as_its_fault_or_as_cancelled() -> None:
    tally = CallTally()
    tally.ended(Replied("1", []), 0.5)
    tally.ended(Failed("2", CallError(Fault.TIMEOUT)), 60.0)
    tally.ended(Cancelled("3"), 0.1)
    assert tally.by_status == {"ok": 1, "timeout": 1, "cancelled": 1}
    assert tally.seconds.total == 60.6


async def test_a_task_that_stops_ends_its_calls_and_makes_none_again() -> None:
    steered = Steered()
    async with Played(caller=steered) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        await steered.begun(1)
        await played.task.stop()
        assert steered.calls[0][1].cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task(), played.worker._committer._task}
    assert len(steered.calls) == 1


def test_a_new_microbatch_waited_since_its_oldest_item_whichever_place_that_has() -> None:
    tally = CallTally()
    batch = Call([Slot(0, 1, None, arrived_at=9.0), Slot(1, 1, None, arrived_at=4.0)], "new", "")
    batch.started_at = 10.0
    tally.started(batch)
    assert tally.wait_s.total == 6.0
    assert tally.items.total == 2


def test_latencies_are_exact_below_ten_seconds_and_to_a_hundredth_above() -> None:
    latencies = Latencies()
    for ms in (0, 1, 9_999, 10_099, 999_999, 1_009_999, 86_399_999):
        latencies.add([ms])
        (known,) = latencies._counts
        assert ms * 0.99 <= known <= ms
        assert ms >= 10_000 or known == ms
        latencies._counts.clear()


def test_latencies_of_a_days_backlog_stay_few_and_those_of_other_clocks_are_zero() -> None:
    latencies = Latencies()
    latencies.add(range(-5_000, 90_000_000, 77))
    assert len(latencies._counts) < 30_000
    assert min(latencies._counts) == 0
    assert latencies.percentile(1.0) == 86_400_000


def test_latencies_in_buckets_are_in_seconds() -> None:
    latencies = Latencies()
    latencies.add([50, 50, 1_500])
    buckets = latencies.distribution((0.1, 1.0))
    assert (buckets.counts, buckets.total) == ([2, 0, 1], 1.6)
