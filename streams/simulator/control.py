"""The simulator's own endpoints, under /simulator/: state, ledger (the journal), batches and
requests (the journal of the Message Batches), limits, reset, script.

They need no key, get no faults and are not in the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from streams.errors import UsageError
from streams.simulator.encoder import READ_CHARACTERS
from streams.simulator.script import load_script
from streams.simulator.simulator_settings import SimulatorSettings
from streams.simulator.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.simulator.simulation import Simulation

PREFIX = "/simulator/"


def control(
    simulation: Simulation, method: str, path: str, query: Mapping[str, str], body: bytes
) -> Reply:
    """One request to an endpoint of the simulator's own; 404 for any other."""
    match method, path.removeprefix(PREFIX):
        case "GET", "state":
            return _json(simulation.state())
        case "GET", "ledger":
            return _journal(simulation, query.get("since", "0"))
        case "GET", "batches":
            return _lines(simulation.submissions.batches())
        case "GET", "requests":
            return _lines(simulation.submissions.requests(query.get("batch")))
        case "GET", "limits":
            return _json(simulation.limits.state(simulation.now()))
        case "POST", "limits":
            return _limits(simulation, body)
        case "POST", "reset":
            simulation.reset()
            return _json({"reset": True})
        case "POST", "script":
            return _script(simulation, body)
        case _:
            return _json({"error": f"no such endpoint: {method} {path}"}, 404)


async def read_ahead(simulation: Simulation, body: bytes) -> Reply:
    """POST /simulator/read, a JSON list of texts: the encoder reads them now, so that answers about
    them take the simulated latency and no more. An API's thinking is not done on our processor."""
    try:
        texts = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _json({"error": f"not JSON: {error}"}, 400)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return _json({"error": "a list of texts is expected"}, 400)
    if simulation.encoder is not None:
        await simulation.encoder.vectors([text[:READ_CHARACTERS] for text in texts])
    return _json({"texts": len(texts)})


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(value))


def _journal(simulation: Simulation, since: str) -> Reply:
    if not since.isdecimal():
        return _json({"error": f"since: a number is expected, not {since!r}"}, 400)
    return _lines(simulation.journal.since(int(since)))


def _lines(records: Iterable[object]) -> Reply:
    lines = [orjson.dumps(record) + b"\n" for record in records]
    return Reply(200, b"".join(lines), content_type="application/x-ndjson")


def _limits(simulation: Simulation, body: bytes) -> Reply:
    """Changes the limits: `factor`, `others_share`; what is not given stays."""
    try:
        wanted = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _json({"error": f"not JSON: {error}"}, 400)
    limits, now = simulation.limits, simulation.now()
    fields = {"factor": limits.factor, "others_share": limits.others_share}
    if not isinstance(wanted, dict) or not wanted.keys() <= fields.keys():
        return _json({"error": "an object with `factor`, `others_share` or both is expected"}, 400)
    fields |= wanted
    try:
        SimulatorSettings(
            limit_changes=[(0, fields["factor"])], others_share=fields["others_share"]
        )
    except (TypeError, UsageError) as error:
        return _json({"error": str(error)}, 400)
    limits.change(fields["factor"], fields["others_share"], now)
    return _json(limits.state(now))


def _script(simulation: Simulation, body: bytes) -> Reply:
    """Replaces the script; an empty list ends all faults."""
    try:
        simulation.script = load_script(orjson.loads(body or b"[]"), simulation.seed)
    except orjson.JSONDecodeError as error:
        return _json({"error": f"not JSON: {error}"}, 400)
    except UsageError as error:
        return _json({"error": str(error)}, 400)
    return _json({"rules": len(simulation.script.rules)})
