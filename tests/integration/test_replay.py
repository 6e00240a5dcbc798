"""`streams replay` in live mode on a real broker: the range again, in order and complete."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from streams.jobs.judge import judge, outcome_of
from streams.kafka.broker.tansu import EmbeddedBroker
from tests.integration.harness import committed, create_topic, eventually, items, publish
from tests.integration.replays import positions, records_of, replayer, told_run
from tests.integration.running import logged, worker
from tests.integration.simulated import Simulated, simulated
from tests.integration.topics import delete_records

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

KILLS = 5
RECORDED_WITHIN_S = 2.0
"""An answer takes some ms to the broker, if the machine is not busy."""


async def test_a_range_is_done_again_in_order_and_counted(broker: Any, topic: Any) -> None:
    source = await topic(partitions=3)
    sent = await publish(broker.bootstrap, source, items(120, 3))
    with simulated() as api, replayer(broker, source, api) as replay:
        ended = replay("--from", "earliest", "--until", "latest")
        assert ended.code == 0, ended.err
        summary = ended.summary
        found = await records_of(broker, ended.run, f"{source}.out")
        assert (summary["run"], summary["state"], summary["mode"]) == (ended.run, "done", "live")
        assert (summary["items"], summary["results"]) == (120, 120)
        assert (summary["lost"], summary["duplicated"], summary["out_of_order"]) == (0, 0, 0)
        assert sorted(positions(found)) == sorted(sent)
        assert all(dict(record.headers)["streams-fingerprint"] for record in found)
        assert summary["calls"] == api.state()["requests"]


@pytest.mark.chaos
@pytest.mark.parametrize("count", [4000, pytest.param(20_000, marks=pytest.mark.thorough)])
async def test_kills_lose_and_repeat_nothing_and_pay_for_a_microbatch_each_at_most(
    broker: Any, topic: Any, seed: int, count: int
) -> None:
    """G1, G2 of a replay: SIGKILL at random moments, each time the run goes on by its id. What is
    paid again was answered in the moment of a kill; how much that is, a busy machine decides."""
    chance = random.Random(seed)
    source = await topic(partitions=4)
    sent = await publish(broker.bootstrap, source, items(count, 4))
    kills: list[float] = []
    with (
        simulated(latency_ms=250.0) as api,
        replayer(broker, source, api, max_items=20, max_in_flight=4) as replay,
    ):
        process = replay.start("--from", "earliest")
        run = await told_run(process)
        for kill in range(KILLS):
            await called_more_than(api, (kill + 1) * count // 20 // (KILLS + 2))
            await asyncio.sleep(chance.random() * 0.3)
            process.kill()
            kills.append(time.time())
            process = replay.start("--resume", run)
        ended = process.wait(120)
        assert ended.code == 0, ended.err
        found = await records_of(broker, run, f"{source}.out", f"{source}.dead")
        outcomes = [outcome for record in found if (outcome := outcome_of(record)) is not None]
        assert judge(sent, outcomes) == (0, 0, 0)
        again = paid_again(api)
        late = [at for at in again if not any(0 < kill - at < RECORDED_WITHIN_S for kill in kills)]
        assert late == []
        assert len(again) <= KILLS * 20 * 4
        assert ended.summary["state"] == "done"


def record(number: int, **more: Any) -> bytes:
    return orjson.dumps({"id": number, "text": f"item {number}", **more})


@pytest.mark.parametrize("mode", ["envelope", "merge", "result"])
async def test_results_of_every_form_and_dead_letters_say_which_run_and_which_item(
    broker: Any, topic: Any, mode: str
) -> None:
    """Tombstones go on as the task says, what cannot be read is a dead letter; in a sink with more
    partitions than the source."""
    source = await topic(partitions=2)
    await create_topic(broker.bootstrap, f"{source}.side", 5)
    sent = [(b"k%d" % n, record(n), n % 2) for n in range(40)]
    sent += [(b"t", None, 0), (b"bad", b"no JSON", 1)]
    places = await publish(broker.bootstrap, source, sent)
    with simulated() as api, replayer(broker, source, api) as replay:
        replay.configure(broker, replay.config + f'[task.output]\nmode = "{mode}"\n')
        ended = replay("--from", "0", "--into", f"{source}.side")
        assert ended.code == 0, ended.err
        summary = ended.summary
        assert (summary["items"], summary["results"], summary["dead_letters"]) == (42, 41, 1)
        into = await records_of(broker, ended.run, f"{source}.side")
        dead = await records_of(broker, ended.run, f"{source}.dead")
    assert sorted(positions(into + dead)) == sorted(places)
    assert positions(dead) == [places[41]]
    assert [each.key for each in into if each.value is None] == [b"t"]
    assert await records_of(broker, ended.run, f"{source}.out") == []
    fingerprints = {dict(each.headers)["streams-fingerprint"] for each in into + dead}
    assert len(fingerprints) == 1


async def test_drops_are_outcomes_also_after_a_kill(broker: Any, topic: Any) -> None:
    """They leave nothing in a topic; the run's state has them."""
    source = await topic(partitions=2)
    sent = [(b"k", None if n % 3 else record(n), n % 2) for n in range(300)]
    await publish(broker.bootstrap, source, sent)
    with (
        simulated(latency_ms=150.0) as api,
        replayer(broker, source, api, max_in_flight=1) as replay,
    ):
        replay.configure(broker, replay.config.replace("[task.batch]", TOMBSTONES, 1))
        process = replay.start("--from", "earliest")
        run = await told_run(process)
        await called_more_than(api, 4)
        process.kill()
        ended = replay("--resume", run)
        assert ended.code == 0, ended.err
        assert (ended.summary["items"], ended.summary["drops"]) == (300, 200)
        assert ended.summary["results"] == 100


