"""The one bar: what it shows on a terminal, and where there is none."""

from __future__ import annotations

import contextlib
import os
import pty

import pytest

from streams.running import bar as room
from streams.running.bar import Bar, State


def shown_off_a_terminal(states: list[State], *, stays: bool = False) -> None:
    with Bar(stays=stays) as bar:
        for state in states:
            bar.show(lambda state=state: state)  # type: ignore[misc]


def test_off_a_terminal_it_is_a_line_now_and_then_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [State(f"{n} rows", "3 calls", n, 100) for n in (10, 55, 100)]
    shown_off_a_terminal(states)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(room, "LINE_EVERY_S", 0.0)
    clock = iter(float(n) for n in range(100))
    monkeypatch.setattr(room.time, "monotonic", lambda: next(clock))
    shown_off_a_terminal(states)
    first, half, last = capsys.readouterr().err.splitlines()
    assert first == "10 rows  3 calls"
    assert half.startswith("55 rows  3 calls  ")
    assert half.endswith(" s left")
    assert last == "100 rows  3 calls"


def test_what_it_shows_is_asked_for_when_it_is_time() -> None:
    with Bar() as bar:
        bar.show(lambda: State("", "", 0, None))
        bar.show(lambda: pytest.fail("asked too often"))


def test_its_last_state_may_stay(capsys: pytest.CaptureFixture[str]) -> None:
    shown_off_a_terminal([State("1/2", "a", 1, 2), State("2/2", "b", 2, 2)], stays=True)
    assert capsys.readouterr().err == "2/2  b\n"


def all_of(terminal: int) -> str:
    """What was written to the other end, which is closed; one read gives 4 kB at most."""
    pieces = []
    with contextlib.suppress(OSError):  # Linux's way to say that this is the end
        while piece := os.read(terminal, 100_000):
            pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode()


def test_on_a_terminal_it_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = pty.openpty()
    with os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("TERM", "xterm")
        with Bar(stays=True) as bar:
            bar.tell("a [line] above")
            bar.show(lambda: State("7 rows", "3 calls  $0.1000", 7, 10))
    written = all_of(reading)
    for part in ("a [line] above", "7 rows", "━", "3 calls  $0.1000"):
        assert part in written
