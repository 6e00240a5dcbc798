"""`docs/library.md` does what it says: every block of it runs, and its table is the signature."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from streams import map_batches
from streams.running.work import LimitOptions, Options
from tests.integration.simulated import Simulated, simulated

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text()
EXAMPLES = (ROOT / "examples" / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def api() -> Iterator[Simulated]:
    with simulated(latency_ms=0) as running:
        yield running


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{number}" for number in range(len(BLOCKS))])
def test_each_block_of_the_page_runs_as_a_program(block: str, api: Simulated) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        env={**os.environ, **api.variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_page_has_blocks_and_they_check_something() -> None:
    assert len(BLOCKS) >= 10
    assert all("assert" in block for block in BLOCKS)


def test_the_table_of_limits_is_the_signature_with_its_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    parameters = inspect.signature(map_batches).parameters.values()
    defaults = {field.name: str(field.default) for field in fields(Options)}
    wanted = [(name, defaults[name]) for name in LimitOptions.__annotations__]
    wanted += [
        (each.name, str(each.default)) for each in parameters if each.kind is each.KEYWORD_ONLY
    ]
    assert rows == wanted


def test_every_section_that_the_page_links_to_is_there() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for example in re.findall(r"library\.md#([^)]+)\)", EXAMPLES):
        assert example in anchors