TOMBSTONES = 'tombstones = "drop"\n[task.batch]'


async def test_a_range_is_partitions_offsets_and_a_condition(broker: Any, topic: Any) -> None:
    source = await topic(partitions=4)
    sent = [(None, record(n, stars=n % 5), n % 4) for n in range(80)]
    sent.append((None, b"no JSON", 1))
    await publish(broker.bootstrap, source, sent)
    with simulated() as api, replayer(broker, source, api) as replay:
        ended = replay(
            "--from", "5", "--until", "50", "--partitions", "1,3", "--where", "stars >= `3`"
        )
        assert ended.code == 0, ended.err
        found = positions(await records_of(broker, ended.run, f"{source}.out"))
    wanted = [(n % 4, n // 4) for n in range(80) if n % 5 >= 3 and n % 4 in (1, 3) and n >= 20]
    assert sorted(found) == sorted(wanted)
    assert ended.summary["items"] == len(wanted)
    assert "could not judge 1 record" in ended.err


async def test_what_comes_after_the_start_is_not_part_of_it(broker: Any, topic: Any) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(60, 1))
    with simulated(latency_ms=300.0) as api, replayer(broker, source, api) as replay:
        process = replay.start("--from", "earliest", "--until", "latest")
        await called_more_than(api, 0)
        await publish(broker.bootstrap, source, items(10, 1))
        ended = process.wait(60)
    assert (ended.code, ended.summary["items"]) == (0, 60)


async def test_a_time_is_the_first_record_of_that_time_or_later(broker: Any, topic: Any) -> None:
    source = await topic()
    before = await publish(broker.bootstrap, source, items(5, 1))
    await asyncio.sleep(0.05)  # records of another millisecond
    moment = datetime.now(UTC).isoformat()
    await publish(broker.bootstrap, source, items(7, 1))
    with simulated() as api, replayer(broker, source, api) as replay:
        ended = replay("--from", "-1h", "--until", moment)
        assert (ended.code, ended.summary["items"]) == (0, len(before)), ended.err
        later = replay("--from", moment)
        assert (later.code, later.summary["items"]) == (0, 7), later.err
    assert ended.summary["until"].endswith("Z")


async def test_runs_are_listed_and_one_that_was_killed_is_stopped(broker: Any, topic: Any) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(200, 1))
    with simulated(latency_ms=300.0) as api, replayer(broker, source, api) as replay:
        assert replay("--list").out == ""
        done = replay("--from", "190")
        process = replay.start("--from", "earliest")
        run = await told_run(process)
        await called_more_than(api, 4)
        first, second = replay("--list").lines
        assert first == {
            "run": done.run,
            "task": "sentiment",
            "mode": "live",
            "state": "done",
            "items": 10,
            "done": 10,
            "cost_usd": done.summary["cost_usd"],
            "started_at_ms": first["started_at_ms"],
        }
        assert (second["run"], second["state"]) == (run, "running")
        process.kill()

        async def stopped() -> bool:
            return bool(replay("--list").lines[1]["state"] == "stopped")

        await eventually(stopped, 30)


