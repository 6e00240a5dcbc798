"""The failures that coalescers have had, each run against each library.

A failure is a function that gets `make`, which makes a coalescer of one library, and raises where
the library has the failure: an AssertionError, or a TimeoutError where somebody hangs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from benchmarks.uses.peers import Function, Peer

DEADLINE_S = 12.0
LONG_MS = 30.0
"""A window that is open while callers leave it."""


class NotSaid(Exception):  # noqa: N818  # no error: the library has no word for what is asked
    """The failure needs what the library lacks."""


class Make(Protocol):
    """Makes a coalescer of one library. Raises NotSaid for an option that it lacks."""

    def __call__(self, function: Function, /, **options: Any) -> Peer: ...


def made_by(peer: type[Peer]) -> Make:
    def make(function: Function, /, **options: Any) -> Peer:
        missing = peer.lacks & options.keys()
        if missing:
            raise NotSaid(", ".join(sorted(missing)))
        return peer(function, **{"max_items": 4, "max_wait_ms": LONG_MS, **options})  # type: ignore[call-arg]

    return make


class Held:
    """A function whose calls wait until `go`. `calls`: the items of each; `cancelled`: how many."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.cancelled = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, items: Sequence[Any]) -> list[Any]:
        self.calls.append(list(items))
        self.started.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return list(items)


async def quick(items: Sequence[Any]) -> list[Any]:
    return list(items)


def callers(peer: Peer, items: Sequence[Any]) -> list[asyncio.Task[Any]]:
    async def one(item: Any) -> Any:
        return await peer.submit(item)

    return [asyncio.create_task(one(item)) for item in items]


async def ended(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """Their results and errors; TimeoutError where one hangs."""
    _, waiting = await asyncio.wait(tasks, timeout=DEADLINE_S / 3)
    for task in waiting:
        task.cancel()
    if waiting:
        raise TimeoutError(f"{len(waiting)} of {len(tasks)} callers hang")
    return await asyncio.gather(*tasks, return_exceptions=True)


async def cancelled_callers(make: Make) -> None:
    for when in ("before the call", "during the call"):
        held = Held()
        peer = make(held)
        tasks = callers(peer, [1, 2, 3, 4] if when == "during the call" else [1, 2, 3])
        if when == "during the call":
            await held.started.wait()
        else:
            await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        held.go.set()
        results = await ended(tasks)
        assert results[1:] == [1, 2, 3, 4][1 : len(tasks)], f"{when}: others got {results[1:]}"
        assert await ended(callers(peer, [5])) == [5], f"{when}: the next caller is hurt"


async def nobody_left(make: Make) -> None:
    held = Held()
    peer = make(held, max_items=2)
    tasks = callers(peer, [1, 2])
    await held.started.wait()
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0.01)
    assert held.cancelled == 1, "the call goes on for nobody"
    held.go.set()


async def leader_leaves(make: Make) -> None:
    held = Held()
    peer = make(held, unique=lambda item: item)
    tasks = callers(peer, ["same"] * 3)
    await held.started.wait()
    tasks[0].cancel()
    late = callers(peer, ["same"])
    await asyncio.sleep(0)
    held.go.set()
    results = await ended([*tasks[1:], *late])
    assert results == ["same"] * 3, f"the others got {results}"


async def raising_keys(make: Make) -> None:
    def key(item: Any) -> Any:
        return [] if item == 0 else item

    peer = make(quick, unique=key)
    results = await ended(callers(peer, [0, 1]))
    assert isinstance(results[0], Exception), "an unhashable key was taken"
    assert results[1] == 1, f"the other caller got {results[1]!r}"


async def other_shapes(make: Make) -> None:
    async def of_shape(items: Sequence[Any]) -> Any:
        return shape

    for shape in ([1], [1, 2, 3], (n for n in range(3)), 7):
        results = await ended(callers(make(of_shape, max_items=2), [1, 2]))
        assert all(isinstance(each, Exception) for each in results), f"{shape} gave {results}"
    gone = LookupError("gone")

    async def partly(items: Sequence[Any]) -> Any:
        return [gone, *items[1:]]

    results = await ended(callers(make(partly, max_items=2), [1, 2]))
    assert isinstance(results[0], Exception), "an exception among the answers is a result"
    assert results[1] == 2, "one item's exception is everybody's"


async def same_moment(make: Make) -> None:
    peer = make(quick, max_wait_ms=5, max_items=9)
    loop = asyncio.get_running_loop()
    late: list[asyncio.Task[Any]] = []
    first = callers(peer, [1])
    await asyncio.sleep(0)
    loop.call_at(loop.time() + 0.005, lambda: late.extend(callers(peer, [2])))
    assert await ended(first) == [1]
    await asyncio.sleep(0.02)
    assert await ended(late) == [2]
    last = callers(peer, [3])
    await asyncio.sleep(0)
    await asyncio.wait_for(peer.close(), DEADLINE_S / 3)
    assert await ended(last) == [3], "an item in the turn of the close is lost"


