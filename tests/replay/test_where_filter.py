"""`--where`: which items belong to a range."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from streams.errors import UsageError
from streams.jobs.replay.where_filter import Where

PAGE = Path(__file__).parents[2] / "docs" / "replay.md"


class Record(NamedTuple):
    value: bytes | None


def holds(expression: str, value: Any) -> bool:
    record = Record(orjson.dumps(value))
    return Where(expression).selected([record]) == [record]


@pytest.mark.parametrize(
    ("expression", "inside", "outside"),
    [
        ("stars < `3`", {"stars": 2}, {"stars": 3}),
        ("lang == 'de'", {"lang": "de"}, {"lang": "en"}),
        ("lang != 'de'", {"lang": "en"}, {"lang": "de"}),
        ("contains(text, 'refund')", {"text": "a refund"}, {"text": "fine"}),
        ("starts_with(sku, 'A-')", {"sku": "A-7"}, {"sku": "B-7"}),
        ("product.kind == 'book'", {"product": {"kind": "book"}}, {"product": {}}),
        ("tags[?@ == 'urgent']", {"tags": ["x", "urgent"]}, {"tags": ["x"]}),
        ("length(text) > `5`", {"text": "longer"}, {"text": "short"}),
        ("verified && stars == `5`", {"verified": True, "stars": 5}, {"stars": 5}),
        ("country == null", {"id": 1}, {"country": "NL"}),
    ],
)
def test_the_ten_examples_of_the_page_do_what_it_says(
    expression: str, inside: Any, outside: Any
) -> None:
    assert holds(expression, inside)
    assert not holds(expression, outside)
    assert expression in examples()


def examples() -> list[str]:
    """Those of the page; a backquote within is behind two, and a blank."""
    rows = re.findall(r"^\| (`{1,2})(.+?) ?\1 \| items ", PAGE.read_text(), re.MULTILINE)
    return [row[1].strip() for row in rows if not row[1].startswith("--")]


def test_the_page_has_no_example_that_is_not_tested() -> None:
    assert len(examples()) == 10


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_what_jmespath_calls_false_is_outside(value: Any) -> None:
    assert not holds("field", {"field": value})


@pytest.mark.parametrize("value", [0, 0.0, "no", [0], {"a": None}, True])
def test_everything_else_is_inside_zero_too(value: Any) -> None:
    assert holds("field", {"field": value})


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "empty"),
        ("stars <", "Incomplete expression"),
        ("stars = `3`", "Unknown token '='"),
        ("is_bad(text)", "there is no function is_bad"),
        ("a && size(b)", "there is no function size"),
        ("contains(text)", "contains.. takes 2 arguments, not 1"),
        ("length(a, b)", "length.. takes 1 arguments, not 2"),
        ("merge()", "merge.. takes at least 1 arguments, not 0"),
        ('lang == "de"', "in single quotes"),
    ],
)
def test_an_expression_that_is_wrong_is_refused_before_anything(
    expression: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        Where(expression)


def test_what_it_cannot_judge_is_outside_and_counted() -> None:
    records = [
        Record(None),
        Record(b"no JSON"),
        Record(b"[1]"),
        Record(b'{"text": 7}'),
        Record(b'{"text": "7"}'),
    ]
    where = Where("contains(text, '7')")
    assert where.selected(records) == records[4:]
    assert where.unfit == 4


def test_numbers_beyond_a_machine_word_are_compared() -> None:
    record = Record(b'{"n": 123456789012345678901234567890}')
    assert Where("n > `9007199254740993`").selected([record]) == [record]
