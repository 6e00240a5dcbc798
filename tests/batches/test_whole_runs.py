"""Whole runs in virtual time: killed at any step, against an API that does all that APIs do."""

from __future__ import annotations

import random

import pytest

from streams.batches.core.batch_packing import ChunkBounds
from streams.batches.core.run_terms import RunTerms
from streams.core.limits import Limits
from streams.errors import StreamsError
from tests.batches.world import LIVE_NANO, Weather, World, run_world

ROUGH = Weather(
    lost_creations=0.1,
    unclear_creations=0.1,
    refused_creations=0.1,
    outages=0.05,
    late_s=40.0,
    strangers=0.2,
)

BOUNDS = ChunkBounds(max_requests=12)


def texts(count: int, seed: int = 0) -> list[str]:
    """Mostly good ones."""
    chance = random.Random(seed)
    kinds = ["text"] * 97 + ["poison", "mute", "dropped"]
    return [f"{chance.choice(kinds)} {n}" for n in range(count)]


def good_texts(count: int) -> list[str]:
    return [f"text {n}" for n in range(count)]


def test_every_item_gets_its_outcome_once_and_in_order_at_half_the_price() -> None:
    world = World(1, good_texts(600))
    summary = run_world(world)
    world.check_emitted()
    world.check_submissions()
    assert summary.equation == "600 items = 600 results + 0 dead letters + 0 drops"
    assert world.paid_twice == 0
    assert summary.cost_nano_usd is not None
    assert summary.cost_nano_usd <= 0.54 * 600 * LIVE_NANO  # the canary, and what is left, are live


def test_the_equation_counts_every_kind_of_outcome() -> None:
    world = World(2, texts(600, 2))
    summary = run_world(world)
    world.check_emitted()
    poisoned = sum(text.startswith(("poison", "mute")) for text in world.texts)
    dropped = sum(text.startswith("dropped") for text in world.texts)
    assert (summary.dead_letters, summary.drops) == (poisoned, dropped)
    assert summary.items == 600 == summary.results + poisoned + dropped
    assert (summary.open, summary.vanished) == (0, 0)


POINTS = 50


def steps(seed: int) -> int:
    """How many the run takes where nobody kills it."""
    world = World(seed, texts(240, seed), ROUGH)
    run_world(world, seed)
    return world.steps


