"""How many items a call takes follows from what its predecessors took."""

from __future__ import annotations

from random import Random

import pytest

from streams.model import Usage
from streams.policies.packing import (
    CODE,
    LATIN,
    LEAST_ROOM,
    WIDE,
    AnswerRoom,
    CallShape,
    Packing,
)

SHAPE = CallShape(
    overhead=300, frame=7, answer=9, room=AnswerRoom(each=32, at_least=0, frame=64, most=21_332)
)
LONG = SHAPE._replace(room=AnswerRoom(each=1_024, at_least=8_192, frame=64, most=21_332))
TRUTH = (0.8, 1.2, 0.95)


def used(tokens: list[int], count: int, each: float = 9, share: float = 0.0) -> Usage:
    items = sum(f * a for f, a in zip(TRUTH, tokens, strict=True))
    return Usage(round(350 + 6 * count + items), round(each * count + share * items), None)


def item_of(random: Random) -> list[int]:
    """Of 5 to 2,000 tokens, in any script."""
    tokens = [0, 0, 0]
    tokens[random.choice([LATIN, WIDE, CODE])] = round(5 * 400 ** random.random())
    return tokens


def trained(random: Random, shape: CallShape, calls: int = 60, **answers: float) -> Packing:
    packing = Packing(shape, 8_000)
    for _ in range(calls):
        items = [item_of(random) for _ in range(random.randint(1, 20))]
        tokens = [sum(each) for each in zip(*items, strict=True)]
        count = len(items)
        packing.learn(tokens, count, used(tokens, count, **answers), answered=True)
    return packing


def test_without_a_shape_items_weigh_what_their_tokens_say() -> None:
    packing = Packing(None, 8_000)
    assert packing.weight([10, 20, 30], 3) == 60
    assert (packing.room, packing.learns, packing.error) == (8_000, False, None)
    packing.learn([10, 20, 30], 3, Usage(1_000, 1_000, 1), answered=True)
    assert packing.weight([10, 20, 30], 3) == 60
    assert packing.bounds(60, 3, 20) == (20, 8_000)
    assert Packing(None, None).room == float("inf")


def test_the_instructions_and_the_frames_count_against_max_tokens() -> None:
    packing = Packing(SHAPE, 8_000)
    assert packing.overhead == 300
    assert packing.weight([100, 0, 0], 2) == 100 + 2 * 7
    assert packing.room == pytest.approx(8_000 / 1.1 - 300)


def test_calls_are_filled_well_and_none_is_over_its_limit(seed: int) -> None:
    random, fills = Random(seed), []
    packing = trained(random, SHAPE)
    for _ in range(200):
        tokens, count, fits = [0, 0, 0], 0, 0
        while fits < 16:  # as many behind one that does not fit are looked at
            more = [a + b for a, b in zip(tokens, item_of(random), strict=True)]
            if packing.weight(more, count + 1) > packing.room:
                fits += 1
                continue
            tokens, count = more, count + 1
        usage = used(tokens, count)
        fills.append(usage.input_tokens / 8_000)
        packing.learn(tokens, count, usage, answered=True)
    assert max(fills) <= 1
    assert sum(fills) / len(fills) >= 0.95
    assert packing.error is not None
    assert packing.error < 0.02


def test_items_have_a_part_of_max_tokens_however_long_the_instructions_are() -> None:
    packing = Packing(SHAPE._replace(overhead=20_000), 8_000)
    assert packing.room == LEAST_ROOM * 8_000


def test_labels_never_bound_a_call(seed: int) -> None:
    """Each has the room for the longest one."""
    packing = trained(Random(seed), SHAPE)
    assert packing.bounds(2_000, 100, 20) == (20, packing.room)
    assert not packing.answers_fill(2_000, 100)


def test_long_answers_bound_the_items_of_a_call(seed: int) -> None:
    """A request has room for 1,024 tokens each, or for 8,192 in all: of answers of 2,000 tokens it
    takes four."""
    packing = trained(Random(seed), LONG, each=2_000)
    items, _ = packing.bounds(800, 8, 8)
    assert items in (3, 4)
    assert packing.answers_fill(800, 8)
    assert not packing.answers_fill(200, 2)


def test_answers_as_long_as_their_items_bound_the_weight_of_a_call(seed: int) -> None:
    packing = trained(Random(seed), LONG, each=10, share=1.5)
    long, short = packing.bounds(16_000, 8, 8), packing.bounds(400, 8, 8)
    assert short == (8, packing.room)
    predicted = packing.answers(long.weight, long.items)
    assert predicted <= 64 + 8_192
    assert predicted >= 0.7 * (64 + 8_192)


def test_answers_that_were_cut_short_by_a_refusal_teach_nothing_about_answers(seed: int) -> None:
    packing = trained(Random(seed), SHAPE)
    before = packing.answers(1_000, 10)
    packing.learn([1_000, 0, 0], 10, Usage(1_200, 1, None), answered=False)
    assert packing.answers(1_000, 10) == pytest.approx(before, rel=1e-6)


def test_there_is_always_room_for_one_item() -> None:
    packing = Packing(LONG._replace(answer=100_000), 8_000)
    assert packing.bounds(10, 1, 20).items == 1
    assert packing.answers_fill(10, 1)


def test_the_usage_of_several_calls_says_nothing_of_one() -> None:
    packing = Packing(SHAPE, 8_000)
    packing.learn([100, 0, 0], 1, Usage(5_000, 10, 1, calls=3), answered=True)
    assert packing.error is None
