"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from streams.simulator.calls import Call
from streams.simulator.catalogue import CLAUDE, Model
from streams.simulator.wire import RefusalError, Reply

if TYPE_CHECKING:
    from streams.simulator.script import Rule
    from streams.simulator.simulation import Simulation


def _yes(supported: bool) -> dict[str, bool]:
    return {"supported": supported}


def _as_json(model: Model) -> dict[str, Any]:
    types = {
        "adaptive": _yes(model.thinks),
        "enabled": _yes(not model.thinks),
        "disabled": _yes(model.quiet == "disabled"),
        "between_tools": _yes(model.quiet == "between_tools"),
    }
    levels = {name: _yes(True) for name in ("low", "medium", "high", "xhigh", "max")}
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.display_name,
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "line": model.name.split("-")[1],
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": model.max_input,
        "max_tokens": model.max_output,
        "capabilities": {
            "batch": _yes(True),
            "citations": _yes(False),
            "code_execution": _yes(False),
            "context_management": _yes(False),
            "effort": {**_yes(True), **levels},
            "image_input": _yes(False),
            "pdf_input": _yes(False),
            "server_tools": {
                **_yes(False),
                "code_execution": _yes(False),
                "web_search": _yes(False),
            },
            "structured_outputs": _yes(True),
            "thinking": {**_yes(True), "types": types},
        },
    }


def page_limit(call: Call) -> int:
    """The query's `limit`: 20 by default, 1 to 1000. Raises RefusalError (400)."""
    limit = call.query.get("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= 1000:
        raise RefusalError(400, "limit: Input should be between 1 and 1000")
    return int(limit)


async def list_models(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """All models on one page, or `limit` of them after `after_id`."""
    names = list(CLAUDE)
    after = call.query.get("after_id", "")
    if after in CLAUDE:
        names = names[names.index(after) + 1 :]
    page = names[: page_limit(call)]
    body = {
        "data": [_as_json(CLAUDE[name]) for name in page],
        "has_more": len(page) < len(names),
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }
    return Reply(200, orjson.dumps(body))


async def one_model(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """The model named in the path."""
    model = CLAUDE.get(call.argument)
    if model is None:
        raise RefusalError(404, f"model: {call.argument}")
    return Reply(200, orjson.dumps(_as_json(model)))
