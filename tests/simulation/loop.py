"""An event loop without a clock, sockets or threads: time jumps to the next timer.

Everything that asyncio builds on a loop works as ever: tasks, `sleep`, `timeout`, `wait`, locks.
The order of what runs depends on nothing but the program, so that the same seed is the same run.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError

AIOKAFKA = str(Path(aiokafka.__file__).parent)

EPOCH_S = 1_700_000_000.0
"""What `time.time()` says when the loop begins."""


class NothingLeft(RuntimeError):  # noqa: N818  # a fact, not a fault of the loop
    """Nothing is ready and no timer runs: what is awaited will never happen."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()`: seconds since the loop was made."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-6
        self._selector = self  # asyncio asks it how long to sleep, and nothing else
        self.defects: list[str] = []
        self.set_exception_handler(self._note_defect)

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise NothingLeft(f"nothing will ever happen after {self._now:.3f} s")
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        return []

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _note_defect(self, _loop: Any, context: dict[str, Any]) -> None:
        """What asyncio would log: an error that nobody caught. What aiokafka forgets of producers
        that have failed is its own."""
        task = context.get("task") or context.get("future")
        left = isinstance(task, asyncio.Task) and AIOKAFKA in _file(task)
        if left or isinstance(context.get("exception"), KafkaError):
            return
        self.defects.append(f"{context.get('message')}: {context.get('exception')!r}")


def _file(task: asyncio.Task[Any]) -> str:
    """Where the code of a task stands."""
    coroutine: Any = task.get_coro()
    return str(coroutine.cr_code.co_filename)


@contextmanager
def virtual_world(
    seed: int, instead: Mapping[Any, Any] = MappingProxyType({})
) -> Iterator[VirtualLoop]:
    """A loop to run in; meanwhile the modules of `streams` see its time as the time of day, chance
    comes from `seed`, and nothing is logged. `instead`: what else they see, by what is replaced."""
    loop = VirtualLoop()
    clock = SimpleNamespace(
        time=lambda: EPOCH_S + loop.time(), monotonic=loop.time, perf_counter=loop.time
    )
    stands_in = {
        time: clock,
        secrets: SimpleNamespace(token_hex=lambda n: f"{seed:0{2 * n}x}"),
        **instead,
    }
    ours = [module for name, module in sys.modules.items() if name.startswith("streams.")]
    seeing = [
        (vars(module), real)
        for module in ours
        for real in stands_in
        if vars(module).get(real.__name__) is real
    ]
    chance, disabled = random.getstate(), logging.root.manager.disable
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    for names, real in seeing:
        names[real.__name__] = stands_in[real]
    try:
        asyncio.set_event_loop(loop)
        yield loop
    finally:
        for names, real in seeing:
            names[real.__name__] = real
        logging.disable(disabled)
        random.setstate(chance)
        asyncio.set_event_loop(None)
        loop.close()
