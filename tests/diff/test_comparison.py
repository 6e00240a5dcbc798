"""What differs between two results, by kind."""

from __future__ import annotations

from array import array
from math import isclose
from typing import Any

import pytest

from streams.codec.vectors import cosine_distance, vector_of
from streams.jobs.diff.comparison import Comparison
from streams.jobs.diff.differences import field_pairs, is_same, parsed
from streams.jobs.diff.samples import Sample
from tests.diff.written import compared, label, numbered, result


def of(*pairs: tuple[Any, Any], examples: int = 3, **keywords: Any) -> Comparison:
    """Each pair: both outcomes of an item."""
    a = {0: numbered([result(n, both[0], **keywords) for n, both in enumerate(pairs)])}
    b = {0: numbered([result(n, both[1], **keywords) for n, both in enumerate(pairs)])}
    return compared(a, b, examples=examples)


def test_flips_are_counted_by_label_pair_with_examples() -> None:
    found = of(*[(label("x"), label("y"))] * 5, (label("y"), label("y")), examples=2)
    assert found.labels.flips == {("x", "y"): 5, ("y", "y"): 1}
    assert len(found.labels.examples("x", "y")) == 2
    assert found.labels.examples("y", "y") == []


def test_kappa_is_the_agreement_beyond_that_of_chance() -> None:
    """The example of Cohen's kappa in every textbook: 20, 5, 10, 15 make 0.4."""
    yes, no = label("yes"), label("no")
    pairs = [(yes, yes)] * 20 + [(yes, no)] * 5 + [(no, yes)] * 10 + [(no, no)] * 15
    assert isclose(of(*pairs).labels.kappa() or 0, 0.4)
    assert of((yes, yes)).labels.kappa() is None


def test_fields_that_changed_are_counted_each_for_itself() -> None:
    found = of(
        ({"price": 1, "brand": "a"}, {"price": 1.0, "brand": "b"}),
        ({"price": 2, "size": {"cm": 1}}, {"price": 2, "size": {"cm": 2}}),
    )
    assert found.equal["fields"] == 0
    counted = {path: (each.count, each.changed) for path, each in found.fields.fields.items()}
    assert counted == {"/price": (2, 0), "/brand": (1, 1), "/size/cm": (1, 1)}
    (example,) = found.fields.fields["/brand"].sample.items()
    assert (example.a, example.b) == ("a", "b")


def test_a_field_that_one_side_lacks_has_changed_also_to_null() -> None:
    assert [each.changed for each in field_pairs({"a": None}, {})] == [True]
    assert [each.changed for each in field_pairs({"a": None}, {"a": None})] == [False]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [(1, 1.0, True), (1, True, False), ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True), ([1], [1], True),
     ("1", 1, False), (None, False, False), ([1, 2], [2, 1], False)],
)  # fmt: skip
def test_values_are_equal_as_json_schema_has_it(a: Any, b: Any, same: bool) -> None:
    assert is_same(a, b) is same


def test_vectors_have_a_cosine_distance_as_floats_and_as_base64() -> None:
    floats = {"embedding": [3.0, 4.0], "dim": 2}
    others = {"embedding_b64": "AACAPwAAAAA=", "dim": 2}  # 1, 0
    found = of((floats, floats), (floats, others), examples=1).distances
    assert (found.identical, found.steps) == (1, {0: 1, 4000: 1})
    assert (found.percentile(0.5), found.percentile(0.95)) == (0.0, 0.4)
    (example,) = found.examples()
    assert isclose(example.distance or 0, 0.4, abs_tol=1e-6)
    assert sum(count for *_, count in found.histogram(10)) == 2


def test_vectors_of_different_dimensions_have_no_distance() -> None:
    found = of(({"embedding": [1.0], "dim": 1}, {"embedding": [1.0, 2.0], "dim": 2})).distances
    assert (found.dimensions_differ, found.percentile(0.5)) == (1, None)


@pytest.mark.parametrize("numpy", [True, False])
def test_a_distance_is_the_same_without_numpy(numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not numpy:
        monkeypatch.setattr("streams.codec.vectors._numpy", lambda: None)
    one, other = (array("f", each).tobytes() for each in ([1.0, 2.0, 3.0], [-3.0, 0.5, 1.0]))
    assert isclose(cosine_distance(one, other), 0.916522, abs_tol=1e-6)
    assert cosine_distance(one, one) == 0
    assert cosine_distance(one, bytes(12)) == 1
    with pytest.raises(ValueError, match="different dimensions"):
        cosine_distance(one, one + one)


@pytest.mark.parametrize(
    "value",
    [{}, {"embedding": "x"}, {"embedding_b64": "?", "dim": 1}, {"embedding": [1], "dim": 2}],
)
def test_what_is_no_vector_is_told(value: Any) -> None:
    assert vector_of(value) is None


def test_texts_and_other_values_are_equal_or_changed() -> None:
    found = of(({"text": "a"}, {"text": "a"}), ({"text": "a"}, {"text": "b" * 5000}))
    assert (found.compared["text"], found.equal["text"]) == (2, 1)
    (example,) = found.texts.sample.items()
    assert len(example.b) == 1000
    values = of(([1], [1.0]), (7, "7"))
    assert (values.compared["value"], values.equal["value"]) == (2, 1)


def test_results_of_different_kinds_are_compared_field_by_field() -> None:
    found = of((label("x"), {"label": "x", "why": "y"}))
    assert {path: each.changed for path, each in found.fields.fields.items()} == {
        "/label": 0,
        "/why": 1,
    }


def test_each_side_has_its_cost_tokens_and_latency() -> None:
    totals = of((label("x"), label("y")), (label("x"), label("x"))).totals["b"]
    assert (totals.input_tokens, totals.output_tokens, totals.cost_nano_usd) == (120, 28, 4_000)
    assert totals.latencies.percentile(0.5) == 5_000
    unknown = of((label("x"), label("y")), cost=None).totals["a"]
    assert unknown.cost_nano_usd is None


def test_an_object_without_a_label_alone_is_fields() -> None:
    assert parsed(b'{"label":1}').kind == "fields"
    assert parsed(b'{"text":"x"}').kind == "text"
    assert parsed(b"null").kind == "value"


def test_a_sample_has_the_lowest_ranks_in_their_order() -> None:
    sample: Sample[str] = Sample(2)
    for rank, name in ((5, "e"), (1, "a"), (3, "c"), (9, "z"), (1, "b")):
        if sample.wants(rank):
            sample.add(rank, name)
    assert sample.items() == ["a", "b"]
    assert not Sample[str](0).wants(0)
