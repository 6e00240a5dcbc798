"""The rows of a file as the door of batch mode: they are read as often as needed, and outcomes go
to the journal.

    file ─► RowReader ─► slots (rows to ask about) ─► batches ─► outcomes ─► journal

Rules of this file:
1. A row is in a slot if it is to be asked about, and no run before this one has its answer; its
   number is the sequence number. The others are in none.
2. Outcomes come in order. So what an earlier process has emitted is all up to its last row.
3. The output is not made here, but of the input and the journal, as after every interruption.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from streams.batches.batch_door import Cursor, Ranges
from streams.codec.records import estimate_tokens, text_bytes
from streams.core.call import Slot
from streams.jobs.files.formats import Source
from streams.jobs.map_file.answer_fields import Fields
from streams.jobs.map_file.journal_file import JournalFile
from streams.jobs.map_file.map_job import MapJob
from streams.jobs.map_file.map_journal import Earlier, Paid, hash_of
from streams.jobs.map_file.row_queue import Row
from streams.jobs.map_file.row_reading import Stretch

LANE = 0
AT_ONCE = 500
"""Rows that are looked at, and outcomes that are written, in one turn of the loop."""

SLOT_BYTES = 600
"""About the memory of a slot beside its text."""


class RowText(NamedTuple):
    """An item as an operation sees it."""

    text: str


class RowReader:
    """Reads the rows along, from the first. `next_row`: the number of the row that comes next."""

    def __init__(self, job: MapJob, fields: Fields, earlier: Earlier | None) -> None:
        self._job = job
        self._earlier = earlier
        self._source: Source | None = job.source()
        self._stretches = job.reading(self._source, fields).stretches()
        self._rows: deque[Row] = deque()
        self.next_row = 0

    async def slots(self, first: int, last: int | None) -> AsyncIterator[list[Slot]]:
        """The slots of the rows from `first` to `last` (None: the end), as they are read."""
        while last is None or self.next_row <= last:
            if not self._rows and not await self._read():
                return
            slots = list(self._taken(first, last))
            if slots:
                yield slots
            await asyncio.sleep(0)

    async def _read(self) -> bool:
        """False: there are no more rows."""
        limit = self._job.limit
        if limit is not None and self.next_row >= limit:
            return False
        # In a thread, which is waited for also when we are cancelled: it reads our file.
        reading = asyncio.ensure_future(asyncio.to_thread(_next, self._stretches))
        try:
            stretch = await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])
            raise
        if stretch is None:
            return False
        rows = stretch.rows if limit is None else stretch.rows[: limit - self.next_row]
        self._rows.extend(rows)
        return True

    def _taken(self, first: int, last: int | None) -> Iterator[Slot]:
        """Of the next rows that are read already."""
        for _ in range(min(AT_ONCE, len(self._rows))):
            if last is not None and self.next_row > last:
                return
            row, number = self._rows.popleft(), self.next_row
            self.next_row += 1
            if row.problem is not None:
                continue
            is_answered = self._earlier is not None and self._earlier.find(number) is not None
            if number >= first and not is_answered:
                yield _slot(number, row.text)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
        if self._earlier is not None:
            self._earlier.close()


def _next(stretches: Iterator[Stretch]) -> Stretch | None:
    return next(stretches, None)


def _slot(number: int, text: str) -> Slot:
    size = text_bytes(text)
    return Slot(
        LANE,
        number,
        RowText(text),
        tokens=estimate_tokens(text),
        size=size,
        memory=size + SLOT_BYTES,
    )


class RowDoor:
    """`answered_to`: what the journal held when the run began, as the end of that part: those rows
    are left out. `count`: None: a file does not say how many rows it has.

    `emitted`: rows that this process gave to the journal.
    """

    count: int | None = None

    def __init__(self, job: MapJob, fields: Fields, journal: JournalFile, answered_to: int) -> None:
        self._job = job
        self._fields = fields
        self._journal = journal
        self._answered_to = answered_to
        self._reader: RowReader | None = None
        self._readers: list[RowReader] = []
        self._last_emitted = journal.last_row(answered_to)
        self.emitted = 0

    async def slots(self, after: Cursor | None) -> AsyncIterator[list[Slot]]:
        reader = self._opened()
        async for slots in reader.slots(0 if after is None else after.seq + 1, None):
            yield slots
        reader.close()

    async def again(self, ranges: Ranges) -> AsyncIterator[list[Slot]]:
        """One reader goes along with the chunks, which mostly come in order; for a range that lies
        behind it, it begins anew."""
        for each in ranges:
            if self._reader is not None and self._reader.next_row > each.first:
                self._reader.close()
                self._reader = None
            reader = self._reader = self._reader or self._opened()
            async for slots in reader.slots(each.first, each.last):
                yield slots

    async def emit(self, slots: list[Slot]) -> None:
        new = [slot for slot in slots if slot.seq > self._last_emitted]
        for start in range(0, len(new), AT_ONCE):
            self._journal.add([self._paid(slot) for slot in new[start : start + AT_ONCE]])
            await asyncio.sleep(0)
        await self._journal.sync()
        if new:
            self._last_emitted = new[-1].seq
            self.emitted += len(new)

    def _paid(self, slot: Slot) -> Paid:
        answer, error = self._fields.outcome(slot.outcome)
        return Paid(slot.seq, hash_of(slot.item.text), answer, error)

    def _opened(self) -> RowReader:
        reader = RowReader(self._job, self._fields, self._journal.earlier(self._answered_to))
        self._readers.append(reader)
        return reader

    def close(self) -> None:
        """The files that it reads; more than once does no harm."""
        for reader in self._readers:
            reader.close()
