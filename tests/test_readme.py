"""The README's code blocks run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from streams.settings import load_settings
from tests.cli.command import streams
from tests.integration.simulated import simulated

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_there_are_blocks_of_each_kind():
    assert (len(_blocks("toml")), len(_blocks("python"))) == (1, 2)


def test_the_configuration_is_valid(tmp_path):
    path = tmp_path / "streams.toml"
    path.write_text(_blocks("toml")[0])
    (task,) = load_settings(path, {}, need_tasks=True).tasks
    assert (task.name, task.batch.max_items, task.calls.max_in_flight) == ("sentiment", 20, 5)


def test_the_first_look_at_a_file_needs_no_key():
    command = next(line for line in README.splitlines() if line.startswith("$ streams map"))
    found = streams(*shlex.split(command)[2:], cwd=CHECKOUT)
    assert found.code == 0, found.err
    assert len(found.out.splitlines()) == 1 + 20
    assert "simulated, nothing was paid" in found.err


def test_the_doors_without_kafka_run_as_a_program():
    with simulated(latency_ms=0) as api:
        environ = {**os.environ, **api.variables}
        command = [sys.executable, "-W", "error", "-c", _blocks("python")[0]]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        asked = [len(call["items"]) for call in api.journal() if call["endpoint"] == "messages"]
    assert sorted(asked) == [10, 10, 20, 20, 20, 20]


def test_the_application_runs(tmp_path, monkeypatch):
    (tmp_path / "streams.toml").write_text(_blocks("toml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMS_CONFIG", raising=False)
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(_blocks("python")[1], "the README's application", "exec"), names)
    tasks = {task.name: task.source for task in names["app"].tasks}  # type: ignore[attr-defined]
    assert tasks == {"sentiment": "reviews", "topics": "articles"}


def test_every_document_that_it_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (CHECKOUT / target).exists(), target
