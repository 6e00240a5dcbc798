"""The first code of the command `streams`: a worker answers signals before anything is imported.

The imports of a worker take a second, and its start several. A signal in that time has nothing to
finish and ends it with 0; `streams.process` takes over from there.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(0)


def run() -> NoReturn:
    """The entry point of the command `streams`."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if command == "worker":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
    from streams.cli.main import main

    sys.exit(main(sys.argv[1:]))
