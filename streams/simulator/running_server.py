"""Starts and stops the simulator: inside a program (`serve`) or as a program of its own (`run`)."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

import orjson
from aiohttp import web

from streams.errors import UsageError
from streams.simulator.http_server import Request, Server
from streams.simulator.simulation import Simulation
from streams.simulator.simulator_settings import SimulatorSettings
from streams.standard_streams import put

HOST: Final = "127.0.0.1"
_IDLE_S: Final = 3600.0
"""Longer than any client keeps a connection, so that no client uses a connection that was just
closed."""
_INTERRUPTED: Final = 130


class Simulator:
    """A simulator that is running. `port`: where it listens on 127.0.0.1.

    `url`: the base URL for the Anthropic SDK; `voyage_url`: the one for Voyage's.
    `simulation`: its state, for tests in the same process.
    """

    def __init__(self, server: Server, runner: web.ServerRunner, port: int) -> None:
        self.simulation = server.simulation
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.voyage_url = f"{self.url}/v1"
        self._server = server
        self._runner = runner

    def state(self) -> dict[str, Any]:
        """The same as `GET /simulator/state`."""
        return self.simulation.state()

    async def idle(self) -> None:
        """Waits until no call is open: all are answered, or their clients have gone."""
        await self.simulation.journal.idle.wait()

    async def stop(self) -> None:
        """Stops listening and drops what is open. Does nothing the second time."""
        await self._server.drop()
        await self._runner.cleanup()
        self.simulation.close()


async def serve(settings: SimulatorSettings | None = None) -> Simulator:
    """Starts a simulator in this event loop; it accepts connections when this returns.

    `settings`: None for the defaults. Raises UsageError for a script that cannot be used, OSError
    where the port is taken.
    """
    settings = settings or SimulatorSettings()
    simulation = Simulation(settings)
    server = Server(simulation)
    http = web.Server(
        server.handle,
        request_factory=Request,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=_IDLE_S,
    )
    # The requests are dropped before this (`stop`); 0 would mean to wait for ever.
    runner = web.ServerRunner(http, handle_signals=False, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, settings.port, backlog=1024)
        await site.start()
    except OSError:
        await runner.cleanup()
        simulation.close()
        raise
    simulation.start()
    return Simulator(server, runner, runner.addresses[0][1])


def run(settings: SimulatorSettings, *, as_json: bool = False) -> int:
    """Runs a simulator until SIGTERM (returns 0) or SIGINT (returns 130).

    Prints on stdout where it listens when it does: a line for each SDK, or with `as_json` one JSON
    object {"port", "anthropic_base_url", "voyage_base_url", "answers", "seed"}. Raises UsageError
    for settings that cannot be used, a taken port among them.
    """
    return asyncio.run(_run(settings, as_json))


async def listening(settings: SimulatorSettings) -> Simulator:
    """As `serve`, but a port that cannot be used is a UsageError."""
    try:
        return await serve(settings)
    except OSError as error:
        raise UsageError(f"cannot listen on {HOST}:{settings.port}: {error.strerror}") from None


async def _run(settings: SimulatorSettings, as_json: bool) -> int:
    simulator = await listening(settings)
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    for received, code in ((signal.SIGTERM, 0), (signal.SIGINT, _INTERRUPTED)):
        asyncio.get_running_loop().add_signal_handler(received, _end, ended, code)
    put(_announcement(simulator, as_json).encode())
    try:
        return await ended
    finally:
        await simulator.stop()


def _end(ended: asyncio.Future[int], code: int) -> None:
    if not ended.done():
        ended.set_result(code)


def _announcement(simulator: Simulator, as_json: bool) -> str:
    state = simulator.state()
    if as_json:
        line = {
            "port": simulator.port,
            "anthropic_base_url": simulator.url,
            "voyage_base_url": simulator.voyage_url,
            "answers": state["answers"],
            "seed": state["seed"],
        }
        return orjson.dumps(line).decode() + "\n"
    return (
        f"Anthropic base_url: {simulator.url}\n"
        f"Voyage base_url:    {simulator.voyage_url}\n"
        f"answers: {state['answers']}, seed {state['seed']}\n"
    )
