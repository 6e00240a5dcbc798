"""What a replay would cost, before it is paid: beside what it then takes at the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

import streams
from streams.demo.texts import docstrings
from tests.integration.harness import publish
from tests.integration.replays import replayer
from tests.integration.simulated import simulated

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

WITHIN = 0.10
"""The bar of issue 11."""


def sentences(count: int) -> list[str]:
    """Reviews of one to eight sentences."""
    parts = (
        "The battery lasted for two days. ",
        "It broke! ",
        "Nobody at the shop could say where it was, or why the parcel took nine days. ",
    )
    return ["".join(parts[(n + m) % 3] for m in range(n % 8 + 1)) for n in range(count)]


def modules(count: int) -> list[str]:
    """Source text of some thousand characters each."""
    files = sorted(Path(streams.__file__).parent.rglob("*.py"))
    return [file.read_text()[:4_000] for file in files if file.stat().st_size > 2_000][:count]


def quoted(count: int) -> list[str]:
    """Prose of several languages, with characters beyond ASCII here and there."""
    parts = ("It’s fine, and cheap. ", "Die Lieferung dauerte länger als erwartet. ", "很好用。")
    return [parts[n % 3] * (n % 5 + 1) + "Not bad at all. " for n in range(count)]


CORPORA = {
    "reviews": sentences(600),
    "docstrings": [item["text"] for item in islice(docstrings(), 600)],
    "modules": modules(120),
    "languages": quoted(600),
}
SCHEMA = (
    '{ type = "object", required = ["brand", "mood"],  '
    'properties = { brand = { type = "string" }, '
    'mood = { type = "string", enum = ["good", "bad"] } } }'
)
QUESTIONS = {
    "classify": "",
    "extract": f'operation = "extract"\nschema = {SCHEMA}\n',
    "generate": 'operation = "generate"\ninstructions = "Sum it up in one sentence."\n',
}


async def fill(broker: Any, source: str, texts: Sequence[str], partitions: int = 3) -> None:
    records = [
        (None, orjson.dumps({"id": n, "text": text}), n % partitions)
        for n, text in enumerate(texts)
    ]
    await publish(broker.bootstrap, source, records)


def asking(config: str, question: str) -> str:
    """The configuration with another question than for a label."""
    if not QUESTIONS[question]:
        return config
    lines = [line for line in config.splitlines() if not line.startswith(("operation", "labels"))]
    return "\n".join(lines).replace("[task.batch]", f"{QUESTIONS[question]}[task.batch]")


def off(estimate: dict[str, Any], summary: dict[str, Any]) -> dict[str, float]:
    """By which part each estimate is off what it took."""
    live = {"cost_usd": estimate["live"]["cost_usd"]}
    return {
        name: {**estimate, **live}[name] / summary[name] - 1
        for name in ("calls", "input_tokens", "output_tokens", "cost_usd")
    }


@pytest.mark.parametrize(
    ("question", "corpus"),
    [
        *(("classify", corpus) for corpus in CORPORA),
        ("extract", "languages"),
        ("generate", "reviews"),
    ],
)
async def test_the_estimate_is_within_a_tenth_of_the_true_cost_on_text_of_any_length(
    broker: Any, topic: Any, corpus: str, question: str
) -> None:
    """Without a call, and without a key."""
    source = await topic(partitions=3)
    await fill(broker, source, CORPORA[corpus])
    with simulated(latency_ms=5) as api, replayer(broker, source, api, max_items=20) as replay:
        replay.configure(broker, asking(replay.config, question))
        dry = replay("--from", "earliest", "--dry-run")
        assert dry.code == 0, dry.err
        assert api.state()["requests"] == 0
        estimate = dry.summary
        assert set(estimate) == {
            *("items", "calls", "input_tokens", "output_tokens", "live", "batch")
        }
        ran = replay("--from", "earliest")
        assert ran.code == 0, ran.err
        assert estimate["items"] == ran.summary["items"]
        errors = off(estimate, ran.summary)
        assert abs(errors["cost_usd"]) <= WITHIN, errors
        assert estimate["batch"]["cost_usd"] == pytest.approx(estimate["live"]["cost_usd"] / 2)
        assert replay("--list").lines[0]["run"] == ran.run


async def test_results_of_the_task_make_the_estimate_of_further_ones_exact(
    broker: Any, topic: Any
) -> None:
    source = await topic(partitions=3)
    await fill(broker, source, CORPORA["languages"])
    with simulated(latency_ms=5) as api, replayer(broker, source, api, max_items=20) as replay:
        ran = replay("--from", "earliest", "--into", f"{source}.side")
        errors = []
        for more in ([], ["--into", f"{source}.side"]):
            dry = replay("--from", "earliest", "--dry-run", *more)
            errors.append(abs(off(dry.summary, ran.summary)["input_tokens"]))
        assert errors[1] < errors[0] < 0.1
        assert errors[1] < 0.01


async def test_a_sample_is_about_as_good_as_reading_everything(broker: Any, topic: Any) -> None:
    """Also where partitions differ, and where an expression takes a part of them."""
    source = await topic(partitions=2)
    texts = [("word " * (5 + n % 40 if n % 2 else 3)) + str(n) for n in range(30_000)]
    await fill(broker, source, texts, partitions=2)
    with simulated() as api, replayer(broker, source, api) as replay:
        for more in ([], ["--where", "id >= `15000`"]):
            arguments = ("--from", "earliest", "--dry-run", *more)
            sample, exact = replay(*arguments).summary, replay(*arguments, "--exact").summary
            assert exact["items"] == (15_000 if more else 30_000)
            for name in ("items", "calls", "input_tokens", "output_tokens"):
                assert sample[name] == pytest.approx(exact[name], rel=0.03), name
        (line,) = replay("--from", "100", "--until", "200", "--dry-run").lines
        assert line["items"] == 200
        assert replay("--from", "latest", "--dry-run").summary["items"] == 0


async def test_a_large_run_wants_a_yes_and_a_small_one_does_not(broker: Any, topic: Any) -> None:
    source = await topic()
    await fill(broker, source, sentences(60), partitions=1)
    with simulated() as api, replayer(broker, source, api) as replay:
        replay.configure(broker, replay.config, worker="confirm_items = 50")
        refused = replay("--from", "earliest", "--max-cost", "0.0001")
        assert (refused.code, refused.out) == (2, "")
        assert "this run takes about 60 items and $0.00" in refused.err
        assert "--yes begins it" in refused.err
        assert "it will stop at --max-cost" in refused.err
        assert api.state()["requests"] == 0
        assert replay("--from", "20", "--dry-run").code == 0
        assert replay("--from", "20").code == 0
        assert replay("--from", "earliest", "--yes").code == 0
