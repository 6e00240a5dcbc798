"""Which record of an item counts, and which versions a side has."""

from __future__ import annotations

import pytest

from streams.errors import UsageError
from streams.jobs.diff.item_places import Numbers
from streams.jobs.diff.survey import LIVE, Selection, UnmatchedError, sides
from tests.diff.written import compared, label, numbered, result, survey


def test_of_several_results_of_an_item_the_last_counts() -> None:
    a = {0: numbered([result(1, label("x")), result(1, label("y"))])}
    b = {0: numbered([result(1, label("y"))])}
    found = compared(a, b)
    assert (found.compared["label"], found.equal["label"]) == (1, 1)


def test_one_topic_alone_is_its_oldest_fingerprint_against_its_newest() -> None:
    """Whatever came between them."""
    records = [
        *(result(n, label("x"), fingerprint="f1", now_ms=1_000) for n in range(4)),
        *(result(n, label("z"), fingerprint="f2", run="r1", now_ms=2_000) for n in range(4)),
        *(result(n, label("y"), fingerprint="f3", run="r2", now_ms=3_000) for n in range(3)),
    ]
    topic = {0: numbered(records)}
    found = compared(topic, topic)
    assert found.labels.flips == {("x", "y"): 3}
    assert (found.missing["a"], found.missing["b"]) == (1, 0)


def test_under_one_fingerprint_the_oldest_run_stands_against_the_newest() -> None:
    topic = {0: numbered([result(1, label("x")), result(1, label("y"), run="again", now_ms=2**41)])}
    assert compared(topic, topic).labels.flips == {("x", "y"): 1}


def test_what_a_selection_names_stands_against_all_else() -> None:
    topic = {
        0: numbered(
            [
                result(1, label("x")),
                result(1, label("y"), fingerprint="new", run="r1"),
                result(1, label("z"), fingerprint="newer", run="r2"),
            ]
        )
    }
    for of_a, of_b, flip in (
        (Selection(), Selection(run="r1"), ("z", "y")),
        (Selection(run=LIVE), Selection(), ("x", "z")),
        (Selection(run=LIVE), Selection(fingerprint="newe"), ("x", "z")),
        (Selection(run="r2"), Selection(run="r1"), ("z", "y")),
    ):
        assert compared(topic, topic, of_a=of_a, of_b=of_b).labels.flips == {flip: 1}


def test_a_selection_holds_for_two_topics_too() -> None:
    a = {0: numbered([result(1, label("x")), result(1, label("y"), run="r1")])}
    b = {0: numbered([result(1, label("x"))])}
    assert compared(a, b, of_a=Selection(run=LIVE)).equal["label"] == 1
    assert compared(a, b).equal["label"] == 0


def test_what_is_not_there_to_select_is_wrong_usage_that_lists_what_is() -> None:
    found = survey({0: numbered([result(1, label("x"))])}, Numbers("position"))
    with pytest.raises(UsageError, match=r"no such results; it has fingerprint old, run live"):
        sides(found, found, Selection(run="no"), Selection(run="r"))
    with pytest.raises(UsageError, match="t has one version only"):
        sides(found, found, Selection(), Selection())
    with pytest.raises(UsageError, match="nothing but"):
        sides(found, found, Selection(run=LIVE), Selection())


def test_results_of_two_tasks_in_one_topic_are_wrong_usage_until_one_is_named() -> None:
    topic = {0: numbered([result(1, label("x")), result(1, label("y"), task="lang")])}
    with pytest.raises(UsageError, match=r"several tasks: name one with --task \(lang, mood\)"):
        survey(topic, Numbers("position"))
    found = survey(topic, Numbers("position"), task="lang")
    assert (found.records, found.others) == (2, 1)


def test_a_record_without_a_position_sends_the_survey_on_to_ids() -> None:
    topic = {0: numbered([result(1, label("x"), mode="merge")])}
    with pytest.raises(UnmatchedError):
        survey(topic, Numbers("position"))
    assert survey(topic, Numbers("id")).nameless == 0
    bare = {0: numbered([result(1, label("x"), mode="result", key=b"k")])}
    with pytest.raises(UnmatchedError):
        survey(bare, Numbers("id"))
    assert survey(bare, Numbers("key")).nameless == 0


def test_tombstones_and_what_is_no_result_are_counted_apart() -> None:
    one = result(1, label("x"))
    found = survey(
        {0: numbered([one._replace(value=None), one._replace(value=b"?"), one])},
        Numbers("position"),
    )
    assert (found.records, found.tombstones, found.others) == (3, 1, 1)
