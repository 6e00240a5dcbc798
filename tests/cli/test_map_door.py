"""A file as the door of batch mode: its rows are read again as they were, outcomes go out once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streams.batches.batch_door import Cursor, LaneRange
from streams.core.call import Slot
from streams.errors import ItemError
from streams.jobs.map_file.journal_file import JournalFile
from streams.jobs.map_file.map_job import MapJob
from streams.jobs.map_file.map_journal import Paid, hash_of, parsed
from streams.jobs.map_file.map_task import task_of
from streams.jobs.map_file.row_door import AT_ONCE, RowDoor
from streams.operations import make_operation
from streams.settings import load_settings

ROWS = 3 * AT_ONCE + 7


def job_of(path: Path, **more: Any) -> MapJob:
    settings = load_settings(None, {}, need_tasks=False)
    task = task_of(settings, None, {"labels": ["good", "bad"]})
    return MapJob(task=task, provider=None, environ={}, path=path, batch=True, **more)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Each tenth row has no text."""
    path = tmp_path / "in.csv"
    lines = [f"{n},{'' if n % 10 == 3 else f'text {n}'}\n" for n in range(ROWS)]
    path.write_text("id,text\n" + "".join(lines))
    return path


def journal_at(path: Path, paid: list[Paid]) -> tuple[JournalFile, int]:
    """A journal that a run before has left, and its end."""
    before = JournalFile(path)
    before.begin({}, 8192)
    before.add(paid)
    size = before.size
    before.close()
    journal = JournalFile(path)
    journal.go_on()
    return journal, size


def door_of(job: MapJob, journal: JournalFile, answered_to: int) -> RowDoor:
    return RowDoor(job, job.fields(make_operation(job.task)), journal, answered_to)


async def facts(lists: AsyncIterator[list[Slot]]) -> list[tuple[int, str, int]]:
    return [(slot.seq, slot.item.text, slot.tokens) async for slots in lists for slot in slots]


async def test_rows_that_have_a_text_come_in_order_and_the_same_again(
    rows: Path, tmp_path: Path
) -> None:
    journal, size = journal_at(tmp_path / "j", [])
    door = door_of(job_of(rows), journal, size)
    first = await facts(door.slots(None))
    assert [seq for seq, *_ in first] == [n for n in range(ROWS) if n % 10 != 3]
    assert all(text == f"text {seq}" for seq, text, _ in first)
    ranges = [LaneRange(0, 0, 99), LaneRange(0, 150, AT_ONCE + 20), LaneRange(0, 40, 60)]
    expected = [each for _, begin, end in ranges for each in first if begin <= each[0] <= end]
    for _ in range(2):
        assert await facts(door.again(ranges)) == expected
    assert await facts(door.slots(Cursor(0, ROWS - 9))) == [e for e in first if e[0] > ROWS - 9]
    door.close()
    journal.close()


async def test_rows_that_a_run_before_has_answered_are_left_out_however_often_it_is_read(
    rows: Path, tmp_path: Path
) -> None:
    paid = [Paid(n, hash_of(f"text {n}"), b'{"label":"good"}', None) for n in (5, 0, 2)]
    journal, size = journal_at(tmp_path / "j", paid)
    door = door_of(job_of(rows, limit=10), journal, size)
    for _ in range(2):
        assert [seq for seq, *_ in await facts(door.slots(None))] == [1, 4, 6, 7, 8, 9]
        again = await facts(door.again([LaneRange(0, 0, 7)]))
        assert [seq for seq, *_ in again] == [1, 4, 6, 7]
    door.close()
    journal.close()


async def test_outcomes_go_to_the_journal_once_also_after_a_kill(
    rows: Path, tmp_path: Path
) -> None:
    job, path = job_of(rows), tmp_path / "j"
    journal, size = journal_at(path, [])
    for last in (40, ROWS):  # the first process ends within a chunk
        door = door_of(job, journal, size)
        slots = [slot async for each in door.slots(None) for slot in each if slot.seq < last]
        for slot in slots:
            slot.outcome = ItemError("refused", "no") if slot.seq == 1 else {"label": "good"}
        await door.emit(slots)
        assert door.emitted == (36 if last == 40 else len(slots) - 36)
        door.close()
        journal.close()
        journal = JournalFile(path)
        assert journal.found is not None
    journal.close()
    lines = [parsed(line) for line in path.read_bytes().splitlines(keepends=True)[1:]]
    written = [paid.row for paid in lines if paid is not None]
    assert written == [n for n in range(ROWS) if n % 10 != 3]
    assert lines[1] == Paid(1, hash_of("text 1"), None, "refused: no")
