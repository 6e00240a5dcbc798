"""`map_batches` against the plainest thing that gives the same list: a loop over slices."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from streams import ItemError, map_batches
from tests.library.steered import Call, Steered

Kind = Literal["good", "bad", "breaks"]

kinds: st.SearchStrategy[list[Kind]] = st.lists(
    st.sampled_from(["good", "good", "good", "bad", "breaks"]), max_size=40
)


def expected(items: Sequence[Kind], max_items: int, split: bool) -> list[str]:
    """What stands where: "breaks" makes its whole call fail, or with `split` only itself."""
    outcomes: list[str] = []
    for start in range(0, len(items), max_items):
        call = items[start : start + max_items]
        if "breaks" in call and not split:
            outcomes += ["function_error"] * len(call)
        else:
            outcomes += ["function_error" if each == "breaks" else each for each in call]
    return outcomes


def end(call: Call, items: Sequence[Kind]) -> None:
    if any(items[place] == "breaks" for place in call.items):
        call.fail(ValueError("broken"))
    else:
        call.answer([place if items[place] == "good" else ItemError("bad") for place in call.items])


@settings(max_examples=150)
@given(
    items=kinds,
    max_items=st.integers(1, 9),
    max_in_flight=st.integers(1, 4),
    split=st.booleans(),
    turns=st.lists(st.integers(0, 3), max_size=80),
)
def test_it_gives_what_a_loop_over_slices_gives_whatever_the_order_of_the_answers(
    items: list[Kind], max_items: int, max_in_flight: int, split: bool, turns: list[int]
) -> None:
    async def run() -> tuple[list[Any], Steered]:
        process = Steered()
        mapped = asyncio.ensure_future(
            map_batches(
                process,
                range(len(items)),
                max_items=max_items,
                max_in_flight=max_in_flight,
                split=split,
            )
        )
        order = iter(turns)
        while not mapped.done():
            await asyncio.sleep(0)
            under_way = [call for call in process.calls if not call.ended.done()]
            if under_way:
                end(under_way[next(order, 0) % len(under_way)], items)
        return await mapped, process

    results, process = asyncio.run(run())
    wanted = expected(items, max_items, split)
    assert len(results) == len(items)
    for place, (result, outcome) in enumerate(zip(results, wanted, strict=True)):
        if outcome == "good":
            assert result == place
        else:
            assert isinstance(result, ItemError)
            assert result.code == outcome
    assert process.most <= max_in_flight
    assert all(len(call.items) <= max_items for call in process.calls)
    if not split:
        assert len(process.calls) == -(-len(items) // max_items)