@pytest.mark.parametrize("lives", [True, False], ids=["while it runs", "after a kill"])
async def test_a_cancelled_run_keeps_what_it_has_and_cannot_go_on(
    broker: Any, topic: Any, lives: bool
) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(400, 1))
    with simulated(latency_ms=200.0) as api, replayer(broker, source, api) as replay:
        process = replay.start("--from", "earliest")
        run = await told_run(process)
        await called_more_than(api, 6)
        if not lives:
            process.kill()
        cancelled = replay("--cancel", run)
        assert cancelled.code == 0, cancelled.err
        if lives:
            assert process.wait(30).code == 1
        before = api.state()["requests"]
        assert len(await records_of(broker, run, f"{source}.out")) > 0
        again = replay("--resume", run)
        assert (again.code, api.state()["requests"]) == (1, before)
        assert f"error: run {run} was cancelled" in again.err
        assert [line["state"] for line in replay("--list").lines] == ["cancelled"]


async def test_an_interrupted_run_finishes_its_calls_and_says_how_to_go_on(
    broker: Any, topic: Any
) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(300, 1))
    with simulated(latency_ms=200.0) as api, replayer(broker, source, api) as replay:
        process = replay.start("--from", "earliest")
        run = await told_run(process)
        await called_more_than(api, 6)
        process.signal(signal.SIGINT)
        ended = process.wait(30)
        assert ended.code == 130, ended.err
        assert f"`streams replay --resume {run}` goes on" in ended.err
        assert [line["state"] for line in replay("--list").lines] == ["stopped"]
        ended = replay("--resume", run)
        assert ended.code == 0, ended.err
        assert (ended.summary["results"], ended.summary["calls"]) == (300, 30)
        assert api.state()["requests"] == 30


async def test_a_run_of_another_prompt_does_not_go_on(broker: Any, topic: Any) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(20, 1))
    with simulated() as api, replayer(broker, source, api) as replay:
        run = replay("--from", "earliest").run
        before = api.state()["requests"]
        changed = replay.config.replace("[task.batch]", 'instructions = "Be strict."\n[task.batch]')
        replay.configure(broker, changed)
        ended = replay("--resume", run)
        assert (ended.code, api.state()["requests"]) == (2, before)
        assert "another prompt, model or schema" in ended.err


async def test_two_processes_never_do_one_run(broker: Any, topic: Any) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(400, 1))
    with simulated(latency_ms=300.0) as api, replayer(broker, source, api) as replay:
        process = replay.start("--from", "earliest")
        run = await told_run(process)
        await called_more_than(api, 3)
        other = replay("--resume", run)
        assert other.code == 1
        assert f"error: another process of run {run} is under way" in other.err
        assert process.wait(60).code == 0


async def test_a_run_that_lost_results_fails_names_them_and_can_be_mended(
    broker: Any, topic: Any
) -> None:
    """Somebody deleted a part of the sink while it ran."""
    source = await topic()
    await publish(broker.bootstrap, source, items(50, 1))
    with simulated() as api, replayer(broker, source, api) as replay:
        run = replay("--from", "earliest").run
        await delete_records(broker.bootstrap, f"{source}.out", 0, 30)
        ended = replay("--resume", run)
        assert (ended.code, ended.summary["state"], ended.summary["lost"]) == (1, "failed", 30)
        assert ended.summary["missing"] == [[0, offset] for offset in range(30)]
        assert f"{source}, without an outcome: 0/0 0/1" in ended.err
        mended = replay("--resume", run)
        assert (mended.code, mended.summary["state"]) == (0, "done"), mended.err


