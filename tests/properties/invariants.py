"""What holds after every step: the engine against the naive model. One function per fact."""

from __future__ import annotations

from streams.core import Engine

from .model import Item, Model


def told(engine: Engine, item: Item) -> str:
    return "\n  ".join([repr(item), *engine.history(item.lane, item.seq)])


def everything_whose_turn_it_is_has_left(engine: Engine, model: Model) -> None:
    """Nothing is held back without a reason. The gate's: what is settled beyond the watermark might
    not fit into a commit. It never holds a lane's first item, and where none of the lane is on its
    way to the sink, there is really no room."""
    for lane, items in model.may_leave().items():
        first = items[0]
        assert model.gated, f"held for nothing: {told(engine, first)}"
        assert first.seq != model.watermark(lane), f"the first is held: {told(engine, first)}"
        moving = any(item.place == "released" for item in model.lanes[lane])
        assert moving or not model.has_room(first), f"room for: {told(engine, first)}"


def what_may_be_settled_fits_into_a_commit(engine: Engine, model: Model) -> None:
    """Whatever the sink answers first."""
    limit = model.limits.max_beyond_bytes
    for lane in model.lanes if model.gated else ():
        size = model.worst_bytes(lane)
        assert limit is not None
        assert size <= limit, f"lane {lane}: {size} of {limit} bytes"


def commits_name_all_that_is_settled_beyond_the_watermark(engine: Engine, model: Model) -> None:
    """Now, and as it will be when what is on its way to the sink is durable, too."""
    for lane, items in model.lanes.items():
        for places in ((), ("released",)):
            also = [item for item in items if item.place in places]
            expected = model.watermark(lane, also), model.settled_beyond(lane, also)
            assert engine.progress(lane, {item.slot for item in also}) == expected, f"lane {lane}"


def the_watermark_is_at_the_first_item_that_is_not_durable(engine: Engine, model: Model) -> None:
    for lane in model.lanes:
        assert engine.watermark(lane) == model.watermark(lane), f"lane {lane}"


def memory_is_held_for_what_is_not_durable(engine: Engine, model: Model) -> None:
    for lane in model.lanes:
        assert engine.lane_bytes(lane) == model.held(lane), f"lane {lane}"
    assert engine.buffered_bytes == sum(model.held(lane) for lane in model.lanes)


def outcomes_stand(engine: Engine, model: Model) -> None:
    """Once an item has an outcome, it keeps it until it is durable."""
    for items in model.lanes.values():
        for item in items:
            if item.answered and item.place != "settled":
                assert item.slot.outcome is item.outcome, told(engine, item)


def calls_are_counted(engine: Engine, model: Model) -> None:
    statistics = engine.statistics()
    causes = model.causes
    assert statistics.calls == sum(causes.values())
    assert statistics.retries == causes.get("retry", 0) + causes.get("ask", 0)
    assert statistics.splits == causes.get("split", 0)
    assert statistics.in_flight == len(model.calls)
    assert statistics.max_in_flight_seen <= model.most_in_flight
    for items in model.lanes.values():
        for item in items:
            assert item.slot.calls == item.calls, told(engine, item)


def items_are_counted(engine: Engine, model: Model) -> None:
    statistics = engine.statistics()
    places = [item.place for items in model.lanes.values() for item in items]
    assert statistics.waiting + statistics.parked == places.count("waiting")
    assert statistics.waiting == len(model.waiting())
    assert statistics.retrying == places.count("to repeat")
    assert statistics.reordering == places.count("answered")
    assert statistics.delivering == places.count("released")


def usage_adds_up(engine: Engine, model: Model) -> None:
    """To the last token, over every item that ever was in a call."""
    slots = model.used_by
    assert sum(slot.input_tokens for slot in slots) == model.usage[0]
    assert sum(slot.output_tokens for slot in slots) == model.usage[1]
    assert sum(slot.cost_nano_usd for slot in slots) == model.usage[2]


def nothing_that_is_due_waits_while_a_call_may_start(
    engine: Engine, model: Model, now: float
) -> None:
    """G5, and that the next deadline is never later than it has to be."""
    due_at = model.due_at()
    next_deadline = engine.next_deadline()
    assert next_deadline is None or next_deadline > now, "a deadline that has passed"
    if model.may_call(now):
        assert due_at > now, f"due since {due_at}, and a call may start"
        if due_at < float("inf"):
            assert next_deadline is not None
            assert next_deadline <= due_at
    elif model.paused_until is not None and model.probe is None and due_at < float("inf"):
        if len(model.calls) < model.limits.max_in_flight:
            assert next_deadline is not None
            assert next_deadline <= max(due_at, model.paused_until)
    elif model.paused_until is None or model.probe is not None:
        assert next_deadline is None, "only an event can help, but a tick is asked for"
