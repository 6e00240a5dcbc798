"""The loop without a clock: what asyncio promises holds, and time costs nothing."""

from __future__ import annotations

import asyncio
import logging
import random
import time

import pytest

from streams.kafka.produce import ordered_queue
from tests.simulation.loop import EPOCH_S, NothingLeft, virtual_world


def test_time_jumps_to_the_next_timer() -> None:
    began = time.perf_counter()
    with virtual_world(1) as loop:
        loop.run_until_complete(asyncio.sleep(86_400 * 365))
        assert loop.time() == pytest.approx(86_400 * 365)
    assert time.perf_counter() - began < 5


def test_timers_fire_in_order_at_their_time() -> None:
    fired: list[float] = []
    with virtual_world(1) as loop:
        for at in (3.0, 1.0, 2.0):
            loop.call_at(at, lambda: fired.append(loop.time()))
        loop.run_until_complete(asyncio.sleep(5))
    assert fired == [1.0, 2.0, 3.0]


def test_a_timeout_ends_what_takes_too_long() -> None:
    async def hangs() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    with virtual_world(1) as loop:
        assert loop.run_until_complete(hangs()) == 2.5


def test_what_will_never_happen_is_an_error() -> None:
    with virtual_world(1) as loop, pytest.raises(NothingLeft):
        loop.run_until_complete(loop.create_future())


def test_an_error_that_nobody_catches_is_noted() -> None:
    with virtual_world(1) as loop:
        loop.call_soon(lambda: 1 / 0)
        loop.run_until_complete(asyncio.sleep(1))
        assert "ZeroDivisionError" in loop.defects[0]


def test_the_modules_of_the_product_see_its_time_and_chance_and_afterwards_the_real_ones() -> None:
    drawn = []
    for _ in range(2):
        with virtual_world(7) as loop:
            loop.run_until_complete(asyncio.sleep(10))
            assert ordered_queue.time.time() == EPOCH_S + 10
            assert not logging.getLogger("streams").isEnabledFor(logging.ERROR)
            drawn.append(random.random())
    assert drawn[0] == drawn[1]
    assert ordered_queue.time is time
    assert logging.getLogger("streams").isEnabledFor(logging.ERROR)
