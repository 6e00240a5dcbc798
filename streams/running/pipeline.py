"""`Pipeline`: stages one after the other, each with batches and a limit of calls of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence, Sized
from typing import Any, Self

from streams.errors import ItemError
from streams.running.bar import Show, Shown, shown
from streams.running.parts import Element, Expansion, Gathering, Step
from streams.running.pipeline_run import PipelineRun, PipelineStatistics
from streams.running.stages import Gather, Process, Stage, stage

Part = Stage | Gather | Process

Items = Iterable[Any] | AsyncIterable[Any]


class Pipeline:
    """Runs items through `stages`, which are all at work at once, with bounded queues between them.

    `stages`: made by `streams.stage`, `expand`, `gather` and `chunk`; a function or an operation
    alone is a stage with the defaults. Results come in the items' order, except behind a stage with
    `order="none"`. What fails is an `ItemError` in its place, and passes the later stages by. One
    pipeline can run several inputs, one after the other or at the same time: each run has calls of
    its own. Raises ValueError for stages that do not fit, TypeError for what is none.
    """

    def __init__(self, stages: Sequence[Part]) -> None:
        self._stages = with_steps(stages)
        self._overtakes = any(each.options.order == "none" for each, _ in self._stages)
        self._run: PipelineRun | None = None

    async def run(self, items: Items, *, progress: Shown = False) -> list[Any | ItemError]:
        """All results in the items' order: one for each item, or for each part of it where parts
        are not gathered. `progress`: as for `streams.map_batches`.

        Cancelled, or when drawing an item raises: the calls of all stages are cancelled, and have
        ended when this ends.
        """
        results: list[Any] = []
        paths: list[tuple[int, ...]] = []
        async with _Taking(self, items, progress) as taking:
            while (taken := await taking.take()) is not None:
                results += [element.value for element in taken]
                if self._overtakes:
                    paths += [element.path for element in taken]
        if self._overtakes:
            return [results[place] for place in sorted(range(len(paths)), key=paths.__getitem__)]
        return results

    async def stream(
        self, items: Items, *, progress: Shown = False
    ) -> AsyncGenerator[Any | ItemError, None]:
        """Each result as soon as its turn comes; of an input that may have no end, in bounded
        memory. Left early, it ends as `run` does when it is cancelled."""
        async with _Taking(self, items, progress) as taking:
            while (taken := await taking.take()) is not None:
                for element in taken:
                    yield element.value

    def statistics(self) -> PipelineStatistics:
        """Of the run that began last, also after its end; without stages before the first."""
        return PipelineStatistics((), None, 0.0) if self._run is None else self._run.statistics()

    @property
    def stages(self) -> Sequence[tuple[Stage, Sequence[Step]]]:
        """Each with what is done to its outcomes on their way to the next one."""
        return self._stages

    def start(self, items: Items) -> PipelineRun:
        """A run over these items, to be entered in a loop."""
        self._run = PipelineRun(self._stages, items)
        return self._run

    @property
    def gives_one_each(self) -> bool:
        """Whether every item has one result: all parts are gathered."""
        steps = [step for _, steps in self._stages for step in steps]
        expansions = sum(isinstance(step, Expansion) for step in steps)
        return expansions == len(steps) - expansions


def with_steps(stages: Sequence[Part]) -> list[tuple[Stage, list[Step]]]:
    """The stages, each with the steps of the queue behind it."""
    made: list[tuple[Stage, list[Step]]] = []
    expansions: list[int] = []
    for number, part in enumerate(stages):
        if isinstance(part, Gather):
            if not expansions:
                raise ValueError("gather: there is no expand before it whose parts it could gather")
            made[-1][1].append(Gathering(expansions.pop(), keep=part.keep))
            continue
        each = part if isinstance(part, Stage) else stage(part)
        steps: list[Step] = []
        if each.expands:
            expansions.append(number)
            steps.append(Expansion(number))
        made.append((each, steps))
    if not made:
        raise ValueError("a pipeline needs at least one stage")
    return made


class _Taking:
    """Takes the lists of one run, and shows them on their way."""

    def __init__(self, pipeline: Pipeline, items: Items, progress: Shown) -> None:
        counted = isinstance(items, Sized) and pipeline.gives_one_each
        self._shown = shown(progress, len(items) if counted else None)  # type: ignore[arg-type]
        self._show: Show | None = None
        self._run = pipeline.start(items)

    async def __aenter__(self) -> Self:
        await self._run.__aenter__()
        self._show = self._shown.__enter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        try:
            await self._run.__aexit__(*raised)
        finally:
            self._shown.__exit__(*raised)

    async def take(self) -> list[Element] | None:
        taken = await self._run.take()
        if taken is not None and self._show is not None:
            self._show([element.value for element in taken], self._run.tally)
        return taken
