"""docs/simulator.md names what there is."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

from streams.simulator import SimulatorSettings
from streams.simulator.fault_names import ENDPOINTS, FAULTS
from streams.simulator.script import Rule, load_script

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()
WORDS = set(re.findall(r"`([a-z0-9_*]+)`", PAGE))


def test_every_fault_is_in_the_table_and_nothing_else_is():
    table = PAGE.split("| fault | what happens |")[1].split("\n\n")[0]
    first_columns = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert set(re.findall(r"`(\w+)`", " ".join(first_columns))) == FAULTS


def test_every_endpoint_setting_and_condition_is_named():
    settings = {field.name for field in dataclasses.fields(SimulatorSettings)}
    undocumented = {"latency_ms", "jitter_ms", "ms_per_token"}  # as options, under their names
    assert ENDPOINTS <= WORDS
    assert settings - undocumented <= WORDS
    assert all(f"`--{name.replace('_', '-')}`" in PAGE for name in undocumented)
    assert all(re.search(rf"\b{field.name}\b", PAGE) for field in dataclasses.fields(Rule))


def test_the_scripts_shown_are_scripts():
    for shown in PAGE.split("```toml\n")[1:]:
        assert len(load_script(tomllib.loads(shown.split("```")[0]), 0).rules) == 3
