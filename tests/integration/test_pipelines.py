"""`app.pipeline` on real Kafka: every record has one outcome, whichever stage it comes from, also
of workers that are killed."""

from __future__ import annotations

import json
import random
import signal
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

import pytest

from streams.jobs.dead.letters import letter_of
from streams.jobs.judge import Verdict
from tests.integration.harness import committed, eventually, publish, read, verdict
from tests.integration.running import done, group_of, item, logged, worker
from tests.integration.simulated import API_KEY, simulated

pytestmark = pytest.mark.kafka

APP = "tests.integration.pipeline_apps:app"
ONCE = Verdict(lost=0, duplicated=0, out_of_order=0)

GUARANTEES = [
    "at_least_once",
    pytest.param("exactly_once", marks=pytest.mark.needs("transactions")),
]

FATES = {
    "refuse me": ("check", "refused"),
    "split badly": ("words", "function_error"),
    "bad part": ("measure", "bad_part"),
    "store badly": ("store", "function_error"),
}
"""Texts of records, and at which stage that ends with which code."""


def piped(broker: Any, source: str, guarantee: str = "at_least_once", **variables: str) -> Any:
    settings = f'guarantee = "{guarantee}"'
    return worker(broker, source, app=APP, settings=settings, **variables)


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_results_and_dead_letters_of_every_stage_stand_in_source_order(
    broker, topic, guarantee
):
    """Offsets 2, 9, ... have two parts and offsets 0, 7, ... none; one record in ten fails."""
    source = await topic(partitions=3)
    fates = [*FATES, "{broken"]
    texts = [fates[n // 10 % 5] if n % 10 == 3 else "fine" for n in range(600)]
    records = [
        (None, b"{broken" if text == "{broken" else item(n, text), n % 3)
        for n, text in enumerate(texts)
    ]
    positions = await publish(broker.bootstrap, source, records)
    with piped(broker, source, guarantee, TEST_CALL_S="0.01") as process:
        await done(broker, process, source, [200] * 3)
        assert process.stop() == 0, process.log
        summary = process.summary
    judged, found = await verdict(broker.bootstrap, source, positions, isolation="read_committed")
    assert judged == ONCE
    letters = [letter for record in found if (letter := letter_of(record)) is not None]
    for letter in letters:
        text = json.loads(letter.value or b"")["text"] if letter.value != b"{broken" else "{broken"
        assert (letter.stage, letter.code) == FATES.get(text, ("", "invalid_json")), letter
        assert letter.message.startswith(f"stage {letter.stage}") or not letter.stage
    assert {letter.stage for letter in letters} == {"check", "words", "measure", "store", ""}
    results = [json.loads(record.value) for record in found if record.topic.endswith(".out")]
    assert len(results) + len(letters) == 600
    for result in results:
        assert result["result"] == {"parts": [*range(result["source"]["offset"] % 7)]}
        assert (result["batch"]["size"], result["model"]) == (1, None)
        assert 1 <= result["attempts"] <= 5, "alone, after halving a call of ten at the most"
    assert summary["items"] == 600
    assert 600 / 20 < summary["calls"] < 5 * 600


@pytest.mark.chaos
@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_workers_that_are_killed_lose_and_reorder_nothing(
    broker, topic, seed, guarantee, pytestconfig
):
    """Two workers, killed in turn while their stages are full; in exactly once nothing is there
    twice either. `--kills 10`: so many."""
    kills, chance = pytestconfig.option.kills or 2, random.Random(seed)
    source, count = await topic(partitions=6), 1_500 * (kills + 2)
    positions = await publish(
        broker.bootstrap, source, [(None, item(n, "fine"), n % 6) for n in range(count)]
    )

    async def committed_more_than(offset: int) -> bool:
        return sum(await committed(broker.bootstrap, group_of(source), source, 6)) > offset

    def start() -> Any:
        stack = ExitStack()
        variables = {"TEST_CALL_S": "0.05"}
        return stack, stack.enter_context(piped(broker, source, guarantee, **variables))

    running = [start(), start()]
    try:
        for kill in range(kills):
            goal = count * (kill + 1) // (kills + 2)
            await eventually(
                lambda goal=goal: committed_more_than(goal), 90, lambda: running[0][1].log
            )
            stack, victim = running.pop(chance.randrange(2))
            victim.signal(signal.SIGKILL)
            victim.wait(10)
            stack.close()
            running.append(start())
        await eventually(lambda: committed_more_than(count - 1), 120, lambda: running[0][1].log)
        for _, process in running:
            await logged(process, "reading")  # the newest may only just have come
        assert [process.stop() for _, process in running] == [0, 0]
    finally:
        for stack, _ in running:
            stack.close()
    exactly = guarantee == "exactly_once"
    isolation = "read_committed" if exactly else "read_uncommitted"
    found, _ = await verdict(broker.bootstrap, source, positions, isolation=isolation)
    assert (found.lost, found.out_of_order) == (0, 0), found
    # A kill repeats what was delivered since the last commit, 100 ms: at most a few hundred.
    assert found.duplicated <= (0 if exactly else kills * 1_000), found


async def test_chunks_embeddings_and_their_cost_through_the_sdk(broker, topic):
    """`[chunk, embed, gather]`: what the calls cost is in the results, each share once, and in the
    exit line."""
    source = await topic()
    text = "A sentence of some words that says little. "
    records = [(None, item(n, text * (n % 6)), 0) for n in range(60)]
    await publish(broker.bootstrap, source, records)
    with simulated() as api:
        variables = {"TEST_API_URL": api.url, "VOYAGE_API_KEY": "pa-test"}
        with piped(broker, source, TEST_STAGES="enriched", **variables) as process:
            await done(broker, process, source, [60])
            assert process.stop() == 0, process.log
            summary, calls = process.summary, len(api.journal())
    results = [json.loads(each.value) for each in await read(broker.bootstrap, [f"{source}.out"])]
    assert [each["source"]["offset"] for each in results] == [*range(60)]
    lengths: dict[int, set[int]] = defaultdict(set)
    for n, each in enumerate(results):
        assert {len(vector) for vector in each["result"]} <= {256}
        lengths[n % 6].add(len(each["result"]))
    assert lengths[0] == {0}
    assert all(len(found) == 1 for found in lengths.values())
    assert max(lengths[5]) > max(lengths[1]) >= 1
    usages = [each["usage"] for each in results]
    assert sum(each["input_tokens"] for each in usages) == summary["input_tokens"] > 0
    assert sum(each["cost_usd"] for each in usages) == pytest.approx(summary["cost_usd"])
    assert usages[0] == {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    chunked = 4  # `chunk` is a stage, too: its calls count
    assert summary["calls"] >= calls + 60 / chunked


async def test_a_pause_of_the_account_delays_and_loses_nothing(broker, topic):
    source = await topic()
    positions = await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(60)])
    with simulated() as api:
        api.script({"fault": "overloaded", "times": 3})
        variables = {"TEST_API_URL": api.url, "ANTHROPIC_API_KEY": API_KEY}
        with piped(broker, source, TEST_STAGES="judged", **variables) as process:
            await done(broker, process, source, [60])
            assert process.stop() == 0, process.log
            assert "task documents (stage classify) is paused" in process.log
            assert API_KEY not in process.log
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == ONCE
    assert {record.topic for record in found} == {f"{source}.out"}


async def test_a_stage_that_blocks_its_thread_keeps_no_worker_from_stopping(broker, topic):
    source = await topic()
    await publish(broker.bootstrap, source, [(None, item(0), 0)])
    with worker(
        broker, source, app=APP, settings="shutdown_timeout_s = 2", TEST_STAGES="block"
    ) as process:
        await logged(process, "reading")
        assert process.stop(15) == 0, process.log
    assert await committed(broker.bootstrap, group_of(source), source, 1) == [0]


async def test_an_interrupt_in_a_stage_ends_the_worker_as_in_a_function(broker, topic):
    source = await topic()
    await publish(broker.bootstrap, source, [(None, item(0), 0)])
    with piped(broker, source, TEST_STAGES="interrupt") as process:
        assert process.wait(60) == 130, process.log
