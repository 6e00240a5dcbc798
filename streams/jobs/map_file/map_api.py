"""The API that a job asks, or the simulator in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, TypeVar

from streams.errors import ConfigError
from streams.jobs.map_file.map_job import MapJob
from streams.jobs.own_simulator import ENVIRON, own_simulator
from streams.providers import TaskCaller, make_batch_api, make_caller
from streams.providers.batch_port import BatchApi
from streams.settings import ProviderSettings, TaskSettings

NO_KEY: Final = ": no API key: "
WITHOUT_KEY: Final = "; or --simulate: the built-in simulator answers, without a key and at no cost"

Made = TypeVar("Made")


class MapApi(NamedTuple):
    """`settings`: None: the SDK's own. Whoever is given a caller or batches closes them. Both raise
    ConfigError."""

    task: TaskSettings
    settings: ProviderSettings | None
    environ: Mapping[str, str]

    def caller(self) -> TaskCaller:
        return _made(lambda: make_caller(self.task, self.settings, environ=self.environ))

    def batches(self) -> BatchApi:
        return _made(lambda: make_batch_api(self.task, self.settings, environ=self.environ))


@asynccontextmanager
async def api_of(job: MapJob, tell: Callable[[str], None]) -> AsyncIterator[MapApi]:
    """The simulator runs until the block ends."""
    if not job.simulate:
        yield MapApi(job.task, job.provider, job.environ)
        return
    async with own_simulator() as simulator:
        tell("simulated: the answers are the built-in simulator's, and cost nothing")
        address = ProviderSettings(base_url=simulator[f"{job.task.provider}_base_url"])
        yield MapApi(job.task, address, {**job.environ, **ENVIRON})


def _made(make: Callable[[], Made]) -> Made:
    try:
        return make()
    except ConfigError as error:
        problems = [each + WITHOUT_KEY if NO_KEY in each else each for each in error.problems]
    raise ConfigError(problems)
