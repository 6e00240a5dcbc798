"""The simulator in a process of its own, as an API would be, and the SDKs that call it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import NamedTuple


class Addresses(NamedTuple):
    """The base URLs, as each SDK takes them."""

    anthropic: str
    voyage: str


@contextlib.asynccontextmanager
async def simulator(latency_ms: float) -> AsyncIterator[Addresses]:
    os.environ.setdefault("ANTHROPIC_API_KEY", "sk-ant-none")
    os.environ.setdefault("VOYAGE_API_KEY", "pa-none")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streams", "simulate", "--latency-ms", str(latency_ms),
        "--answers", "hash", "--json", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = json.loads(await process.stdout.readline())
        yield Addresses(said["anthropic_base_url"], said["voyage_base_url"])
    finally:
        process.terminate()
        await process.wait()
