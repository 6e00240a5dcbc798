"""Time limits that hold also where the machine is busy with other things."""

from __future__ import annotations

import time
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")


class Stopwatch:
    """`took_s`: the seconds since it was made, without `waited_s`.

    `waited_s`: those in which something here waited for a processor, as the kernel counts them
    (PSI; 0 where it does not). At most half of all: twice a limit is too long on any machine. So a
    limit is at most half of what it would take if that which is tested were broken.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._pressure_s = _pressure_s()

    @property
    def waited_s(self) -> float:
        return min(_pressure_s() - self._pressure_s, (time.monotonic() - self._began) / 2)

    @property
    def took_s(self) -> float:
        return time.monotonic() - self._began - self.waited_s


def _pressure_s() -> float:
    try:
        some = PRESSURE.read_text().splitlines()[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6
