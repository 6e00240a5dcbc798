"""What `diff` sees of a result, whichever way it was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.strict_json import read
from streams.errors import UsageError
from streams.jobs.diff.enriched import Usage, enriched
from tests.diff.written import label, replay_headers, result

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_an_envelope_says_where_its_item_was_and_what_it_took() -> None:
    found = enriched(result(17, label("good"), partition=3))
    assert found is not None
    assert (found.topic, found.partition, found.offset) == ("reviews", 3, 17)
    assert (found.id, found.task, found.fingerprint, found.run) == (
        *(b'"id-3-17"', "mood", "old", ""),
    )
    assert found.result == b'{"label":"good"}'
    assert found.usage() == Usage(60, 14, 2_000)
    assert (found.source_ms, found.done_ms) == (1_700_000_000_000, 1_700_000_005_000)


def test_the_time_of_a_result_is_that_of_the_broker_where_it_wrote_one() -> None:
    found = enriched(result(1, label("a"), appended_ms=1_700_000_009_000))
    assert found is not None
    assert found.done_ms == 1_700_000_009_000


@given(outcome=st.dictionaries(st.text(), JSON, min_size=1, max_size=4), id=JSON)
def test_an_envelope_reads_the_same_with_and_without_a_parser(outcome: Any, id: Any) -> None:
    ours = result(5, outcome, id=id, cost=None)
    assert ours.value is not None
    parsed = read(ours.value)
    if "mood" not in str(parsed.get("task")):
        return
    other = ours._replace(value=json.dumps(parsed, indent=1).encode())
    one, two = enriched(ours), enriched(other)
    assert one is not None
    assert two is not None
    assert read(one.result) == read(two.result) == parsed["result"]
    assert read(one.id) == read(two.id) == parsed["id"]
    without = {"result": b"", "id": b""}
    assert one._replace(**without) == two._replace(**without)


@pytest.mark.parametrize("outcome", [{"text": ""}, {"text": "x", "more": [1, {"source": 2}]}])
def test_a_result_that_quotes_an_envelope_is_taken_for_nothing_else(outcome: Any) -> None:
    inner = result(99, label("wrong"), partition=9).value
    assert inner is not None
    found = enriched(result(5, {**outcome, "text": inner.decode()}))
    assert found is not None
    assert (found.partition, found.offset) == (0, 5)
    assert read(found.result)["text"] == inner.decode()


def test_a_merged_result_has_its_position_from_the_headers_of_a_replay() -> None:
    live = enriched(result(5, label("good"), mode="merge"))
    assert live is not None
    assert (live.offset, live.id, live.result) == (-1, b'"id-0-5"', b'{"label":"good"}')
    replayed = enriched(result(5, label("good"), mode="merge", partition=2, run="r1"))
    assert replayed is not None
    assert (replayed.partition, replayed.offset, replayed.run) == (2, 5, "r1")
    assert replayed.fingerprint == "old"


def test_a_bare_result_has_its_position_from_the_headers_of_a_replay() -> None:
    found = enriched(result(5, label("good"), mode="result", run="r1"))
    assert found is not None
    assert (found.offset, found.id, found.result) == (5, b"", b'{"label":"good"}')


def test_headers_that_another_task_s_replay_left_on_the_source_say_nothing() -> None:
    """Key and headers of the source are kept, those of our names too."""
    stale = replay_headers("earlier", "x", 7, 700)
    found = enriched(result(5, label("good"), headers=stale))
    assert found is not None
    assert (found.offset, found.run, found.fingerprint) == (5, "", "old")
    own = enriched(result(5, label("good"), headers=stale, run="r2"))
    assert own is not None
    assert own.run == "r2"


def test_of_several_tasks_in_one_object_one_must_be_named() -> None:
    raw = b'{"id":1,"enrichment":{"lang":{"label":"en"}}}'
    record = result(5, label("good"), mode="merge", raw=raw)
    with pytest.raises(UsageError, match=r"name one with --task \(lang, mood\)"):
        enriched(record)
    found = enriched(record, "lang")
    assert found is not None
    assert found.result == b'{"label":"en"}'
    assert enriched(record, "else") is None


def test_what_is_no_json_is_no_result() -> None:
    assert enriched(result(1, label("a"))._replace(value=b"{")) is None
