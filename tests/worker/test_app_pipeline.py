"""`app.pipeline`: which tasks it makes, and what it refuses, all at once and before the start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streams import Pipeline, expand, gather, stage
from streams.app import App
from streams.errors import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()


async def same(items: Sequence[Any]) -> list[Any]:
    return list(items)


def app_with(directory: Path, more: str = "", *, ledger: bool = False) -> App:
    """An app of a file with this at its end."""
    file = directory / "streams.toml"
    file.write_text(f'[worker]\nid = "w"\nledger = {str(ledger).lower()}\n{more}\n')
    return App.from_config(file)


def problems(app: App, **keywords: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        app.pipeline(**{"name": "docs", "source": "a", "sink": "b", "stages": [same], **keywords})
    return list(refused.value.problems)


def test_a_list_of_stages_or_a_pipeline_is_a_task(tmp_path: Path) -> None:
    app = app_with(tmp_path)
    app.pipeline(name="one", source="a", sink="b", stages=[same], order="key", mode="result")
    app.pipeline(name="two", source="b", sink="c", stages=Pipeline([expand(same), gather()]))
    assert [(task.name, task.source, task.order) for task in app.tasks] == [
        ("one", "a", "key"),
        ("two", "b", "partition"),
    ]
    assert app.tasks[0].dead_letter == "a.dead"


def test_a_task_of_the_file_gets_its_stages(tmp_path: Path) -> None:
    task = '[[task]]\nname = "docs"\nsource = "a"\nsink = "b"\noperation = "custom"\n'
    app = app_with(tmp_path, task)
    app.pipeline(name="docs", stages=[same])
    assert [each.source for each in app.tasks] == ["a"]
    refused = app_with(tmp_path, f"{task}[task.batch]\nmax_items = 3\n")
    with pytest.raises(ConfigError, match=r"task\.docs\.batch\.max_items: a pipeline's stages"):
        refused.pipeline(name="docs", stages=[same])


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    app = app_with(tmp_path)
    assert problems(app, max_items=3)[0].startswith("max_items: a pipeline's stages have their own")
    assert problems(app, stages=[expand(same)])[0].startswith("stages: an item's parts are not")
    assert problems(app, stages=[])[0] == "stages: a pipeline needs at least one stage"
    assert problems(app, operation="embed")[0].startswith("operation: unknown keyword")
    assert problems(app, sink="a") == ['sink: must be another topic than source, not "a"']
    assert app.tasks == []


def test_a_ledger_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(app_with(tmp_path, ledger=True))
    assert problem.startswith("worker.ledger: must be false with a pipeline")


def test_a_pipeline_takes_its_share_of_the_memory(tmp_path: Path) -> None:
    with_one, without = app_with(tmp_path), app_with(tmp_path)
    with_one.pipeline(name="docs", source="a", sink="b", stages=[stage(same)])

    @without.microbatch(source="a", sink="b")
    async def function(items: Sequence[Any]) -> list[Any]:
        return list(items)

    shares = [app.record_host._room._budget.item_bytes() for app in (with_one, without)]
    assert shares == [24_000_000, 32_000_000]


def test_the_pages_example_makes_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    app_with(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    (task,) = names["app"].tasks
    assert (task.name, task.source, task.sink) == ("vectors", "docs", "docs.vectors")
