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
    tasks = ()

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
real = asyncio.Runner

def runner():
    os.kill(os.getpid(), signal.SIGTERM)
    return real()

asyncio.Runner = runner
"""


def test_a_signal_before_there_is_a_loop_stops_the_worker():
    ended = subprocess.run(program("pass", LATE), capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_callback_of_ours_that_raises_ends_the_worker():
    """What it was to do is not done: better an end with 1 than a worker that stands still."""
    act = "asyncio.get_running_loop().call_soon(Decoder().decode, [None], 'source', 0)"
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
        def look(times):
            left = seen[0]() is not None
            if left and times:  # a busy machine makes fewer objects in a second
                loop.call_later(0.2, look, times - 1)
                return
            print("left", left, flush=True)
            self.stop_for(process.StreamsError("done"))
        loop.call_later(1.0, look, 50)
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
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0, "after shutdown_timeout_s it would be 1"
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


# -- what ends the loop ends the process -----------------------------------------------------------

LOOP = "loop = asyncio.get_running_loop()"
WAYS = {
    "a KeyboardInterrupt in a task": (
        "loop.call_later(0.1, lambda: setattr(self, 'x', loop.create_task(task(interrupt))))",
        130,
        "KeyboardInterrupt at <string>:",
    ),
    "loop.stop()": ("loop.call_later(0.1, loop.stop)", 1, "loop.stop()"),
    "all tasks are cancelled": (
        "loop.call_later(0.1, lambda: [each.cancel() for each in asyncio.all_tasks()])",
        1,
        "cancelled its main task",
    ),
}

HARM = """
def interrupt():
    raise KeyboardInterrupt

async def task(what):
    what()

async def drags(self):  # as leaving the group does once the Kafka client's tasks are cancelled
    await asyncio.sleep(60)

App.stop = drags
"""


@pytest.mark.parametrize("way", WAYS)
def test_what_ends_the_loop_ends_the_process_at_once_with_a_line(way):
    """It left a process with a closed loop: no page, and no exit before the watchdog's."""
    act, code, text = WAYS[way]
    began = time.monotonic()
    ended = subprocess.run(
        program(f"{LOOP}; {act}", HARM), capture_output=True, timeout=50, check=False, text=True
    )
    assert ended.returncode == code, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert "the worker ends at once" in line
    assert text in line
    assert time.monotonic() - began < 30


def test_everything_committed_is_0_though_closing_fails_and_nobody_takes_the_summary():
    act = f"{LOOP}; loop.call_later(0.1, lambda: os.kill(os.getpid(), 15))"
    before = """
import os

async def fails(self):
    raise OSError("the broker has gone")

App.stop = fails
"""
    with open("/dev/full", "wb") as full:
        command = program(act, before)
        command[-1] = command[-1].replace("as_json=False", "as_json=True")
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False, text=True
        )
    assert ended.returncode == 0, ended.stderr
    assert "the summary is not printed" in ended.stderr
    assert "closing failed: OSError('the broker has gone')" in ended.stderr
    assert "Traceback" not in ended.stderr
