"""A worker as a process: signals, the time limit of a stop, the exit code (contract G9).

    run ──► app.start() ──► signal | fatal error | crash ──► drain ──► app.stop() ──► exit code
                └── before the first assignment, too ──┘
                                   │
                                   └─► watchdog thread: ends the process at `shutdown_timeout_s`

Codes: 0 all outcomes are committed; 1 they could not be committed, or the worker failed; 130 a
second signal, or a KeyboardInterrupt in a function. What else ends the loop (`loop.stop()`, a
callback that calls sys.exit) ends the process at once: asyncio would cancel every task, those of
the Kafka client too, and leave a process that does nothing.

Faust's own worker is not used: its stop survives a frozen broker for more than a minute and ignores
the second signal (measured on 0.15.3).
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json as codec
import logging
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from streams.app import App
from streams.errors import OutputError, StreamsError, UsageError
from streams.running.collector import collect_seldom
from streams.running.logs import configure
from streams.settings import Settings
from streams.standard_streams import put
from streams.user_code import raised_at

logger = logging.getLogger(__name__)

PACKAGE = str(Path(__file__).parent) + os.sep

INTERRUPTED = 130

SWITCH_S = 0.0005

COLLECT_EVERY_S = 10.0
COLLECT_SHARE = 200
"""A collection takes a millisecond, or some tens of them while 64 MB of items wait; a longer one
runs less often."""

LEAVE_WITHIN_S = 3.0
"""The part of `shutdown_timeout_s` for leaving the group and closing connections."""


class Process:
    """Runs one app until it has to stop."""

    def __init__(self, app: App, *, as_json: bool) -> None:
        self._app = app
        self._as_json = as_json
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._signals = 0
        self._exit_code = 1
        self._timeout_s = app.streams_settings.worker.shutdown_timeout_s

    def run(self) -> int:
        """Returns the exit code; ends the process if a stop hangs or a second signal comes."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)  # to the end of the process, which comes next
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self._serve())
            try:
                return loop.run_until_complete(serving)
            except BaseException as error:
                if not serving.done() or serving.cancelled():
                    self._end_for(error)
                raise

    def _end_for(self, error: BaseException) -> NoReturn:
        """Something else than our own end has ended the loop."""
        why = f"{type(error).__name__}{raised_at(error)}"
        if isinstance(error, asyncio.CancelledError):
            why = "something has cancelled its main task"
        elif isinstance(error, RuntimeError):
            why = "something has called loop.stop()"
        logger.error("the worker ends at once, and another goes on at the last commit: %s", why)
        self._end_now(INTERRUPTED if isinstance(error, KeyboardInterrupt) else self._exit_code)

    def _on_signal(self, number: int, frame: Any) -> None:
        # A plain handler, not the loop's: it runs also while a function of the user's blocks it.
        self._signals += 1
        if self._signals > 1:
            self._end_now(INTERRUPTED)
        self._watch()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    def _watch(self) -> None:
        watchdog = threading.Timer(self._timeout_s, lambda: self._end_now(self._exit_code))
        watchdog.daemon = True
        watchdog.start()

    @staticmethod
    def _end_now(code: int) -> NoReturn:
        # No flush: every write has flushed already, and if nobody reads the pipe any more a flush
        # would wait here for ever.
        os._exit(code)

    async def _serve(self) -> int:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._on_uncaught_error)
        if self._signals:  # one came before there was a loop to tell
            self._stop.set()
        self._app.on_fatal = lambda error: self._stop.set()
        try:
            await self._work()
            failed = self._failure()
            if failed is not None and not self._signals:
                self._watch()
            committed = await self._drain()
            self._exit_code = 0 if committed and failed is None else 1
            self._print_summary()
        except asyncio.CancelledError as error:  # by a function that cancels all tasks
            self._end_for(error)
        finally:
            await self._leave()
        if isinstance(failed, StreamsError):
            raise failed
        return self._exit_code

    async def _work(self) -> None:
        """Until a signal, a fatal error, or a crash of one of Faust's services. The start ends with
        the first assignment, which a group may never give, and so it is not waited for alone."""
        starting = asyncio.ensure_future(self._app.start())
        collecting = asyncio.ensure_future(_collect(starting))
        stopping = asyncio.ensure_future(self._stop.wait())
        crashed = asyncio.ensure_future(self._app.wait_until_stopped())
        waiting = {stopping, crashed}
        try:
            done, _ = await asyncio.wait({starting, *waiting}, return_when=asyncio.FIRST_COMPLETED)
            if starting in done:
                starting.result()
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (starting, collecting, *waiting):
                each.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    def _on_uncaught_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback raised an error that nobody awaits. If it is one of ours, its work is not done
        and no rule covers that: the worker stops instead of standing still."""
        loop.default_exception_handler(context)
        error = context.get("exception")
        if error is not None and "handle" in context and _is_ours(error):
            self._app.stop_for(error)

    def _failure(self) -> BaseException | None:
        error: BaseException | None = self._app.fatal or self._app.crash_reason
        if error is not None and not isinstance(error, StreamsError):
            logger.error("the worker failed: %r", error, exc_info=error)
        return error

    async def _drain(self) -> bool:
        within_s = max(0.2, self._timeout_s - min(LEAVE_WITHIN_S, self._timeout_s / 2))
        committed = await self._app.record_host.drain(within_s)
        if not committed:
            logger.error("stopping without the last commit: its results will be made again")
        return committed

    async def _leave(self) -> None:
        """Leave the group and close everything."""
        try:
            await self._app.stop()
        except Exception as error:
            if self._exit_code:
                raise
            logger.warning("everything is committed; closing failed: %r", error)

    def _print_summary(self) -> None:
        """The code says what is committed, also where nobody can read the summary."""
        summary, tasks = self._app.record_host.summary(), self._app.record_host.tasks
        for task in tasks if len(tasks) > 1 else ():
            logger.info("task %s: %s", task.parts.name, task.call_tally.bill)
        try:
            if self._as_json:
                put(codec.dumps(summary).encode() + b"\n")
            else:
                facts = " ".join(f"{key}={value}" for key, value in summary.items())
                sys.stderr.write(f"{facts}\n")
                sys.stderr.flush()
        except (OSError, OutputError) as error:
            logger.warning("the summary is not printed: %s", error)


def _tune() -> None:
    """The worker's loop gives the interpreter up at every write to a socket; the consumer's thread,
    busy with a fetch, would keep it for the default 5 ms each time."""
    collect_seldom()
    sys.setswitchinterval(SWITCH_S)


def _is_ours(error: BaseException) -> bool:
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return any(file.startswith(PACKAGE) for file in files)


async def _collect(started: asyncio.Future[None]) -> None:
    """Few collections by number (`_tune`) are rare where little happens: garbage in cycles, such as
    an error of a function that its own frame holds, would keep its items for an hour."""
    await asyncio.wait((started,))
    _tune()
    took_s = 0.0
    while True:
        await asyncio.sleep(max(COLLECT_EVERY_S, COLLECT_SHARE * took_s))
        began = time.perf_counter()
        gc.collect()
        took_s = time.perf_counter() - began


def run_app(app: App, *, as_json: bool = False, yes: bool = False) -> int:
    """Run a worker until SIGTERM, SIGINT or a failure; returns its exit code. `yes`: it may begin
    with a long history of a paid provider."""
    configure()
    if yes:
        app.begin_anyway()
    return Process(app, as_json=as_json).run()


def load_app(spec: str) -> App:
    """The app that `MODULE:ATTR` names, looked for in the current directory too.

    Raises UsageError with what to write instead; what the module itself raises passes.
    """
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise UsageError(f"--app {spec}: write MODULE:ATTR, as in --app myproject.app:app")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise UsageError(f"--app {spec}: there is no module {error.name} here") from None
        raise
    found = getattr(module, attribute, None)
    if not isinstance(found, App):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise UsageError(f"--app {spec}: {attribute} is {what}, not a streams.App")
    return found


def run(settings: Settings | None, *, app: str | None, json: bool, yes: bool = False) -> int:
    """The `worker` command: the tasks of `settings`, or with `app` (MODULE:ATTR) that app under its
    own configuration. `yes`: see `run_app`. Returns the exit code; raises StreamsError."""
    if app is not None:
        return run_app(load_app(app), as_json=json, yes=yes)
    if settings is None:
        raise UsageError("a worker needs a configuration, or --app MODULE:ATTR")
    return run_app(App(settings), as_json=json, yes=yes)
