"""SIGTERM ends a command that sends records as Ctrl-C does: it says how far it came."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """As `asyncio.run`; after SIGTERM, too, the work is cancelled, and KeyboardInterrupt raised."""
    stopped = False

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            nonlocal stopped
            stopped = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            await work
        except asyncio.CancelledError:
            if not stopped:
                raise

    asyncio.run(body())
    if stopped:
        raise KeyboardInterrupt
