"""`streams map --mode batch`: half the price, the same file, and nothing paid twice."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streams.jobs.map_file.map_journal import head_line
from tests import forked
from tests.cli.command import TIMEOUT_S, Result, environ
from tests.cli.map_runs import Api, mapped, simulated_api

ROWS = 200
QUESTION = ("in.csv", "--labels", "good,bad", "--max-items", "10")
IN_BATCHES = (*QUESTION, "--mode", "batch", "--out", "out.csv")


def write_csv(path: Path, rows: int = ROWS) -> None:
    lines = [f'{n},"text {n}"\n' if n % 50 != 7 else f"{n},\n" for n in range(rows)]
    path.write_text("id,text\n" + "".join(lines))


@contextmanager
def scripted(directory: Path, *rules: Any, **options: Any) -> Iterator[Api]:
    """A simulator whose batches take half a second."""
    script = directory / "script.json"
    script.write_text(json.dumps(rules))
    given = {"batch_ms": 500, "script": script, **options}
    flags = [str(part) for name, value in given.items()
             for part in (f"--{name.replace('_', '-')}", value)]  # fmt: skip
    write_csv(directory / "in.csv")
    with simulated_api(directory, *flags, "--count-items") as api:
        yield api


def asked(api: Api, path: str) -> Any:
    url = api.variables["STREAMS_PROVIDER__ANTHROPIC__BASE_URL"]
    with urllib.request.urlopen(f"{url}/simulator/{path}", timeout=TIMEOUT_S) as reply:
        return [json.loads(line) for line in reply.read().splitlines()]


def state(api: Api) -> Any:
    (found,) = asked(api, "state")
    return found


def nothing_is_paid_twice(api: Api) -> bool:
    found = state(api)
    return (
        found["batches"]["custom_ids_answered_more_than_once"] == 0
        and found["batches"]["params_answered_more_than_once"] == 0
        and found["items_answered_more_than_once"] == 0
    )


def in_batches(api: Api, *more: str) -> Result:
    return mapped(api, *IN_BATCHES, *more)


def stopped(api: Api, number: int, when: Callable[[], bool], *more: str) -> Result:
    """The same, left by a signal as soon as `when` says so."""
    pipes = {"stdout": forked.PIPE, "stderr": forked.PIPE}
    with forked.running(
        "streams", "map", *IN_BATCHES, *more,
        env=environ(**api.variables), cwd=api.ledger.parent, **pipes,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + TIMEOUT_S
        while not when() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        written, told = process.communicate(TIMEOUT_S)
        return Result(process.wait(TIMEOUT_S), written.decode(), told.decode())


def live(api: Api) -> bytes:
    """What live mode makes of the same rows."""
    assert mapped(api, *QUESTION, "--out", "live.csv").code == 0
    return (api.ledger.parent / "live.csv").read_bytes()


def left(directory: Path) -> set[str]:
    """The files beside the output."""
    return {path.name for path in directory.glob("out.csv*")}


def test_the_file_is_that_of_live_mode_at_half_the_price(tmp_path: Path) -> None:
    with scripted(tmp_path) as api:
        done = in_batches(api, "--json", "--rejects", "failed.jsonl")
        assert done.code == 0, done.err
        (summary,) = done.lines
        assert nothing_is_paid_twice(api)
        assert summary["cost_usd"] == pytest.approx(state(api)["cost_usd"])
        before = state(api)["cost_usd"]
        assert (tmp_path / "out.csv").read_bytes() == live(api)
        price = state(api)["cost_usd"] - before
    assert summary["cost_usd"] / price < 0.55  # the first call is live
    assert (summary["rows"], summary["answered"], summary["failed"]) == (ROWS, ROWS - 4, 4)
    assert (summary["batches"], summary["live_rows"], summary["resumed"]) == (1, 10, 0)
    assert (tmp_path / "failed.jsonl").read_text().count("no_text") == 4
    assert left(tmp_path) == {"out.csv"}


def test_what_failed_or_expired_is_asked_once_more(tmp_path: Path) -> None:
    rules = [
        {"fault": "overloaded", "endpoint": "batch_request", "calls": "2-3"},
        {"fault": "expired", "endpoint": "batch_request", "calls": 4},
        {"fault": "missing", "endpoint": "batch_request", "calls": 5, "count": 3},
        {"fault": "truncated_body", "endpoint": "batch_results", "times": 1},
    ]
    with scripted(tmp_path, *rules) as api:
        done = in_batches(api, "--json")
        assert done.code == 0, done.err
        assert state(api)["batches"]["custom_ids_answered_more_than_once"] == 0
        assert (tmp_path / "out.csv").read_bytes() == live(api)
    assert done.lines[0]["batches"] >= 2


def test_killed_at_random_it_goes_on_and_pays_for_nothing_twice(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    with scripted(tmp_path) as api:
        for _ in range(4):
            at = time.monotonic() + random.uniform(0.0, 4.0)
            stopped(api, signal.SIGKILL, lambda at=at: time.monotonic() > at, "--resume")
            if (tmp_path / "out.csv").exists() and left(tmp_path) == {"out.csv"}:
                break  # it was quicker
        else:
            done = in_batches(api, "--resume")
            assert done.code == 0, done.err
        assert nothing_is_paid_twice(api)
        assert (tmp_path / "out.csv").read_bytes() == live(api)
    assert left(tmp_path) == {"out.csv"}


def test_killed_between_the_creation_of_a_batch_and_our_record_of_it_it_finds_the_batch(
    tmp_path: Path,
) -> None:
    rule = {"fault": "delay", "endpoint": "batches", "method": "POST", "delay_ms": 60_000}
    with scripted(tmp_path, rule) as api:
        stopped(api, signal.SIGKILL, lambda: state(api)["batches"]["created"] == 1)
        done = in_batches(api, "--resume")
        assert done.code == 0, done.err
        assert nothing_is_paid_twice(api)
        assert [batch["requests"] for batch in asked(api, "batches")] == [19]
        assert (tmp_path / "out.csv").read_bytes() == live(api)


def test_ctrl_c_leaves_the_batches_at_work_and_says_how_to_go_on(tmp_path: Path) -> None:
    with scripted(tmp_path, batch_ms=3_000) as api:
        begun = stopped(
            api, signal.SIGINT, lambda: b'"submitted"' in state_file(tmp_path).read_bytes()
        )
        assert begun.code == 130
        assert "1 batches go on at the API" in begun.err
        assert "the same command with --resume goes on, and pays none twice" in begun.err
        refused = mapped(api, *QUESTION, "--out", "out.csv", "--resume")
        assert (refused.code, "are at work: --mode batch goes on" in refused.err) == (2, True)
        done = in_batches(api, "--resume")
        assert done.code == 0, done.err
        (batch,) = asked(api, "batches")
        assert (batch["succeeded"], batch["canceled"]) == (19, 0)
        assert nothing_is_paid_twice(api)
        assert (tmp_path / "out.csv").read_bytes() == live(api)


def state_file(directory: Path) -> Path:
    path = directory / "out.csv.batches"
    path.touch()
    return path


def test_force_cancels_the_batches_of_the_run_before(tmp_path: Path) -> None:
    with scripted(tmp_path, {"fault": "slow_batch", "calls": 1, "delay_ms": 600_000}) as api:
        stopped(api, signal.SIGKILL, lambda: b'"submitted"' in state_file(tmp_path).read_bytes())
        done = in_batches(api, "--force")
        assert done.code == 0, done.err
        assert "cancelled batch msgbatch_" in done.err
        first, second = asked(api, "batches")
        assert (first["canceled"], second["succeeded"]) == (19, 19)
    assert left(tmp_path) == {"out.csv"}


def test_a_state_without_its_journal_is_not_given_up_by_chance(tmp_path: Path) -> None:
    with scripted(tmp_path, batch_ms=60_000) as api:
        stopped(api, signal.SIGKILL, lambda: b'"submitted"' in state_file(tmp_path).read_bytes())
        (tmp_path / "out.csv.journal").unlink()
        for more in ((), ("--resume",)):
            done = in_batches(api, *more)
            assert (done.code, "its journal is not" in done.err) == (2, True), done.err
        (batch,) = asked(api, "batches")
        assert batch["status"] == "in_progress"


def test_a_refused_resume_leaves_no_state_behind(tmp_path: Path) -> None:
    """It stood in the way of live mode."""
    with scripted(tmp_path) as api:
        (tmp_path / "out.csv.journal").write_bytes(head_line({"model": "another"}, 1))
        done = in_batches(api, "--resume")
        assert (done.code, "another" in done.err) == (2, True)
    assert left(tmp_path) == {"out.csv.journal"}


def test_what_live_mode_has_answered_is_not_asked_in_a_batch(tmp_path: Path) -> None:
    with scripted(tmp_path, latency_ms=200) as api:
        journal = tmp_path / "out.csv.journal"
        with forked.running(
            "streams", "map", *QUESTION, "--out", "out.csv", "--max-in-flight", "1",
            env=environ(**api.variables), cwd=tmp_path,
            stdout=forked.PIPE, stderr=forked.PIPE,
        ) as process:  # fmt: skip
            while not journal.exists() or journal.read_bytes().count(b"\n") < 31:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            process.communicate(TIMEOUT_S)
        answered = journal.read_bytes().count(b"\n") - 1
        done = in_batches(api, "--resume", "--json")
        assert done.code == 0, done.err
        assert state(api)["items_answered_more_than_once"] <= 10  # a call was in flight
        assert (tmp_path / "out.csv").read_bytes() == live(api)
    assert done.lines[0]["resumed"] == answered


def test_a_key_that_is_refused_ends_it_before_any_batch(tmp_path: Path) -> None:
    with scripted(tmp_path, {"fault": "unauthorized", "endpoint": "*"}) as api:
        done = in_batches(api)
        assert done.code == 1
        assert "the API refuses every call: HTTP 401" in done.err
        assert asked(api, "batches") == []


WRONG = [
    (("-", "--labels", "a,b", "--out", "out.csv", "--format", "csv"), "name a file"),
    (("in.csv", "--labels", "a,b"), "name a file, and one for the rows with --out"),
    (("in.csv", "--operation", "embed", "--out", "out.csv"), "voyage has no Message Batches"),
    (("in.csv", "--labels", "a,b", "--out", "out.csv", "--text", "no"), "no column for the text"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_work_in_batches_is_said_before_anything_is_written(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with scripted(tmp_path) as api:
        done = mapped(api, *arguments, "--mode", "batch")
        assert (done.code, message in done.err) == (2, True), done.err
        assert state(api)["requests"] == 0
    assert left(tmp_path) == set()


def test_a_dry_run_shows_both_modes_side_by_side(tmp_path: Path) -> None:
    with scripted(tmp_path) as api:
        (found,) = mapped(api, *QUESTION, "--dry-run", "--json").lines
        embeds = mapped(api, "in.csv", "--operation", "embed", "--dry-run", "--json").lines[0]
        told = mapped(api, *QUESTION, "--dry-run").err
    assert found["batch"]["cost_usd"] == pytest.approx(found["live"]["cost_usd"] / 2)
    assert found["batch"]["time_s"] == 3600
    assert embeds["batch"] is None
    assert "live $" in told
    assert "batch $" in told