async def test_a_run_stops_before_it_passes_its_maximal_cost_and_goes_on_with_a_higher_one(
    broker: Any, topic: Any
) -> None:
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, items(400, 2))
    with simulated() as api, replayer(broker, source, api) as replay:
        limit = replay("--from", "earliest", "--into", f"{source}.side").summary["cost_usd"] / 2
        before = api.state()["cost_usd"]
        stopped = replay("--from", "earliest", "--max-cost", f"{limit:.9f}")
        spent = api.state()["cost_usd"] - before
        assert stopped.code == 1, stopped.err
        assert "more than --max-cost would be spent" in stopped.err
        assert limit / 2 < spent <= limit
        ended = replay("--resume", stopped.run, "--max-cost", "1")
        assert ended.code == 0, ended.err
        assert ended.summary["cost_usd"] == pytest.approx(2 * limit, rel=0.05)


async def test_a_replay_gives_way_to_live_traffic_that_waits(
    broker: Any, topic: Any, tmp_path: Path
) -> None:
    """A worker of the group hangs in its calls: what comes in waits, and the replay soon makes no
    call but those of its second in ten, until the worker has caught up."""
    source, gate = await topic(), tmp_path / "gate"
    records = [(None, record(n, wait=True), 0) for n in range(4_000)]
    sent = await publish(broker.bootstrap, source, records)
    variables = {"TEST_GATE": str(gate), "TEST_MAX_ITEMS": "100", "TEST_MAX_IN_FLIGHT": "1"}
    with (
        simulated() as api,
        replayer(broker, source, api) as replay,
        worker(broker, source, group=replay.group, **variables) as live,
    ):
        await logged(live, "reading")
        await eventually(lambda: _lags(broker, replay.group, source), 30)
        process = replay.start("--from", "earliest", "--into", f"{source}.side")
        run = await told_run(process)
        await eventually(lambda: _holds(api), 60)
        first = api.state()["requests"]
        await called_more_than(api, first)
        await eventually(lambda: _holds(api), 60)
        assert api.state()["requests"] < len(sent) / 10, "it did not hold"
        gate.touch()
        ended = process.wait(60)
        assert ended.code == 0, ended.err
        assert len(await records_of(broker, run, f"{source}.side")) == len(sent)
        assert live.stop() == 0, live.log


async def _holds(api: Simulated) -> bool:
    """Whether it has begun to call, and makes no call for two seconds."""
    before = api.state()["requests"]
    await asyncio.sleep(2)
    return bool(0 < before == api.state()["requests"])


async def _lags(broker: Any, group: str, source: str) -> bool:
    return await committed(broker.bootstrap, group, source, 1) == [0]


async def test_a_process_that_stood_still_writes_nothing_after_another_took_the_run(
    broker: Any, topic: Any
) -> None:
    """SIGSTOP for longer than its session; what it held then is not written a second time."""
    source = await topic(partitions=2)
    sent = await publish(broker.bootstrap, source, items(400, 2))
    with simulated(latency_ms=200.0) as api, replayer(broker, source, api) as replay:
        frozen = replay.start("--from", "earliest")
        run = await told_run(frozen)
        await called_more_than(api, 6)
        frozen.signal(signal.SIGSTOP)
        ended = replay("--resume", run)
        assert ended.code == 0, ended.err
        frozen.signal(signal.SIGCONT)
        thawed = frozen.wait(60)
        assert thawed.code == 1, thawed.err
        assert f"another process took over run {run} from this one" in thawed.err
        found = await records_of(broker, run, f"{source}.out")
        assert sorted(positions(found)) == sorted(sent)
        assert [line["state"] for line in replay("--list").lines] == ["done"]


@pytest.mark.parametrize("way", ["--resume", "--cancel"])
async def test_a_run_that_is_not_there_is_named(broker: Any, topic: Any, way: str) -> None:
    source = await topic()
    with simulated() as api, replayer(broker, source, api) as replay:
        ended = replay(way, "20260101-000000-0000")
    assert ended.code == 1
    assert "error: there is no run 20260101-000000-0000" in ended.err


