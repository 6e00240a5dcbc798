"""The worker's HTTP server: `/`, `/health`, `/ready`, `/metrics`, `/state`, all read-only.

It runs in the worker's loop, so that it answers as long as that loop lives, and everything it reads
is of one moment. It is not Faust's own web server: that one takes its port from elsewhere, and its
stop waits for open connections.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from streams.errors import ConfigError
from streams.observe.metrics import WorkerMetrics
from streams.observe.web.reading import LOOK_EVERY_S, ReadingWatch
from streams.observe.web.state import StateView
from streams.worker.worker import Worker

logger = logging.getLogger(__name__)

MAX_PORTS = 100
LEAVE_WITHIN_S = 0.05
"""The time for a response in progress when the server stops; it does not wait for connections."""

START_WITHIN_S = 60.0
"""After so long without a first assignment the worker is not healthy."""

PAGE = Path(__file__).with_name("page.html")
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class WebServer:
    """Shows one worker. `address`: "host:port" to listen on. `worker_id`: the heading of the page.

    `url`: where it listens; None: it does not.
    """

    def __init__(self, worker: Worker, *, worker_id: str, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._worker = worker
        self._state = StateView(worker, worker_id)
        self._metrics = WorkerMetrics(worker)
        self._reading = ReadingWatch(worker)
        self._runner: web.AppRunner | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._began = asyncio.get_running_loop().time()
        self.url: str | None = None

    async def start(self) -> None:
        """Listen on the port, or on the next free one. Raises ConfigError where this machine does
        not allow it."""
        app = web.Application()
        for path, handler in (
            ("/", self._page),
            ("/health", self._health),
            ("/ready", self._ready),
            ("/metrics", self._exposition),
            ("/state", self._whole_state),
        ):
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=LEAVE_WITHIN_S
        )
        await self._runner.setup()
        try:
            port = await self._listen(self._runner)
        except BaseException:
            await self.stop()
            raise
        self.url = f"http://{self._address(port)}"
        if port == self._port:
            logger.info("serving %s", self.url)
        else:
            logger.warning(
                "worker.web: %s is taken; serving %s", self._address(self._port), self.url
            )
        self._look()

    async def stop(self) -> None:
        """Stop listening and close every connection, at once."""
        if self._looking is not None:
            self._looking.cancel()
        runner, self._runner, self.url = self._runner, None, None
        if runner is not None:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> int:
        for port in range(self._port, min(self._port + MAX_PORTS, 65_536)):
            site = web.TCPSite(runner, self._host, port)
            try:
                await site.start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    reason = error.strerror or str(error)
                    raise ConfigError(
                        [f"worker.web: cannot serve {self._address(port)}: {reason}"]
                    ) from error
            else:
                return port
        raise ConfigError(
            [f"worker.web: {self._address(self._port)} and the ports after it are taken"]
        )

    def _address(self, port: int) -> str:
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    def _look(self) -> None:
        """Only repeated looks can show that reading is stuck."""
        loop = asyncio.get_running_loop()
        self._reading.look(loop.time())
        self._looking = loop.call_later(LOOK_EVERY_S, self._look)

    # -- pages ---------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(
            body=PAGE.read_bytes(), content_type="text/html", charset="utf-8",
            headers={**HEADERS, **PAGE_HEADERS},
        )  # fmt: skip

    async def _health(self, request: web.Request) -> web.Response:
        """200 as long as this answers, reading is not stuck and the start does not last, else
        503."""
        now = asyncio.get_running_loop().time()
        stuck, late = self._reading.look(now), self._starts_late(now)
        value: dict[str, Any] = {
            "status": "stuck" if stuck or late else "ok",
            "state": self._state.phase,
            "stuck": [each._asdict() for each in stuck],
        }
        if stopped := self._state.stopped_budgets():  # as it is to be: no fault
            value["budgets"] = stopped
        if late:
            value["waits_for"] = self._worker.waits_for()
        return _json(value, 503 if stuck or late else 200)

    def _starts_late(self, now: float) -> bool:
        return self._state.phase == "starting" and now - self._began >= START_WITHIN_S

    async def _ready(self, request: web.Request) -> web.Response:
        """200 from the first assignment of partitions until the stop begins, else 503."""
        phase = self._state.phase
        ready = phase == "running"
        return _json({"ready": ready, "state": phase}, 200 if ready else 503)

    async def _exposition(self, request: web.Request) -> web.Response:
        headers = {**HEADERS, "Content-Type": METRICS_TYPE}
        return web.Response(body=self._metrics.exposition(), headers=headers)

    async def _whole_state(self, request: web.Request) -> web.Response:
        return _json(self._state.worker(), 200)


def _json(value: Mapping[str, Any], status: int) -> web.Response:
    body = json.dumps(value).encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=HEADERS)
