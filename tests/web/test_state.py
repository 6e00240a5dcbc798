"""`/state` says what each task and partition is doing, and names the item that holds it back."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from streams.errors import CallError, Fault, ItemError
from streams.model import Item
from streams.observe.web.state import StateView
from streams.policies.breaker import BreakerLimits
from streams.policies.budget import Budgets
from streams.policies.retry import Backoff
from tests.web.assembly import Played, Steered, money


def state_of(played: Played) -> dict[str, Any]:
    """The JSON, read back."""
    value: dict[str, Any] = json.loads(json.dumps(StateView(played.worker, "reviews").worker()))
    return value


def task_of(played: Played) -> dict[str, Any]:
    (task,) = state_of(played)["tasks"]
    return dict(task)


def blocking(played: Played, place: int = 0) -> dict[str, Any]:
    """What holds a partition back."""
    return dict(task_of(played)["partitions"][place]["blocking"])


async def good(items: Sequence[Item]) -> list[Any]:
    return [{"label": "good"}] * len(items)


async def test_a_worker_is_starting_until_partitions_are_assigned_and_stopping_from_its_drain() -> (
    None
):
    async with Played(good) as played:
        assert state_of(played)["state"] == "starting"
        played.assign(0)
        assert state_of(played)["state"] == "running"
        await played.worker.drain(1)
        assert state_of(played)["state"] == "stopping"


async def test_it_says_whose_state_it_is_and_where_items_come_from_and_go() -> None:
    async with Played(good) as played:
        state = state_of(played)
    assert state["worker"] == "reviews"
    assert abs(state["now_ms"] - time.time() * 1000) < 60_000
    (task,) = state["tasks"]
    assert (task["name"], task["source"]) == ("sentiment", "reviews")
    assert (task["sink"], task["dead_letter"]) == ("reviews.sink", "reviews.dead")


async def test_a_budget_says_what_is_left_and_what_it_stops() -> None:
    budgets = Budgets(day=50, total=1_000)
    async with Played(good, money=money(budgets)) as played:
        (lane,) = played.assign(0)
        assert task_of(played)["budget"] == {
            "on_budget": "pause",
            "budget_usd": {"day": 5e-8, "total": 1e-6},
            "left_usd": {"day": 5e-8, "total": 1e-6},
            "stopped_by": None,
            "until_ms": None,
            "slowed": False,
        }
        assert StateView(played.worker, "reviews").stopped_budgets() == []
        played.arrive(lane, "a", "b")
        assert task_of(played)["budget"]["stopped_by"] == "day"
        assert blocking(played)["reason"] == "the budget is spent (day)"
        (stopped,) = StateView(played.worker, "reviews").stopped_budgets()
        assert (stopped["task"], stopped["stopped_by"]) == ("sentiment", "day")
    async with Played(good) as played:
        assert task_of(played)["budget"] is None


async def test_counts_are_those_of_the_work_done() -> None:
    async def judge(items: Sequence[Item]) -> list[Any]:
        special = {"bad": ItemError("odd"), "drop": None}
        return [special.get(item.text, {"label": "good"}) for item in items]

    async with Played(judge) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a", "b", "bad", "drop")
        await played.until_settled(4)
        task = task_of(played)
    items, calls = task["items"], task["calls"]
    assert (items["outcomes"], items["results"], items["dead_letters"], items["drops"]) == (
        4,
        2,
        1,
        1,
    )
    assert task["dead_letters"] == {"odd": 1}
    assert (calls["started"], calls["in_flight"], calls["mean_items"]) == (2, 0, 2.0)
    assert calls["by_status"] == {"ok": 2}
    assert items["waiting"] == items["retrying"] == items["delivering"] == 0


async def test_partitions_come_by_their_number_with_offsets_lag_and_held_bytes() -> None:
    steered = Steered()
    async with Played(caller=steered) as played:
        seven, _two = played.assign(7, 2, offset=40)
        played.arrive(seven, "a", "b", "c", end=50)
        await steered.begun(1)
        partitions = task_of(played)["partitions"]
        assert [each["partition"] for each in partitions] == [2, 7]
        read = partitions[1]
        assert (read["watermark"], read["position"], read["end"], read["lag"]) == (40, 43, 50, 10)
        assert read["held_bytes"] > 0
        assert read["unsettled"] == 3
        unread = partitions[0]
        assert (unread["end"], unread["lag"], unread["held_bytes"]) == (None, None, 0)
        assert unread["blocking"] is None
        assert (unread["watermark"], unread["committed"]) == (40, 40)


async def test_each_task_has_its_own_partitions() -> None:
    async with Played(good, beside="others") as played:
        played.assign(0, 1)
        played.assign(5, source="others")
        tasks = state_of(played)["tasks"]
    found = {task["name"]: [each["partition"] for each in task["partitions"]] for task in tasks}
    assert found == {"sentiment": [0, 1], "others": [5]}


async def test_an_item_in_a_call_holds_its_partition_back_and_the_call_is_named() -> None:
    steered = Steered()
    async with Played(caller=steered, max_items=1) as played:
        (lane,) = played.assign(0, offset=10)
        played.arrive(lane, "a", "b")
        await steered.begun(2)
        steered.answer(1)
        await played.until(lambda: played.task.statistics().reordering == 1)
        held = blocking(played)
        assert (held["offset"], held["state"], held["calls"]) == (10, "in flight", 1)
        assert held["batch_id"] in held["reason"]
        assert abs(held["since_ms"] - time.time() * 1000) < 60_000
        steered.answer(0)
        await played.until_settled(2)
        assert task_of(played)["partitions"][0]["blocking"] is None


async def test_an_item_behind_full_calls_waits_for_them() -> None:
    steered = Steered()
    async with Played(caller=steered, max_items=1, max_in_flight=1) as played:
        first, second = played.assign(0, 1)
        played.arrive(first, "a")
        played.arrive(second, "b")
        await steered.begun(1)
        held = blocking(played, 1)
        assert (held["offset"], held["state"]) == (0, "waiting")
        assert held["reason"] == "every call that may run is under way (1)"


async def test_an_item_in_an_open_window_waits_for_its_microbatch() -> None:
    async with Played(good, max_items=10, max_wait_s=3600) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        held = blocking(played)
        assert (held["state"], held["reason"]) == ("waiting", "its microbatch is still open")


async def test_an_item_that_is_to_be_tried_again_says_for_what_fault_and_when() -> None:
    steered = Steered()
    async with Played(caller=steered, backoff=Backoff(base_s=3600, cap_s=3600)) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        await steered.begun(1)
        steered.fail(0, CallError(Fault.TIMEOUT, "no reply"))
        await played.until(lambda: played.task.statistics().retrying == 1)
        held = blocking(played)
        assert (held["state"], held["calls"]) == ("retrying", 1)
        assert held["reason"].startswith("timeout; tried again in ")
        assert held["until_ms"] > held["since_ms"]


async def test_an_item_whose_result_is_not_acknowledged_waits_for_its_topic() -> None:
    async with Played(good) as played:
        played.sink.holding = True
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        await played.until(lambda: bool(played.sink.held))
        held = blocking(played)
        assert (held["offset"], held["state"]) == (0, "awaiting delivery")
        assert "not acknowledged" in held["reason"]
        assert task_of(played)["items"]["delivering"] == 1
        played.sink.acknowledge()
        assert task_of(played)["partitions"][0]["blocking"] is None


async def test_a_paused_task_says_why_until_when_and_is_the_reason_that_its_items_wait() -> None:
    steered = Steered()
    async with Played(caller=steered, max_items=1) as played:
        first, second = played.assign(0, 1)
        assert task_of(played)["paused"] is None
        played.arrive(first, "a")
        await steered.begun(1)
        steered.fail(0, CallError(Fault.ACCOUNT, "no credit left", retry_after_s=60))
        await played.until(lambda: played.task.statistics().paused_reason is not None)
        played.arrive(second, "b")
        paused = task_of(played)["paused"]
        assert (paused["reason"], paused["message"]) == ("account", "no credit left")
        assert 50_000 < paused["until_ms"] - time.time() * 1000 < 70_000
        assert blocking(played, 0)["reason"] == "account; the task is paused: account"
        assert blocking(played, 1)["reason"] == "the task is paused: account"


async def test_a_task_that_the_breaker_holds_says_so() -> None:
    async def broken(items: Sequence[Item]) -> list[Any]:
        raise ValueError("an item's text")

    slow = Backoff(base_s=60)
    async with Played(broken, breaker=BreakerLimits(run=2), backoff=slow) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, *"abcdefgh")
        await played.until(lambda: played.task.statistics().paused_reason is not None)
        await played.until_settled(3)
        paused = task_of(played)["paused"]
        assert paused["reason"] == "breaker"
        assert paused["message"].startswith("2 items in a row are dead letters, the last: function")
        assert "text" not in paused["message"]
        assert blocking(played)["reason"].endswith("the task is paused: breaker")


async def test_an_item_of_a_partition_that_is_being_handed_back_waits_for_no_call() -> None:
    async with Played(good, max_items=10, max_wait_s=3600) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        played.task.halt([lane])
        assert blocking(played)["reason"] == "no new calls: the partition is handed back"


async def test_nothing_of_an_item_but_its_offset_is_in_it() -> None:
    async def careless(items: Sequence[Item]) -> list[Any]:
        if any(item.text == "secret-raised" for item in items):
            raise ValueError(items[0].text)
        return [ItemError(item.text, item.text) for item in items]

    async with Played(careless) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "secret-code", "secret-raised", "secret-late")
        await played.until_settled(2)
        text = json.dumps(state_of(played))
    assert "secret" not in text
    assert "key-of-the-item" not in text
