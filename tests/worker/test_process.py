"""A worker as a process ends when it must, whatever hinders it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import pytest

APP = """
import asyncio, gc, logging, sys
from streams.codec.records import Decoder
from streams import process
from streams.running.logs import configure

class Host:
    async def drain(self, within_s): return True
    def summary(self): return {}

class App:
    fatal = crash_reason = None
    record_host = Host()

    class streams_settings:
        class worker:
            shutdown_timeout_s = 3

    def stop_for(self, error):
        self.fatal = error
        self.on_fatal(error)

    async def start(self):
        ACT

    async def talk(self):
        while True:
            logging.getLogger("streams.x").warning("x" * 2000)
            await asyncio.sleep(0)

    async def wait_until_stopped(self): await asyncio.sleep(1e6)
    async def stop(self): pass

BEFORE
configure()
process.COLLECT_EVERY_S = 0.05
sys.exit(process.Process(App(), as_json=False).run())
"""


def program(act: str, before: str = "") -> list[str]:
    """`act`: what its start does; `before`: what is done before it runs."""
    return [sys.executable, "-c", APP.replace("ACT", act).replace("BEFORE", before)]


def buffered() -> dict[str, str]:
    """As users have it: the images of CI often say otherwise, and hide what this is about."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_whose_log_nobody_reads_stops_all_the_same(signals):
    """A second signal ends it at once, and after one it ends within shutdown_timeout_s."""
    reading, writing = os.pipe()
    act = "self.talking = asyncio.ensure_future(self.talk())"
    worker = subprocess.Popen(
        program(act), stderr=writing, stdout=subprocess.DEVNULL, env=buffered()
    )
    try:
        deadline = time.monotonic() + 30
        while select.select([], [writing], [], 0)[1]:  # until the pipe is full
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for _ in range(signals):
            worker.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert worker.wait(20) == (130 if signals == 2 else 1)
    finally:
        worker.kill()
        worker.wait()
        os.close(reading)
        os.close(writing)


LATE = """
import os, signal
real = asyncio.run

def run(main):
    os.kill(os.getpid(), signal.SIGTERM)
    return real(main)

asyncio.run = run
"""


def test_a_signal_before_there_is_a_loop_stops_the_worker():
    ended = subprocess.run(program("pass", LATE), capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_callback_of_ours_that_raises_ends_the_worker():
    """What it was to do is not done: better an end with 1 than a worker that stands still."""
    act = "asyncio.get_running_loop().call_soon(Decoder().decode, [None])"
    ended = subprocess.run(program(act), capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert b"the worker failed: AttributeError" in ended.stderr


def test_a_callback_of_somebody_elses_that_raises_is_told_and_the_worker_goes_on():
    act = """
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: 1 / 0)
        loop.call_later(0.5, self.stop_for, process.StreamsError("still here"))
    """
    ended = subprocess.run(program(act.strip()), capture_output=True, timeout=60, check=False)
    assert b"ZeroDivisionError" in ended.stderr
    assert b"still here" in ended.stderr


def test_garbage_in_cycles_does_not_wait_for_fifty_thousand_objects():
    act = """
        import weakref
        class Cycle:
            pass
        seen = []
        def leave():
            cycle = Cycle()
            cycle.itself = cycle
            seen.append(weakref.ref(cycle))
        loop = asyncio.get_running_loop()
        loop.call_later(0.2, leave)
        loop.call_later(1.0, lambda: print("left", seen[0]() is not None, flush=True))
        loop.call_later(1.2, self.stop_for, process.StreamsError("done"))
    """
    ended = subprocess.run(program(act.strip()), capture_output=True, timeout=60, check=False)
    assert b"left False" in ended.stdout


FOR_EVER = "await asyncio.sleep(1e6)"


def test_sigterm_before_the_first_assignment_ends_a_worker_at_once_with_0():
    """The start lasts until partitions are assigned, which a group may never do."""
    act = f"print('starting', flush=True); {FOR_EVER}"
    worker = subprocess.Popen(program(act), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"starting\n"
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        assert time.monotonic() - began < 2.5, "not after shutdown_timeout_s, which is 3"
    finally:
        worker.kill()
        worker.communicate()


def test_a_fatal_error_before_the_first_assignment_ends_a_worker():
    act = (
        "from streams.errors import BrokerError;"
        f"asyncio.get_running_loop().call_soon(self.stop_for, BrokerError('no way')); {FOR_EVER}"
    )
    done = subprocess.run(program(act), capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert b"no way" in done.stderr
