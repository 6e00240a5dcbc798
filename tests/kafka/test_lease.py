"""A worker that the group may have given up writes nothing until it hears otherwise."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from streams.kafka.consume import lease as module
from streams.kafka.consume.lease import Lease


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "clock_s", lambda: made.now)
    return made


def test_nothing_is_written_before_the_group_is_joined(clock):
    assert not Lease(6).holds()


def test_its_clock_goes_on_while_the_machine_sleeps():
    boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert boot_s <= module.clock_s() <= boot_s + 1


def test_a_lease_holds_for_the_session_from_when_the_answer_was_asked_for(clock):
    lease = Lease(6)
    lease.extend(98.0)
    assert lease.holds()
    clock.now = 103.9
    assert lease.holds()
    clock.now = 104.0
    assert not lease.holds()


async def test_a_heartbeat_that_is_answered_renews_it_and_one_that_is_not_does_not(clock):
    answers = [True, False, True]

    async def beat() -> bool:
        clock.now += 2.0  # the answer takes its time
        return answers.pop(0)

    coordinator = SimpleNamespace(_do_heartbeat=beat)
    lease = Lease(6)
    lease.watch(coordinator)
    assert await coordinator._do_heartbeat()
    clock.now = 105.9
    assert lease.holds()
    clock.now = 106.0
    assert not await coordinator._do_heartbeat()
    assert not lease.holds()
    assert await coordinator._do_heartbeat()
    assert lease.holds()


async def test_a_process_that_stood_still_has_no_lease_when_it_runs_again(clock):
    """The first thing it does may be to write."""
    lease = Lease(6)
    lease.extend(100.0)
    clock.now += 20.0
    assert not lease.holds()