@pytest.mark.parametrize("point", range(POINTS))
def test_killed_at_any_point_nothing_is_lost_duplicated_or_submitted_twice(point: int) -> None:
    chance, end = random.Random(point), steps(point)
    at = [1 + point * (end - 1) // POINTS, *(chance.randrange(1, end) for _ in range(2))]
    world = World(point, texts(240, point), ROUGH, kill_at=at)
    summary = run_world(world, point)
    world.check_emitted()
    world.check_submissions()
    assert (summary.state, summary.open) == ("done", 0)
    assert world.kills >= 1
    # A kill pays again for the live calls under way, and for nothing that a batch has answered.
    assert world.paid_twice <= world.kills * world.limits.max_in_flight * world.limits.max_items
    assert world.paid_twice_by_batches == 0


def test_a_run_that_is_over_is_over_in_the_next_process_too() -> None:
    world = World(3, texts(120, 3))
    first = run_world(world)
    before = len(world.batches), world.live_calls, len(world.emitted)
    assert run_world(world) == first
    assert (len(world.batches), world.live_calls, len(world.emitted)) == before


# -- a deadline ------------------------------------------------------------------------------------

HOURS = 3_600.0


@pytest.mark.parametrize("seed", range(20))
def test_a_deadline_is_met_also_where_batches_take_too_long(seed: int) -> None:
    slow = Weather(takes_s=(2 * HOURS, 20 * HOURS), outages=0.02)
    world = World(seed, texts(400, seed), slow, deadline_s=6 * HOURS)
    summary = run_world(world, seed)
    assert world.ended_at <= 6 * HOURS
    assert (summary.state, summary.open) == ("done", 0)
    world.check_emitted()
    assert world.paid_twice == 0  # what batches have answered by then counts


@pytest.mark.parametrize("seed", range(20))
def test_with_a_deadline_most_is_at_half_the_price_where_batches_end_in_time(seed: int) -> None:
    world = World(seed, good_texts(400), Weather(takes_s=(600, HOURS)), deadline_s=6 * HOURS)
    summary = run_world(world, seed)
    assert world.ended_at <= 6 * HOURS
    assert summary.live_items <= 0.2 * 400


@pytest.mark.parametrize("seed", range(5))
def test_a_deadline_is_met_where_a_cancelled_batch_does_not_end(seed: int) -> None:
    weather = Weather(takes_s=(30 * HOURS, 40 * HOURS), cancel_s=1e9, outages=0.05)
    world = World(seed, texts(200, seed), weather, deadline_s=3 * HOURS)
    run_world(world, seed)
    assert world.ended_at <= 3 * HOURS
    world.check_emitted()


@pytest.mark.parametrize("seed", range(10))
def test_a_deadline_is_met_by_processes_that_are_killed(seed: int) -> None:
    chance = random.Random(seed)
    weather = Weather(takes_s=(2 * HOURS, 20 * HOURS), lost_creations=0.2, outages=0.02)
    at = [chance.randrange(1, 1_200) for _ in range(3)]
    terms = RunTerms(bounds=BOUNDS, reserve_ms=600_000)  # of which kills take up to six minutes
    world = World(seed, texts(240, seed), weather, kill_at=at, deadline_s=6 * HOURS, terms=terms)
    run_world(world, seed)
    assert world.ended_at <= 6 * HOURS
    world.check_emitted()


@pytest.mark.parametrize("seed", range(5))
def test_a_kill_pays_again_for_the_live_calls_under_way_and_for_no_others(seed: int) -> None:
    chance = random.Random(seed)
    world = World(seed, good_texts(200), deadline_s=60.0)  # all of it goes live
    run_world(world, seed)
    at = sorted(chance.sample(range(1, world.steps), 5))
    world = World(seed, good_texts(200), kill_at=at, deadline_s=60.0)
    world.limits = Limits(max_items=4, max_in_flight=1)
    run_world(world, seed)
    world.check_emitted()
    assert world.paid_twice <= 4 * world.kills


# -- money, cancelling, and what a person has to look at -------------------------------------------


def test_a_run_stops_before_it_spends_more_than_it_may_and_goes_on_with_more() -> None:
    limit = 120 * LIVE_NANO // 2
    world = World(4, good_texts(400), terms=RunTerms(bounds=BOUNDS, max_cost_nano_usd=limit))
    summary = run_world(world)
    assert summary.state == "stopped"
    assert summary.cost_nano_usd is not None
    assert 0 < summary.cost_nano_usd <= limit
    assert summary.open > 0
    assert summary.results == len(world.emitted)
    world.terms = RunTerms(bounds=BOUNDS)
    assert run_world(world).state == "done"
    world.check_emitted()
    assert world.paid_twice == 0


def test_a_cancelled_run_emits_what_is_answered_in_order_and_asks_for_nothing_more() -> None:
    world = World(5, texts(240, 5), Weather(takes_s=(2 * HOURS, 9 * HOURS)), cancel_at_s=4 * HOURS)
    summary = run_world(world)
    assert summary.state == "cancelled"
    assert summary.open > 0
    places = [seq for seq, _ in world.emitted]
    assert places == sorted(set(places))
    answered = sum(world.answered.values())
    assert answered <= len(places)  # all that is paid is there, with what cost nothing
    assert all(batch.cancelled_at or batch.ended_at for batch in world.batches.values())


def test_items_that_vanish_between_question_and_answer_take_nothing_with_them() -> None:
    world = World(6, good_texts(200), Weather(errored=0.0, expired=0.0, unanswered=0.0))
    world.vanish_at = HOURS / 6.1, {17, 18, 19, 20, 21, 50, 120}
    world.weather.takes_s = (HOURS, 2 * HOURS)
    summary = run_world(world)
    world.check_emitted()
    assert summary.vanished == 7
    assert summary.results == 193
    assert world.paid_twice <= 3 * 4  # the requests that lost an item, and no others


def test_results_that_are_gone_end_the_run_with_the_batch_s_name() -> None:
    world = World(7, good_texts(40), Weather(errored=0.0, expired=0.0))
    world.forgets = {"msgbatch_0"}
    with pytest.raises(StreamsError, match="msgbatch_0"):
        run_world(world)
    assert world.ended_at > 600  # ten minutes of 404 are not believed


def test_a_first_request_that_the_api_refuses_ends_the_run_before_any_batch() -> None:
    world = World(8, good_texts(40))
    world.refuses_parameters = True
    with pytest.raises(StreamsError, match="refuses the first request"):
        run_world(world)
    assert world.batches == {}
