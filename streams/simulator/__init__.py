"""A server on 127.0.0.1 that speaks the wire formats of the Anthropic and the Voyage API.

For trying out without a key, and for tests: it counts, limits, delays, fails by script and keeps a
ledger of every request. Start with `serve` in a program's own event loop, `run` as a program.

Reading order: server (one request's way), endpoints, messages and embeddings (the answers),
answers (values for any schema), script and faults (what goes wrong), limits, ledger, running.
"""

from streams.simulator.running_server import Simulator, run, serve
from streams.simulator.simulator_settings import SimulatorSettings

__all__ = ["Simulator", "SimulatorSettings", "run", "serve"]
