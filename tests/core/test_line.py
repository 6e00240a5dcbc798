"""Whose turn it is among those who wait: by priority, and one of ten turns by the wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.core.line import TURNS, Line


class Waiter:
    def __init__(self, number: int, priority: int) -> None:
        self.number, self.priority = number, priority

    def __repr__(self) -> str:
        return f"{self.number} of priority {self.priority}"


PRIORITIES = st.lists(st.integers(-3, 3), min_size=1, max_size=6)


def waiters(priorities: list[int]) -> list[Waiter]:
    return [Waiter(number, priority) for number, priority in enumerate(priorities)]


@given(PRIORITIES, st.lists(st.integers(0, 5), max_size=120))
def test_a_turn_is_of_the_highest_until_lower_ones_have_waited_for_nine(
    priorities: list[int], steps: list[int]
) -> None:
    """A step stands a member in line, or serves the next where it waits already."""
    members = waiters(priorities)
    line: Line[Waiter] = Line()
    waiting: list[Waiter] = []
    passes = 0
    for step in steps:
        member = members[step % len(members)]
        if member not in waiting:
            line.stand(member)
            waiting.append(member)
            assert list(line) == waiting
            continue
        turns = line.turns()
        assert sorted(turns, key=waiting.index) == waiting
        top = max(each.priority for each in waiting)
        highest = next(each for each in waiting if each.priority == top)
        lower = [each for each in waiting if each.priority < top]
        assert turns[0] is (lower[0] if lower and passes == TURNS - 1 else highest)
        if turns[0].priority < top:
            passes = 0
        elif lower:
            passes += 1
        line.serve(turns[0])
        waiting.remove(turns[0])


@given(PRIORITIES, st.integers(1, 5))
def test_lower_ones_that_never_stop_asking_have_a_tenth_of_the_turns_together(
    priorities: list[int], rounds: int
) -> None:
    members = waiters(priorities)
    line: Line[Waiter] = Line()
    for member in members:
        line.stand(member)
    top, served = max(priorities), []
    for _ in range(rounds * TURNS):
        served.append(line.turns()[0])
        line.serve(served[-1])
        line.stand(served[-1])
    lower = [each for each in served if each.priority < top]
    assert len(lower) == (rounds if min(priorities) < top else 0)
    for each in {each for each in members if each.priority < top}:
        assert lower.count(each) >= rounds // sum(other < top for other in priorities)


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=80))
def test_equals_take_turns(count: int, steps: list[bool]) -> None:
    members = waiters([2] * count)
    line: Line[Waiter] = Line()
    waiting: list[Waiter] = []
    for step, stands in enumerate(steps):
        member = members[step % count]
        if stands or not waiting:
            line.stand(member)
            waiting += [member] * (member not in waiting)
        else:
            assert line.turns() == waiting
            line.serve(waiting.pop(0))


def test_who_asks_and_does_not_wait_yet_has_a_turn_like_one_that_came_last() -> None:
    low, high, newcomer = waiters([0, 5, 5])
    line: Line[Waiter] = Line()
    line.stand(low)
    line.stand(high)
    assert line.turns(newcomer) == [high, newcomer, low]
    assert newcomer not in line
