"""The account finds each broken promise, and excuses what the contract excuses."""

from __future__ import annotations

import pytest

from tests.chaos.account import Account, Call, Copy


def account(guarantee: str = "at_least_once", items: int = 10) -> Account:
    made = Account(guarantee)
    for offset in range(items):
        made.offer((0, offset), f"item {offset}")
    return made


def emit(made: Account, *offsets: int, writer: str = "w0", code: str = "", at_s: float = 1.0):
    for offset in offsets:
        place = len(made.in_order)
        made.emitted(Copy("s.out", 0, place, (0, offset), writer, code, at_s))


def told(made: Account) -> list[str]:
    return [what for _, what in made.violations()]


def test_a_run_without_a_fault_breaks_nothing():
    made = account()
    emit(made, *range(10))
    made.committed(2.0, {0: 10})
    assert made.violations() == []
    assert made.figures()["lost"] == made.figures()["duplicates_allowed"] == 0


def test_an_item_without_an_outcome_is_lost():
    made = account()
    emit(made, *range(9))
    assert made.violations() == [((0, 9), "lost: no outcome in a topic")]


def test_an_outcome_of_nothing_is_no_outcome():
    made = account(items=1)
    emit(made, 0, 1)
    assert told(made) == ["an outcome of an item that nobody offered"]


def test_first_copies_out_of_order_are_found_and_later_copies_are_not():
    made = account(items=4)
    emit(made, 0, 2, 1, 3)
    assert told(made) == ["out of order: after 2 in s.out/0"]
    again = account(items=4)
    emit(again, 0, 1, 2, 3)
    emit(again, 1, 2, writer="w1")
    again.lost(1.5, "w0", "killed", {0: 1})
    assert again.violations() == []


def test_a_copy_is_excused_by_the_loss_of_its_writer_before_its_commit_and_by_nothing_else():
    made = account(items=3)
    emit(made, 0, 1, 2)
    emit(made, 0, 1, 2, writer="w1")
    made.lost(1.5, "w0", "killed", {0: 1})
    assert told(made) == ["2 copies, 0 more than one are excused"]  # of item 0, committed
    other = account(items=1)
    emit(other, 0)
    emit(other, 0, writer="w1")
    other.lost(1.5, "w2", "killed", {})
    assert told(other) == ["2 copies, 0 more than one are excused"]


def test_what_a_worker_writes_after_it_came_back_is_not_excused():
    made = account(items=1)
    made.lost(1.0, "w0", "frozen", {})
    made.back("frozen", 5.0, "w0")
    emit(made, 0, writer="w1", at_s=2.0)
    emit(made, 0, writer="w0", at_s=4.0)
    assert made.violations() == []
    emit(made, 0, writer="w0", at_s=8.0)
    assert told(made) == ["3 copies, 1 more than one are excused"]


def test_exactly_once_excuses_no_copy():
    made = account("exactly_once", items=1)
    emit(made, 0)
    emit(made, 0, writer="w1")
    made.lost(1.5, "w0", "killed", {})
    assert told(made) == ["2 copies, 0 more than one are excused"]


def test_a_commit_that_goes_back_is_a_zombies():
    made = account(items=5)
    emit(made, *range(5))
    made.committed(1.0, {0: 5})
    made.committed(2.0, {0: 3})
    assert told(made) == ["committed went back from 5 to 3"]


@pytest.mark.parametrize(
    ("faults", "fine"), [(0, False), (2, False), (3, True)], ids=["none", "two", "three"]
)
def test_a_healthy_item_is_a_dead_letter_only_after_the_apis_own_faults(faults, fine):
    made = account(items=1)
    emit(made, 0, code="no_answer")
    made.paid[(0, 0)] = [Call(1.0, 200, "missing")] * faults
    assert told(made) == ([] if fine else ["a healthy item is a dead letter: no_answer"])


@pytest.mark.parametrize(("fault", "fine"), [("max_tokens", True), ("missing", False)])
def test_an_item_whose_answer_was_cut_may_be_a_dead_letter_at_once(fault, fine):
    made = account(items=1)
    emit(made, 0, code="truncated")
    made.paid[(0, 0)] = [Call(1.0, 200, fault)]
    assert told(made) == ([] if fine else ["a healthy item is a dead letter: truncated"])


def test_a_poison_item_with_a_result_is_found():
    made = account(items=1)
    made.poison.add((0, 0))
    emit(made, 0)
    assert told(made) == ["a poison item has a result"]


def test_the_history_of_an_item_tells_all_that_is_known_of_it_in_order():
    made = account(items=2)
    made.events.append((0.5, "kill 0"))
    made.paid[(0, 1)] = [Call(0.4, 529, "overloaded"), Call(0.9, 200, None)]
    emit(made, 0, 1)
    made.committed(1.2, {0: 2})
    made.lost(0.6, "w0", "killed", {0: 1})
    lines = made.history((0, 1)).splitlines()
    assert lines[0] == "item 0/1 'item 1'"
    assert [line.split(" s  ")[1].split(":")[0] for line in lines[1:]] == [
        "paid", "kill 0", "w0 lost (killed), committed 1", "paid", "emitted", "committed",
    ]  # fmt: skip
