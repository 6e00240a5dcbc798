"""The keywords of `@app.microbatch` follow the same rules as the file, under their last names."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import ConfigError
from streams.settings import refuse_keys_of_stages, task_from_keywords


def problems(**keywords: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        task_from_keywords("topics", **{"source": "a", "sink": "b", **keywords})
    return list(caught.value.problems)


def test_every_keyword_finds_its_table() -> None:
    task = task_from_keywords(
        "topics",
        source="reviews",
        sink="reviews.topics",
        dead_letter="bin",
        text="/body",
        id="/key",
        tombstones="drop",
        too_large="truncate",
        version="3",
        order="partition",
        max_items=96,
        max_wait_ms=10,
        max_tokens=100,
        max_bytes=1000,
        key="/tenant",
        flush_by="/by",
        max_in_flight=10,
        timeout_s=2.5,
        max_attempts=2,
        mode="result",
    )
    assert (task.name, task.operation, task.version) == ("topics", "custom", "3")
    assert (task.source, task.sink, task.dead_letter) == ("reviews", "reviews.topics", "bin")
    assert (task.text, task.id) == ("/body", "/key")
    assert (task.tombstones, task.too_large) == ("drop", "truncate")
    assert tuple(task.batch.model_dump().values()) == (96, 10, 100, 1000, True, "/tenant", "/by")
    assert tuple(task.calls.model_dump().values()) == (10, 2.5, 2)
    assert task.output.mode == "result"


def test_source_and_sink_are_enough() -> None:
    task = task_from_keywords("topics", source="a", sink="b")
    assert (task.dead_letter, task.provider, task.model) == ("a.dead", "", "")


@pytest.mark.parametrize("order", ["partition", "key", "none"])
def test_every_order_is_taken(order: str) -> None:
    assert task_from_keywords("topics", source="a", sink="b", order=order).order == order


@pytest.mark.parametrize(
    ("keywords", "line"),
    [
        ({"max_items": 0}, "max_items: must be a whole number from 1 to 10000, not 0"),
        ({"max_items": True}, "max_items: must be a whole number from 1 to 10000, not true"),
        ({"timeout_s": "3"}, 'timeout_s: must be a number from 0.01 to 3600, not "3"'),
        ({"mode": "x"}, 'mode: must be "envelope", "merge" or "result", not "x"'),
        ({"sink": "a"}, 'sink: must be another topic than source, not "a"'),
        ({"order": "any"}, 'order: must be "partition", "key" or "none", not "any"'),
        (
            {"requests_per_minute": 0},
            "requests_per_minute: must be a whole number from 1 to 1000000000, not 0",
        ),
        ({"id": 3}, 'id: must be a JSON Pointer as "/id", not 3'),
    ],
)
def test_a_wrong_keyword_is_named(keywords: dict[str, Any], line: str) -> None:
    assert problems(**keywords) == [line]


@pytest.mark.parametrize("keyword", ["labels", "operation", "batch", "schema", "model", "limits"])
def test_what_makes_no_sense_for_a_function_is_unknown(keyword: str) -> None:
    (line,) = problems(**{keyword: {}})
    assert line.startswith(f"{keyword}: unknown keyword; ")


def test_every_problem_is_told_and_near_misses_are_guessed() -> None:
    lines = problems(max_item=1, max_wait_ms=-1)
    assert [line.partition(":")[0] for line in lines] == ["max_item", "max_wait_ms"]
    assert "did you mean max_items?" in lines[0]


def test_a_function_without_a_usable_name_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^name: must be a name of letters"):
        task_from_keywords("<lambda>", source="a", sink="b")


def test_a_pipelines_task_has_no_keys_of_calls_and_microbatches() -> None:
    """All of them in one error, each with what stands in for it."""
    with pytest.raises(ConfigError) as caught:
        task_from_keywords(
            "vectors", pipeline=True, source="a", sink="b", max_items=5, timeout_s=3, max_tokens=9,
            too_large="truncate", labels=["x"], key="/tenant", flush_by="/by",
        )  # fmt: skip
    assert list(caught.value.problems) == [
        "max_items: a pipeline's stages have their own: give it to streams.stage(...)",
        "timeout_s: a pipeline's stages have their own: give it to streams.stage(...)",
        "max_tokens: a pipeline's stages have their own: give it to streams.stage(...)",
        "too_large: a pipeline takes texts of any size; streams.chunk(...) cuts them",
        "labels: unknown keyword; allowed: source, sink, dead_letter, text, id, order, tombstones, "
        "priority, version, mode, embedding",
        "key: the calls of a pipeline's stages are for any items",
        "flush_by: a pipeline's stages wait as streams.stage(...) says",
    ]


def test_a_pipelines_task_has_the_others() -> None:
    task = task_from_keywords(
        "vectors", pipeline=True, source="a", sink="b", order="key", mode="result", version="2"
    )
    assert (task.name, task.order, task.output.mode, task.version) == (
        "vectors",
        "key",
        "result",
        "2",
    )


def test_a_pipelines_task_of_a_file_has_none_of_them_either() -> None:
    refuse_keys_of_stages(task_from_keywords("vectors", source="a", sink="b", text="/body"))
    task = task_from_keywords("vectors", source="a", sink="b", max_items=5, max_in_flight=3)
    with pytest.raises(ConfigError) as caught:
        refuse_keys_of_stages(task)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "task.vectors.batch.max_items",
        "task.vectors.calls.max_in_flight",
    ]
