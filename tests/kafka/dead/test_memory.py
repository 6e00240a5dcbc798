"""What is remembered of letters that were sent again, in ranges; against a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.codec.committed import Committed
from streams.jobs.dead.memory import Memory, group_of

from ...properties.effort import effort


def test_all_that_is_done_is_an_offset() -> None:
    memory = Memory({}).after([(0, 5, True), (0, 6, True), (1, 0, True)], {})
    assert memory.partitions == {0: Committed(7), 1: Committed(1)}
    assert memory.starts == {0: 7, 1: 1}


def test_what_was_passed_over_stays_to_be_done() -> None:
    memory = Memory({}).after([(0, 0, True), (0, 1, False), (0, 2, True)], {})
    assert memory.partitions == {0: Committed(1, ((2, 2),))}
    assert [memory.has(0, offset) for offset in range(4)] == [True, False, True, False]


def test_a_gap_that_is_filled_closes() -> None:
    memory = Memory({0: Committed(1, ((2, 2), (5, 9)))})
    memory = memory.after([(0, 1, True), (0, 2, True), (0, 3, False)], {0: 1})
    assert memory.partitions == {0: Committed(3, ((5, 9),))}


def test_offsets_without_a_record_are_nothing_to_be_done() -> None:
    """Marks of transactions, compacted records, and what retention has removed."""
    memory = Memory({0: Committed(3)})
    memory = memory.after([(0, 10, True), (0, 12, True), (0, 14, False), (0, 16, True)], {0: 3})
    assert memory.partitions == {0: Committed(14, ((15, 16),))}


def test_a_letter_that_was_done_stays_done_when_it_is_passed_over() -> None:
    memory = Memory({0: Committed(5)}).after([(0, 0, False), (0, 1, False)], {})
    assert memory.partitions == {0: Committed(5)}


def test_letters_sent_elsewhere_are_remembered_apart() -> None:
    assert group_of("reviews.dead", None) == "streams-dead-reviews.dead"
    assert group_of("reviews.dead", "lab") == "streams-dead-reviews.dead/lab"


def test_more_gaps_than_a_commit_takes_do_not_fit() -> None:
    read = [(0, offset, offset % 2 == 0) for offset in range(1, 6000)]
    memory = Memory({}).after(read, {})
    assert not memory.fits
    assert Memory({}).after(read[:1000], {}).fits


@effort(200)
@given(
    steps=st.lists(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=8), max_size=6)
)
def test_it_remembers_what_a_set_would(steps: list[list[tuple[int, bool]]]) -> None:
    """Several runs, each from where the last one's memory says, over a log with holes in it."""
    offsets, at = [], 0
    for step in steps:
        for gap, _ in step:
            at += gap
            offsets.append(at)
    wanted = {
        (number, offset)
        for number, step in enumerate(steps)
        for offset, (_, chosen) in zip(offsets, step, strict=False)
        if chosen
    }
    memory, done = Memory({}), set()
    for number in range(len(steps)):
        start = memory.starts.get(0)
        reached = {} if start is None else {0: start}
        read = []
        for offset in offsets:
            if start is None or offset >= start:
                before = memory.has(0, offset)
                assert before == (offset in done)
                chosen = before or (number, offset) in wanted
                done |= {offset} if chosen else set()
                read.append((0, offset, chosen))
        middle = len(read) // 2
        memory = memory.after(read[:middle], reached).after(read[middle:], reached)
        if known := memory.partitions.get(0):
            memory = Memory({0: Committed.read(known.offset, known.metadata)})
    assert {offset for offset in offsets if memory.has(0, offset)} == done
