"""The thread that reads a file ahead of its use: `streams.jobs.files.ahead`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

from streams.jobs.files.ahead import PARTS_AHEAD, read_ahead


def the_reader() -> threading.Thread:
    (thread,) = [each for each in threading.enumerate() if each.name == "file-reader"]
    return thread


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What threads left uncaught."""
    found: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    return found


async def test_parts_come_in_order_and_what_drawing_raises_comes_last() -> None:
    def parts() -> Iterator[int]:
        yield from range(50)
        raise ValueError("broken")

    async with aclosing(read_ahead(parts())) as reading:
        assert [await anext(reading) for _ in range(50)] == list(range(50))
        with pytest.raises(ValueError, match="broken"):
            await anext(reading)


async def test_only_a_few_parts_are_read_ahead() -> None:
    drawn: list[int] = []
    asked = threading.Event()

    def parts() -> Iterator[int]:
        for n in range(50):
            drawn.append(n)
            if n == PARTS_AHEAD + 1:
                asked.set()
            yield n

    async with aclosing(read_ahead(parts())) as reading:
        assert await anext(reading) == 0
        assert await asyncio.to_thread(asked.wait, 20)
        assert len(drawn) == PARTS_AHEAD + 2, "one is in use, one waits for room"


@pytest.mark.parametrize("leaves", ["the reader closes", "the loop ends"])
def test_a_reader_that_nobody_waits_for_ends_without_a_word(
    leaves: str, complaints: list[Any]
) -> None:
    """It wrote a traceback while the interpreter ended, which aborted `streams map` (-6 instead of
    2) once in forty runs on a busy machine."""
    waits, goes_on = threading.Event(), threading.Event()

    def parts() -> Iterator[int]:
        yield 0
        waits.set()
        goes_on.wait(20)
        yield 1

    async def program() -> Any:
        reading = read_ahead(parts())
        assert await anext(reading) == 0
        assert await asyncio.to_thread(waits.wait, 20)
        if leaves == "the reader closes":
            await reading.aclose()
        return reading

    reading = asyncio.run(program())
    thread = the_reader()
    goes_on.set()
    thread.join(20)
    assert not thread.is_alive()
    assert complaints == []
    del reading
