"""A server on 127.0.0.1 that speaks the wire formats of the Anthropic and the Voyage API.

For trying out without a key, and for tests: it counts, limits, delays, fails by script and keeps a
journal of every request. `serve` starts it in a program's own event loop, `run` as a program, and
`run_program` another program beside it.

Reading order: `http_server` (a request's way), `endpoints`, `wire`, `calls`, `simulation` (the
state that requests share); Claude: `messages`, `prompt`, `validation`, `schemas`,
`cache`, `catalogue` (models and prices), `models`; batches: `batches`, `batch_course`,
`batch_work`, `batch_endpoints`, `submissions`; answers: `synthesis` (values for any schema),
`encoder`, `text_pieces`, `tokens`; Voyage: `embeddings`, `unit_vectors`; what goes wrong: `script`,
`fault_names`, `fault_replies`, `corruption`; limits: `account_limits`, `rate_limits`,
`acceleration`; accounts: `journal`, `control`; start and stop: `simulator_settings`,
`running_server`, `program`.
"""

from streams.simulator.program import run_program
from streams.simulator.running_server import Simulator, run, serve
from streams.simulator.simulator_settings import SimulatorSettings

__all__ = ["Simulator", "SimulatorSettings", "run", "run_program", "serve"]
