"""The README's code blocks run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.settings import load_settings

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_there_are_blocks_of_each_kind():
    assert (len(_blocks("toml")), len(_blocks("python"))) == (1, 2)


def test_the_configuration_is_valid(tmp_path):
    path = tmp_path / "streams.toml"
    path.write_text(_blocks("toml")[0])
    (task,) = load_settings(path, {}, need_tasks=True).tasks
    assert (task.name, task.batch.max_items, task.calls.max_in_flight) == ("sentiment", 20, 5)


@pytest.mark.parametrize("number", [0, 1])
def test_the_python_block_runs(number, tmp_path, monkeypatch):
    (tmp_path / "streams.toml").write_text(_blocks("toml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMS_CONFIG", raising=False)
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(_blocks("python")[number], f"README block {number}", "exec"), names)
    if "app" in names:
        tasks = {task.name: task.source for task in names["app"].tasks}  # type: ignore[attr-defined]
        assert tasks == {"sentiment": "reviews", "topics": "articles"}


def test_every_document_that_it_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