async def test_wrong_options_are_refused_before_anything_is_made(broker: Any, topic: Any) -> None:
    source = await topic(partitions=2)
    with simulated() as api, replayer(broker, source, api) as replay:
        for options, problem in [
            (["--from", "0", "--where", "stars >"], "--where: "),
            (["--from", "0", "--partitions", "2"], "has 2 partitions, from 0; not 2"),
            (["--from", "0", "--into", source], f"{source} is the source"),
            (["--from", "0", "--into", f"{source}.dead"], "is the dead-letter topic"),
            (["--from", "0", "--task", "other"], "--task: other is not configured"),
        ]:
            ended = replay(*options)
            assert ended.code == 2, ended.err
            assert problem in ended.err
            assert "run " not in ended.err
        assert replay("--list").out == ""
        assert api.state()["requests"] == 0


async def test_an_empty_range_is_complete(broker: Any, topic: Any) -> None:
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, items(10, 2))
    with simulated() as api, replayer(broker, source, api) as replay:
        ended = replay("--from", "latest")
        assert (ended.code, ended.summary["items"]) == (0, 0), ended.err
        assert api.state()["requests"] == 0


async def test_an_application_s_function_is_done_again_with_its_drops_and_errors(
    broker: Any, topic: Any
) -> None:
    source = await topic(partitions=2)
    texts = ["fine", "drop me", "refuse me", "raise"]
    sent = [(None, orjson.dumps({"id": n, "text": texts[n % 4]}), n % 2) for n in range(40)]
    await publish(broker.bootstrap, source, sent)
    with simulated() as api, replayer(broker, source, api) as replay:
        replay.configure(broker, "")
        replay.variables = {"TEST_SOURCE": source}
        ended = replay("--from", "earliest", "--app", "tests.integration.apps:app")
        assert ended.code == 0, ended.err
        counts = [ended.summary[name] for name in ("items", "results", "dead_letters", "drops")]
        assert counts == [40, 10, 20, 10]
        refused = replay("--from", "0", "--mode", "batch", "--app", "tests.integration.apps:app")
        assert (refused.code, "has no Message Batches" in refused.err) == (2, True)


async def test_a_pipeline_is_done_again(broker: Any, topic: Any) -> None:
    source = await topic(partitions=2)
    sent = await publish(broker.bootstrap, source, items(60, 2))
    with simulated() as api, replayer(broker, source, api) as replay:
        replay.configure(broker, "")
        replay.variables = {"TEST_SOURCE": source}
        ended = replay("--from", "earliest", "--app", "tests.integration.pipeline_apps:app")
        assert ended.code == 0, ended.err
        found = await records_of(broker, ended.run, f"{source}.out", f"{source}.dead")
        assert sorted(positions(found)) == sorted(sent)


def test_on_the_embedded_broker_it_goes_by_offsets_and_refuses_times(tmp_path: Path) -> None:
    with EmbeddedBroker(quiet=True) as embedded:
        broker = SimpleNamespace(bootstrap=embedded.bootstrap)

        async def filled() -> None:
            await create_topic(broker.bootstrap, "reviews", 2)
            await publish(broker.bootstrap, "reviews", items(60, 2))

        asyncio.run(filled())
        with simulated() as api, replayer(broker, "reviews", api) as replay:
            ended = replay("--from", "earliest", "--until", "20")
            assert ended.code == 0, ended.err
            assert (ended.summary["items"], ended.summary["results"]) == (40, 40)
            by_time = replay("--from", "-1h")
            assert (by_time.code, "not on the embedded broker" in by_time.err) == (2, True)
            assert [line["state"] for line in replay("--list").lines] == ["done"]


async def called_more_than(api: Simulated, calls: int) -> None:
    async def reached() -> bool:
        return bool(api.state()["requests"] > calls)

    await eventually(reached, 90, lambda: f"{api.state()['requests']} of {calls} calls")


def paid_again(api: Simulated) -> list[float]:
    """When the first answer came of each item that was answered again. What was in flight at a kill
    has no answer."""
    first: dict[str, float] = {}
    again = []
    for call in sorted(api.journal(), key=lambda call: float(call["ended_at"])):
        for item in call["items"] if call["status"] == 200 else ():
            if item in first:
                again.append(first[item])
            first.setdefault(item, call["ended_at"])
    return again
