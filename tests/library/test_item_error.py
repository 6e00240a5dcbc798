"""`ItemError`: what a code looks like, and what becomes of one that does not."""

from __future__ import annotations

import copy
import enum
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from streams import ItemError, map_batches
from streams.errors import InvalidCodeError, plain
from streams.policies.code_counts import MAX_CODES, CodeCounts

WRONG: list[Any] = [
    ["a", "list"], {}, None, 7, b"bytes", "", "Upper", "two words", "a\nb", "a\n", 'quo"te', "1st",
    "_x", "with-dash", "x" * 65, "\u00fcn\u00efcode", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("code", WRONG, ids=repr)
def test_a_code_that_is_none_is_an_error_where_it_is_given(code: Any) -> None:
    with pytest.raises(ValueError, match="starts with a letter, such as 'not_a_review'; this is"):
        ItemError(code, "message")
    error = ItemError("fine")
    with pytest.raises(InvalidCodeError):
        error.code = code
    assert error.code == "fine"


@pytest.mark.parametrize("code", ["a", "no_text", "x" * 64, "http_404"])
def test_a_short_snake_case_word_is_a_code(code: str) -> None:
    assert ItemError(code).code == code


def test_a_member_of_an_enum_is_its_text() -> None:
    class Code(str, enum.Enum):  # noqa: UP042  as older code has them
        RUDE = "too_rude"

    assert type(ItemError(Code.RUDE).code) is str
    assert str(ItemError(Code.RUDE, "no")) == "too_rude: no"


class RudeError(ItemError):
    """A subclass with arguments of its own."""

    def __init__(self, words: int) -> None:
        super().__init__("too_rude", f"{words} words")
        self.words = words


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_item_error_passes_between_processes(protocol: int) -> None:
    """As those of a process pool do."""
    for error in (
        ItemError("too_rude", "no"),
        ItemError("bare"),
        RudeError(3),
        copy.copy(RudeError(3)),
    ):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert (type(again), again.code, again.message) == (type(error), error.code, error.message)
        assert (str(again), vars(again)) == (str(error), vars(error))


class ListedError(ItemError):
    code: Any = ("no", "code")

    def __init__(self) -> None:
        pass


class RaisesError(ItemError):
    def __init__(self) -> None:
        pass

    @property
    def code(self) -> str:
        raise RuntimeError("no code")


class SilentError(ItemError):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    "error", [ListedError(), RaisesError(), SilentError()], ids=lambda error: type(error).__name__
)
def test_a_subclass_whose_code_is_none_is_a_function_error(error: ItemError) -> None:
    assert plain(error).code == "function_error"
    assert type(plain(error)) is ItemError


async def test_in_map_batches_the_message_says_where_the_code_was_given_and_the_cause_why() -> None:
    async def process(items: Sequence[int]) -> list[Any]:
        return [ItemError(f"bad item {item}") if item == 1 else item for item in items]

    results: list[Any] = await map_batches(process, range(3), max_items=3, split=True)
    assert results[0] == 0
    assert results[2] == 2
    assert results[1].code == "function_error"
    assert results[1].message.startswith("InvalidCodeError at test_item_error.py:")
    assert "'bad item 1'" in str(results[1].__cause__)


async def test_in_map_batches_a_raised_subclass_without_a_code_ends_no_run() -> None:
    async def process(items: Sequence[int]) -> list[Any]:
        raise ListedError

    results: list[Any] = await map_batches(process, [1, 2])
    assert [error.code for error in results] == ["function_error"] * 2


def test_counts_by_code_name_the_first_100_codes() -> None:
    counts = CodeCounts()
    for number in range(10_000):
        counts.add(f"code_{number}")
    counts.add("code_0")
    assert len(counts) == MAX_CODES + 1
    assert (counts["code_0"], counts["other"]) == (2, 10_000 - MAX_CODES)