async def long_idle(make: Make) -> None:
    peer = make(quick, max_wait_ms=1)
    assert await ended(callers(peer, [1])) == [1]
    loop = asyncio.get_running_loop()
    clock = loop.time
    loop.time = lambda: clock() + 7_200  # type: ignore[method-assign]
    await asyncio.sleep(0)
    assert await ended(callers(peer, [2])) == [2]


async def second_loop(make: Make) -> None:
    peer = make(quick, max_wait_ms=1)
    assert await ended(callers(peer, [1])) == [1]

    async def other() -> Any:
        return await asyncio.wait_for(peer.submit(2), DEADLINE_S / 6)

    def in_a_thread() -> Any:
        try:
            return asyncio.run(other())
        except TimeoutError:
            return "hangs"
        except Exception:
            return "refused"

    said = await asyncio.to_thread(in_a_thread)
    assert said in (2, "refused"), "a caller in a second event loop hangs"
    assert await ended(callers(peer, [3])) == [3], "the first loop's callers are hurt"


async def blocking(make: Make) -> None:
    release = threading.Event()

    async def function(items: Sequence[Any]) -> list[Any]:
        if 1 in items:
            await asyncio.to_thread(release.wait, DEADLINE_S)
        return list(items)

    peer = make(function, max_items=2, max_wait_ms=1)
    slow = callers(peer, [1])
    await asyncio.sleep(0.01)
    try:
        assert await ended(callers(peer, [2])) == [2]
    finally:
        release.set()
    assert await ended(slow) == [1]


async def calls_itself(make: Make) -> None:
    async def function(items: Sequence[Any]) -> list[Any]:
        return [await peer.submit(item - 1) if item else 0 for item in items]

    with suppress(NotSaid):
        peer = make(function, max_items=2, max_wait_ms=1, max_in_flight=1)
        await ended(callers(peer, [3]))
        return
    peer = make(function, max_items=2)
    await ended(callers(peer, [3]))


async def more_than_fit(make: Make) -> None:
    sizes: list[int] = []

    async def function(items: Sequence[Any]) -> list[Any]:
        sizes.append(len(items))
        return list(items)

    peer = make(function, max_items=2, max_wait_ms=1, max_pending=5)
    results = await asyncio.wait_for(peer.submit_many(range(50)), DEADLINE_S / 3)
    assert max(sizes) <= 2
    assert list(results) == list(range(50)), "items were refused"


async def short_timeout(make: Make) -> None:
    held = Held()
    peer = make(held, max_items=3)
    impatient = asyncio.create_task(asyncio.wait_for(_awaited(peer, 1), 0.005))
    others = callers(peer, [2, 3])
    await asyncio.wait([impatient])
    others += callers(peer, [4])
    held.go.set()
    results = await ended(others)
    assert results == [2, 3, 4], f"the others got {results}"


async def zero_caps(make: Make) -> None:
    for wrong in ("max_items", "max_in_flight"):
        with suppress(NotSaid):
            try:
                make(quick, **{wrong: 0})
            except (ValueError, AssertionError):
                continue
            raise AssertionError(f"{wrong}=0 is taken")
    assert list(await make(quick).submit_many([])) == []


async def timeout_around(make: Make) -> None:
    before = asyncio.all_tasks()
    held = Held()
    peer = make(held, max_items=2)

    async def many() -> None:
        async with asyncio.timeout(0.03), asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(_awaited(peer, number))

    with suppress(TimeoutError):
        await many()
    await asyncio.sleep(0.01)
    assert held.cancelled == len(held.calls), "calls go on for nobody"
    await asyncio.wait_for(peer.close(), DEADLINE_S / 3)
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before, "tasks are left"


async def _awaited(peer: Peer, item: Any) -> Any:
    return await peer.submit(item)


Failure = Callable[[Make], Awaitable[None]]

FAILURES: dict[int, tuple[str, Failure]] = {
    1: ("callers cancelled before, during and after the call", cancelled_callers),
    2: ("all callers gone: the call is cancelled", nobody_left),
    3: ("the first of equal callers is cancelled", leader_leaves),
    4: ("an unhashable key is that caller's error", raising_keys),
    5: ("answers short, long, no list, with exceptions", other_shapes),
    6: ("an item in the moment of the timer, of the close", same_moment),
    7: ("idle for hours, then one item", long_idle),
    8: ("a caller in a second event loop, in a thread", second_loop),
    9: ("a blocking function does not freeze the timers", blocking),
    10: ("a function that submits to itself", calls_itself),
    11: ("a list above max_items and max_pending", more_than_fit),
    12: ("a caller's timeout shorter than the window", short_timeout),
    17: ("every cap at 0; nothing to do", zero_caps),
    18: ("a timeout around a task group: no task is left", timeout_around),
}
"""By the numbers of the list; 13 to 16 are of stages: `stage_failures`."""
