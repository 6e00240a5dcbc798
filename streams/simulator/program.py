"""A program beside a simulator: every call that it makes through the SDKs is answered here.

streams simulate python classify.py  ─►  the program, with the simulator's addresses and a key in
                                         its environment  ─►  the program's exit code
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from streams.errors import UsageError
from streams.simulator.running_server import Simulator, listening
from streams.simulator.simulator_settings import SimulatorSettings

_KILLED_BY = 128
"""A shell adds it to the number of the signal that ended a program."""


def run_program(settings: SimulatorSettings, command: Sequence[str]) -> int:
    """Runs `command` until it ends; returns its exit code, 128 + N after signal N.

    SIGTERM goes on to the program; Ctrl-C reaches it by itself. Says at the end, on stderr, how
    many calls it made. Raises UsageError for a program that cannot be started, and as `run`.
    """
    return asyncio.run(_run(settings, command))


async def _run(settings: SimulatorSettings, command: Sequence[str]) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the program's end is ours
    simulator = await listening(settings)
    try:
        environ = {**os.environ, **variables(simulator)}
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environ)
        except OSError as error:
            raise UsageError(f"cannot run {command[0]}: {error.strerror}") from None
        stopping = asyncio.ensure_future(_stop(process, stopped))
        code = await process.wait()
        stopping.cancel()
        sys.stderr.write(_account(simulator))
    finally:
        await simulator.stop()
    return code if code >= 0 else _KILLED_BY - code


async def _stop(process: asyncio.subprocess.Process, stopped: asyncio.Event) -> None:
    await stopped.wait()
    process.terminate()


def variables(simulator: Simulator) -> dict[str, str]:
    """The environment of its callers. They win over the addresses of a configuration, too, so that
    nothing is paid by mistake."""
    return {
        "ANTHROPIC_API_KEY": "simulated",
        "ANTHROPIC_BASE_URL": simulator.url,
        "STREAMS_PROVIDER__ANTHROPIC__BASE_URL": simulator.url,
        "VOYAGE_API_KEY": "simulated",
        "VOYAGE_BASE_URL": simulator.voyage_url,
        "STREAMS_PROVIDER__VOYAGE__BASE_URL": simulator.voyage_url,
    }


def _account(simulator: Simulator) -> str:
    state = simulator.state()
    return f"simulator: {state['calls']} calls, {state['items']} items; nothing was paid\n"
