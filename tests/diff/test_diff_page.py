"""The comparison as JSON, as a table and as a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from streams.codec.strict_json import compact
from streams.jobs.diff import Diff, page, table
from streams.jobs.diff.diff_figures import change, milliseconds, share
from streams.jobs.diff.diff_summary import item_of, summary
from streams.jobs.diff.diffing import Found, Surveys
from streams.jobs.diff.item_places import Numbers
from streams.jobs.diff.survey import ANYTHING, sides
from streams.model import Position
from tests.diff.written import compared, label, numbered, result, survey

HOSTILE = "<script>alert(1)</script>\x1b[2J"


def summary_of(*pairs: tuple[Any, Any], texts: str = "t") -> dict[str, Any]:
    """Each pair: both outcomes of an item; the last item is missing in b."""
    a = {0: numbered([result(n, both[0]) for n, both in enumerate(pairs)])}
    b = {0: numbered([result(n, both[1]) for n, both in enumerate(pairs[:-1])])}
    numbers = Numbers("position")
    surveys = survey(a, numbers, "old"), survey(b, numbers, "new")
    versions = sides(*surveys, ANYTHING, ANYTHING)
    found = {Position("reviews", 0, n): texts for n in range(len(pairs))}
    job = Diff("old", "new")
    return summary(Found(job, Surveys(numbers, *surveys, versions), compared(a, b), found, 0.5))


class Tags(HTMLParser):
    """`open`: what is not closed at the end. `names`: of all tags."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


KINDS = {
    "labels": [(label("x"), label("y")), (label("y"), label("y"))],
    "fields": [({"a": 1, "b": 1}, {"a": 2, "b": 1}), ({"a": 1, "b": 1}, {"a": 1, "b": 1})],
    "embeddings": [
        ({"embedding": [1.0, 0.0], "dim": 2}, {"embedding": [0.0, 1.0], "dim": 2}),
        ({"embedding": [1.0, 0.0], "dim": 2}, {"embedding": [1.0, 0.0], "dim": 2}),
    ],
    "texts": [({"text": "a"}, {"text": "b"}), ({"text": "a"}, {"text": "a"})],
    "values": [([1], [2]), ([1], [1])],
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_section_and_no_other_has_one(kind: str) -> None:
    found = summary_of(*KINDS[kind], KINDS[kind][0])
    assert (found["compared"], found["equal"], found["agreement"]) == (2, 1, 0.5)
    assert (found["missing_in_a"], found["missing_in_b"]) == (0, 1)
    assert [name for name in KINDS if found[name] is not None] == [kind]
    assert "50.00 %" in table(found)
    assert "1 items of a are missing in b" in table(found)
    assert Tags(page(found)).open == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_needs_no_network_and_runs_nothing(kind: str) -> None:
    text = page(summary_of(*KINDS[kind], KINDS[kind][0], texts=HOSTILE))
    assert "script" not in Tags(text).names
    assert not re.search(r"(?:src|href)=\"(?!data:,)", text)
    assert "url(" not in text


def test_what_a_record_holds_controls_neither_page_nor_terminal() -> None:
    pairs = [(label(HOSTILE), label("y")), (label("y"), label("y"))]
    found = summary_of(*pairs, texts=HOSTILE)
    assert "\x1b" not in table(found)
    compact(found).encode()
    page(found).encode()
    table(found).encode()


def test_a_lone_surrogate_in_an_id_spoils_no_report() -> None:
    raw = b'{"id":"\\ud800","text":"t"}'
    a = {0: [result(0, label("x"), mode="merge", raw=raw)]}
    b = {0: [result(0, label("y"), mode="merge", raw=raw)]}
    found = compared(a, b, by="id")
    (example,) = found.labels.examples("x", "y")
    assert item_of(example.pair.a, {})["id"] == "\ufffd"


def test_flips_come_with_the_texts_of_their_examples() -> None:
    (flip,) = summary_of(*KINDS["labels"], KINDS["labels"][1], texts="it broke")["labels"]["flips"]
    assert (flip["a"], flip["b"], flip["count"], flip["share"]) == ("x", "y", 1, 0.5)
    (example,) = flip["examples"]
    assert (example["id"], example["text"]) == ("id-0-0", "it broke")
    assert example["source"] == {"topic": "reviews", "partition": 0, "offset": 0}


def test_a_comparison_of_nothing_says_so() -> None:
    found = summary_of((label("x"), label("x")))
    assert (found["compared"], found["agreement"]) == (0, None)
    assert "0 items compared by position: – the same" in table(found)
    assert Tags(page(found)).open == []


def test_a_share_that_is_not_all_never_reads_as_all() -> None:
    assert [share(each) for each in (1, 0.99999, 0.5, 0.00001, 0, None)] == [
        *("100.00 %", "> 99.99 %", "50.00 %", "< 0.01 %", "0.00 %", "–"),
    ]
    assert (change(2.0, 1.0), change(None, 1.0), change(0, 1)) == ("-50.0 %", "", "")
    assert (milliseconds(9_999), milliseconds(86_400_000)) == ("9,999 ms", "a day or more")
