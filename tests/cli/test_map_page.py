"""docs/map.md says what the command does: its examples run, its tables are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from streams.jobs.map_file.map_progress import MapProgress
from tests.cli.map_runs import mapped, simulated_api

PAGE = (Path(__file__).parents[2] / "docs" / "map.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ streams map (.+)$", PAGE, re.MULTILINE)


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    rows = "".join(f'{n},"It works, mostly: {n}"\n' for n in range(45))
    (tmp_path / "reviews.csv").write_text(f"id,review\n{rows}")
    assert len(COMMANDS) == 4
    with simulated_api(tmp_path) as api:
        for command in COMMANDS:
            done = mapped(api, *shlex.split(command))
            assert done.code == 0, done.err
        asked = [each["endpoint"] for each in api.requests if each["items"]]
        assert asked == ["messages"] * 4 + ["batch_request"] * 2
    assert (tmp_path / "labelled.csv").read_text().startswith("id,review,label\n")
    assert (tmp_path / "cheap.csv").read_text() == (tmp_path / "labelled.csv").read_text()


def test_the_page_has_every_key_of_the_summary() -> None:
    progress = MapProgress(tell=print, changed=lambda now: None)
    keys = re.search(r"`--json`: `\{(.*?)\}`", PAGE, re.DOTALL)
    assert keys is not None
    assert re.findall(r'"(\w+)"', keys[1]) == list(progress.summary())


def test_the_page_has_every_option(tmp_path: Path) -> None:
    import typer.main

    from streams.cli.main import app

    command = typer.main.get_command(app).commands["map"]  # type: ignore[attr-defined]
    options = {option for each in command.params for option in each.opts if option[:2] == "--"}
    missing = {option for option in options if option not in PAGE}
    assert missing <= {"--config", "--debug", "--help"}
