"""The API simulator as a process of its own, so that it takes no time from our loop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from streams.errors import StreamsError
from streams.kafka.broker.child import TiedProcess

LATENCY_MS: Final = 200
ENVIRON: Final = {"ANTHROPIC_API_KEY": "simulated", "VOYAGE_API_KEY": "simulated"}
"""The keys of its callers: it takes any."""

_START_WITHIN_S: Final = 30.0
_END_WITHIN_S: Final = 5.0


@asynccontextmanager
async def own_simulator(latency_ms: float = LATENCY_MS) -> AsyncIterator[dict[str, Any]]:
    """Runs until the block ends, or this process does, in any way. Gives what it says of itself:
    "anthropic_base_url", "voyage_base_url", "answers". Raises StreamsError."""
    command = [sys.executable, "-m", "streams.simulator", "--latency-ms", str(latency_ms)]
    process = TiedProcess(command, output=subprocess.PIPE, environ=os.environ, directory=Path.cwd())
    output = process.popen.stdout
    assert output is not None
    try:
        line = await asyncio.wait_for(asyncio.to_thread(output.readline), _START_WITHIN_S)
        try:
            told = json.loads(line)
        except ValueError:
            raise StreamsError("the API simulator did not start") from None
        yield told
    finally:
        await asyncio.to_thread(process.terminate, _END_WITHIN_S)
        output.close()
