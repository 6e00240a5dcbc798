"""The settings as they are loaded make callers that work."""

from __future__ import annotations

from streams.providers import make_caller
from streams.settings import load_settings
from tests.contract.providers.conftest import ITEMS, KEYS

FILE = """
[worker]
id = "x"
[[task]]
name = "tone"
source = "a"
sink = "a.tone"
operation = "classify"
labels = ["warm", "cold"]
[[task]]
name = "vectors"
source = "b"
sink = "b.vectors"
operation = "embed"
[[task]]
name = "facts"
source = "c"
sink = "c.facts"
operation = "extract"
[task.schema]
type = "object"
[task.schema.properties.stars]
type = "integer"
minimum = 1
[[task]]
name = "summary"
source = "d"
sink = "d.summary"
operation = "generate"
instructions = "Summarise."
"""


async def test_each_operation_answers_with_its_defaults(tmp_path, simulate):
    simulator = await simulate()
    path = tmp_path / "streams.toml"
    path.write_text(FILE)
    environ = {
        **KEYS,
        "STREAMS_PROVIDER__ANTHROPIC__BASE_URL": simulator.url,
        "STREAMS_PROVIDER__VOYAGE__BASE_URL": simulator.voyage_url,
    }
    settings = load_settings(path, environ, need_tasks=True)
    answers = {}
    for task in settings.tasks:
        caller = make_caller(task, settings.provider[task.provider], environ=environ)
        answers[task.name] = (await caller(ITEMS)).answers[0]
        await caller.aclose()
    assert answers["tone"]["label"] in ("warm", "cold")
    assert answers["vectors"]["dim"] == 1024
    assert answers["facts"].get("stars", 1) >= 1
    assert isinstance(answers["summary"]["text"], str)
