"""A seed is a plan, and a plan never leaves a group alone for long."""

from __future__ import annotations

import pytest

from tests.chaos.schedule import FROZEN_S, MOST_WORKERS, plan

SEEDS = range(300)


@pytest.mark.parametrize("nodes", [1, 3])
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(nodes):
    plans = [plan(seed, nodes=nodes) for seed in SEEDS]
    assert plans == [plan(seed, nodes=nodes) for seed in SEEDS]
    assert len({repr(each) for each in plans}) == len(plans)


def test_both_guarantees_meet_the_same_faults():
    one = plan(7, guarantee="at_least_once")
    other = plan(7, guarantee="exactly_once")
    assert other.work.guarantee == "exactly_once"
    assert one._replace(work=other.work) == other


@pytest.mark.parametrize("nodes", [1, 3])
def test_at_every_moment_a_worker_is_at_work_or_the_next_begins_within_two_seconds(nodes):
    for seed in SEEDS:
        made = plan(seed, nodes=nodes)
        working, started, alone_since = set(range(made.workers)), made.workers, None
        for step in made.steps:
            if alone_since is not None:
                assert step.at_s - alone_since <= 2.0, made
            if step.what == "start":
                working.add(started)
                started += 1
            elif step.what == "thaw":
                working.add(step.who)
            elif step.what in ("kill", "stop", "freeze"):
                assert step.who in working, made
                working.discard(step.who)
            alone_since = None if working else step.at_s
        assert len(working) <= MOST_WORKERS


def test_all_that_is_frozen_is_thawed_and_all_nodes_come_back():
    for seed in SEEDS:
        steps = plan(seed, nodes=3).steps
        for down, up in (("freeze", "thaw"), ("node_freeze", "node_thaw")):
            assert sum(s.what == down for s in steps) == sum(s.what == up for s in steps)
        frozen = {s.who: s.at_s for s in steps if s.what == "freeze"}
        assert all(s.at_s - frozen[s.who] >= FROZEN_S[0] for s in steps if s.what == "thaw") or len(
            frozen
        ) < sum(s.what == "freeze" for s in steps)


def test_every_kind_of_fault_happens_in_some_plan():
    kinds = {step.what for seed in SEEDS for step in plan(seed).steps}
    assert kinds >= {"kill", "stop", "freeze", "thaw", "start", "grow", "node_freeze", "node_kill"}
