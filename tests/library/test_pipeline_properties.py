"""Pipelines made at random: the same results as one step after the other, whatever the limits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams import ItemError, Pipeline, expand, gather, stage
from tests.simulation.loop import VirtualLoop

Value = Any
"""A number, an error, or a list of values."""


def fails(value: Value, seed: int) -> bool:
    return random.Random(f"{value}{seed}").random() < 0.1


def parts(value: Value, seed: int) -> list[Value]:
    return [f"{value}.{n}" for n in range(random.Random(f"{value}{seed}").choice([0, 1, 2, 7]))]


class Step:
    """One stage: what it does to a value, and the function that does it in any time."""

    def __init__(self, kind: str, seed: int, limits: dict[str, Any], slow: bool) -> None:
        self.kind, self.seed, self.limits, self.slow = kind, seed, limits, slow

    def of(self, value: Value) -> Value:
        if fails(value, self.seed):
            return ItemError("made", str(value))
        return parts(value, self.seed) if self.kind == "expand" else f"{value}+{self.seed}"

    async def call(self, items: Sequence[Value]) -> list[Value]:
        if self.slow:
            await asyncio.sleep(random.Random(f"{items}").random())
        return [self.of(item) for item in items]

    def made(self) -> Any:
        make = expand if self.kind == "expand" else stage
        return make(self.call, **self.limits)


limits = st.fixed_dictionaries(
    {
        "max_items": st.integers(1, 5),
        "max_in_flight": st.integers(1, 4),
        "max_wait_ms": st.sampled_from([0, 50, 5_000]),
    },
    optional={"buffer": st.integers(1, 6), "order": st.sampled_from(["partition", "none"])},
)


@st.composite
def pipelines(draw: st.DrawFn) -> list[Step | str]:
    """Stages, with a gather for some of the expansions before it."""
    steps: list[Step | str] = []
    depth = 0
    for seed in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["stage", "expand", "gather"]))
        if kind == "gather" and depth and steps:
            steps.append(draw(st.sampled_from(["gather", "keep"])))
            depth -= 1
            continue
        kind = "stage" if kind == "gather" else kind
        depth += kind == "expand"
        steps.append(Step(kind, seed, draw(limits), draw(st.booleans())))
    return steps


def expected(values: list[Value], steps: list[Step | str]) -> list[Value]:
    """One step after the other."""
    expansions: list[int] = []
    for step in steps:
        if isinstance(step, Step):
            values = [deep(value, step) for value in values]
            expansions += [step.seed] if step.kind == "expand" else []
        else:
            values = [gathered(value, expansions[-1], keep=step == "keep") for value in values]
            expansions.pop()
    return [leaf for value in values for leaf in leaves(value)]


class Parts(list[Value]):
    """The parts of an item, before they are gathered. `expansion`: which stage made them."""

    expansion = 0


def deep(value: Value, step: Step) -> Value:
    if isinstance(value, Parts):
        return over(value, lambda part: deep(part, step))
    if isinstance(value, ItemError):
        return value
    result = step.of(value)
    if step.kind == "expand" and isinstance(result, list):
        result = Parts(result)
        result.expansion = step.seed
    return result


def gathered(value: Value, expansion: int, *, keep: bool) -> Value:
    if not isinstance(value, Parts):
        return value
    if value.expansion != expansion:
        return over(value, lambda part: gathered(part, expansion, keep=keep))
    errors = [part for part in value if isinstance(part, ItemError)]
    return errors[0] if errors and not keep else list(value)


def over(value: Parts, function: Callable[[Value], Value]) -> Parts:
    parts = Parts(map(function, value))
    parts.expansion = value.expansion
    return parts


def leaves(value: Value) -> list[Value]:
    if isinstance(value, Parts):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


def comparable(value: Value) -> Any:
    if isinstance(value, ItemError):
        return (value.code, value.message)
    return [comparable(part) for part in value] if isinstance(value, list) else value


@given(pipelines(), st.integers(0, 30))
@settings(deadline=None, max_examples=150)
def test_the_results_are_those_of_one_step_after_the_other(
    steps: list[Step | str], items: int
) -> None:
    made = [
        step.made()
        if isinstance(step, Step)
        else gather(errors="keep" if step == "keep" else "item")
        for step in steps
    ]
    values = [str(n) for n in range(items)]
    with closing(VirtualLoop()) as loop:
        results = loop.run_until_complete(Pipeline(made).run(values))
        assert loop.defects == []
        assert not asyncio.all_tasks(loop)
    assert comparable(results) == comparable(expected(values, steps))
