"""The first code of the command `streams`: signals are answered before anything is imported.

The imports of a worker take a second, and its start several. A signal in that time has nothing to
finish and ends it with 0; `streams.process` takes over from there. Ctrl-C ends any other command
with 130, also while Python imports, where a KeyboardInterrupt would be a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from streams.standard_streams import repair


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(130)


def run() -> NoReturn:
    """The entry point of the command `streams`."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if command == "worker":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # no shell has it ignored
        signal.signal(signal.SIGINT, _interrupt)
    repair()
    from streams.cli.main import main

    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
