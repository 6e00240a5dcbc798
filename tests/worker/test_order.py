"""What a worker commits in order "key" and "none"."""

from __future__ import annotations

import pytest

from streams.codec.committed import Committed
from tests.worker.shell import Shell, settled


@pytest.fixture
async def shell():
    made = Shell()
    yield made
    await made.stop()


async def test_what_is_done_beyond_a_slow_call_is_committed_beside_the_watermark(shell):
    await shell.start(order="none")
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 40)
    await shell.until(lambda: len(shell.calls) == 4)
    shell.calls[1].answer()
    shell.calls[3].answer()
    await shell.until(lambda: lane.committed == Committed(0, ((10, 19), (30, 39))))
    shell.calls[2].answer()
    await shell.until(lambda: lane.committed == Committed(0, ((10, 39),)))
    shell.calls[0].answer()
    await shell.until(lambda: lane.committed == Committed(40))


async def test_in_order_key_the_keys_of_the_records_count(shell):
    """The first call holds the keys a and b, but not what has none."""
    await shell.start(order="key", max_items=2)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 2, keys=[b"a", b"b"])
    shell.arrive(lane, 4, keys=[b"b", None, b"c", b"a"])
    await shell.until(lambda: len(shell.calls) == 3)
    shell.calls[2].answer()
    shell.calls[1].answer()
    await shell.until(lambda: lane.committed == Committed(0, ((3, 4),)))
    shell.calls[0].answer()
    await shell.until(lambda: lane.committed == Committed(6))
    order = shell.written()
    assert [n for n in order if n in (0, 5)] == [0, 5]
    assert [n for n in order if n in (1, 2)] == [1, 2]


async def test_records_that_an_earlier_owner_has_done_are_not_called(shell):
    """The last of them is only passed: nothing comes after it."""
    await shell.start(order="none", max_items=100)
    (lane,) = await shell.assign(0, offset=5, beyond=((7, 8), (12, 19)))
    shell.arrive(lane, 15)
    await shell.until(lambda: len(shell.calls) == 1)
    assert [item.offset for item in shell.calls[0].items] == [5, 6, 9, 10, 11]
    shell.calls[0].answer()
    await shell.until(lambda: lane.committed == Committed(20))
    shell.arrive(lane, 1)
    await shell.until(lambda: len(shell.calls) == 2)
    assert [item.offset for item in shell.calls[1].items] == [20]


async def test_a_partition_that_was_done_to_its_end_is_committed_without_a_call(shell):
    await shell.start(order="key")
    (lane,) = await shell.assign(0, offset=5, beyond=((6, 9),))
    shell.arrive(lane, 4, first=6)  # 5 is no record
    await shell.until(lambda: lane.committed == Committed(10))
    await settled()
    assert shell.calls == []
    assert shell.worker.lag(lane) is None
    assert shell.task.watermark(lane) == lane.next_offset == 10
