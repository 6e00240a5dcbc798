"""A share of `python -m tests.fuzz`, and that it would see what it is there to see."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CallError
from streams.model import Unanswered
from tests.fuzz.__main__ import REPLIES_PER_ROUND, play
from tests.fuzz.api import BrokenApi, Wire
from tests.fuzz.rounds import OPERATIONS, Subject
from tests.fuzz.wired import driven
from tests.operations.conftest import items_of
from tests.properties.effort import effort

FOUND: list[str] = ["1/29"]
"""Rounds that once found a defect: a number of tokens that fits into no float."""


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject()


@pytest.mark.parametrize("round_seed", FOUND)
def test_what_once_failed_does_not_fail_again(round_seed: str, subject: Subject) -> None:
    subject.round(round_seed, REPLIES_PER_ROUND)


def test_no_reply_raises_outside_the_error_tree_and_every_item_has_one_outcome(
    seed: int, subject: Subject
) -> None:
    replies, _ = play(subject, seed, 4_000)
    assert replies >= 4_000
    kinds = {"result", "invalid_answer", "no_answer", "truncated", "refused", "rejected"}
    assert kinds <= set(subject.outcomes), "the replies are not as bad as they were meant to be"


@effort(20)
@given(
    operation=st.sampled_from([*OPERATIONS]),
    body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    status=st.sampled_from([200, 200, 200, 400, 429, 500, 529]),
    count=st.integers(1, 3),
)
def test_any_bytes_are_a_reply_or_a_call_error(
    operation: str, body: bytes, status: int, count: int, subject: Subject
) -> None:
    """Drawn by Hypothesis, so that a failure is as short as it can be."""
    wired = subject.wired[operation]
    wired.api, wired.count = Saying(Wire(status, {"content-type": "application/json"}, body)), count
    try:
        reply = driven(subject.callers[operation](items_of(["x"] * count)))
    except CallError:
        pass
    else:
        assert len(reply.answers) == count
    assert wired.defect is None


class Saying(BrokenApi):
    """An API that says the same to everything."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.right = {}

    def answer(self, count: int, *, embeds: bool) -> Wire:
        return self._wire


class Broken:
    """An operation with a defect: it is given what `read` of the real one gives."""

    def __init__(self, real: Any, defect: Any) -> None:
        self._real = real
        self._defect = defect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def read(self, items: Any, response: Any) -> Any:
        return self._defect(self._real.read(items, response))


def _raises(answers: list[Any]) -> list[Any]:
    if Unanswered.MISSING in answers:
        raise KeyError("of the test")
    return answers


def _refuses_what_is_right(answers: list[Any]) -> list[Any]:
    return [Unanswered.INVALID for _ in answers]


def _changes_what_is_right(answers: list[Any]) -> list[Any]:
    return [{"text": "of the test"} if isinstance(each, dict) else each for each in answers]


def _gives_what_cannot_be_written(answers: list[Any]) -> list[Any]:
    return [{"label": float("nan")} if isinstance(each, dict) else each for each in answers]


@pytest.mark.parametrize(
    "defect",
    [_raises, _refuses_what_is_right, _changes_what_is_right, _gives_what_cannot_be_written],
)
def test_a_defect_of_an_operation_is_seen(defect: Any) -> None:
    broken = Subject()
    for caller in broken.callers.values():
        caller._operation = Broken(caller._operation, defect)
    with pytest.raises(AssertionError, match="failed"):
        play(broken, 1, 2_000)
