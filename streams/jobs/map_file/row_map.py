"""One run over the rows: what is asked, what is kept, and what leaves, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final

from streams.core.call import Slot
from streams.core.events import Paused, Resumed
from streams.errors import StreamsError, UsageError
from streams.jobs.files.ahead import read_ahead
from streams.jobs.files.formats import Source
from streams.jobs.files.rejects import Rejects
from streams.jobs.files.rows import Reject
from streams.jobs.map_file.journal_file import JournalFile, journal_of
from streams.jobs.map_file.map_job import MapJob, refuse_others
from streams.jobs.map_file.map_journal import Earlier, Paid, hash_of
from streams.jobs.map_file.map_progress import MapProgress
from streams.jobs.map_file.row_output import RowOutput, output_for
from streams.jobs.map_file.row_queue import WINDOW_ROWS, Entry, RowQueue
from streams.jobs.map_file.row_reading import Reading
from streams.running.map_run import MapRun

REFUSALS: Final = 3
"""After so many refusals of the account, and no answer, a run ends: the key is wrong."""


class RowMap:
    """Takes a source's rows to the output.

    `facts`: what names the run. Nothing is made, and no file is touched, before the first row is
    read and its columns are right.
    """

    def __init__(
        self,
        job: MapJob,
        source: Source,
        reading: Reading,
        facts: dict[str, Any],
        progress: MapProgress,
    ) -> None:
        self._job = job
        self._source = source
        self._reading = reading
        self._fields = reading.fields
        self._facts = facts
        self._progress = progress
        self._queue = RowQueue()
        self._asked: dict[int, Entry] = {}
        self._ask_count = 0
        self._has_room = asyncio.Event()
        self._journal: JournalFile | None = None
        self._earlier: Earlier | None = None
        self._output: RowOutput | None = None
        self._rejects: Rejects | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._refusals = 0
        self._told = ""

    # -- rows that come ----------------------------------------------------------------------------

    async def texts(self) -> AsyncIterator[str]:
        """The texts to ask about, as there is room for their rows."""
        left = self._job.limit
        position = 0.0
        async with aclosing(read_ahead(self._reading.stretches())) as stretches:
            async for rows, end in stretches:
                if self._output is None and (rows or self._source.columns is not None):
                    self._begin()
                step = (end - position) / max(len(rows), 1)
                for row in rows if left is None else rows[:left]:
                    position += step
                    await self._room()
                    entry = self._queue.add(row)
                    entry.position = position if self._job.limit is None else entry.index + 1
                    if self._is_open(entry):
                        self._asked[self._ask_count] = entry
                        self._ask_count += 1
                        yield row.text
                position = end
                self._leave()
                if left is not None and (left := left - len(rows)) <= 0:
                    break
        if self._output is None:
            self._begin()

    async def _room(self) -> None:
        if self._queue.is_full:
            self._leave()
        while self._queue.is_full:
            self._has_room.clear()
            await self._has_room.wait()

    def _is_open(self, entry: Entry) -> bool:
        """Whether it is to be asked about: it can be, and no run before this one did."""
        if entry.done:
            return False
        entry.text_hash = hash_of(entry.row.text)
        paid = self._earlier.find(entry.index) if self._earlier is not None else None
        if paid is None:
            return True
        if paid.text_hash != entry.text_hash:
            raise UsageError(
                f"--resume: line {entry.row.line} of {self._source.name} is not what it was:"
                " the input has changed since; --force starts anew and pays again"
            )
        self._queue.settle(entry, paid.answer, paid.error)
        self._progress.resumed += 1
        return False

    # -- answers that come -------------------------------------------------------------------------

    def settle(self, slots: Sequence[Slot], results: Sequence[Any]) -> None:
        """These rows have their outcome: into the journal first, then out, as far as the order
        lets them."""
        paid = []
        for slot, result in zip(slots, results, strict=True):
            entry = self._asked[slot.seq]
            answer, error = self._fields.outcome(result)
            paid.append(Paid(entry.index, entry.text_hash, answer, error))
        if self._journal is not None:
            self._journal.add(paid)
        for slot, each in zip(slots, paid, strict=True):
            self._queue.settle(self._asked.pop(slot.seq), each.answer, each.error)
        self._leave()
        self._has_room.set()

    def paused(self, pause: Paused | Resumed, run: MapRun) -> None:
        """Tells why nothing goes on. A key that never got an answer will not get one."""
        if isinstance(pause, Resumed):
            if self._told:
                self._progress.tell("goes on")
            self._told = ""
            return
        if pause.reason == "account" and not self._progress.answered_calls:
            self._refusals += 1
            if self._refusals >= REFUSALS:
                run.fail(StreamsError(f"the API refuses every call: {pause.message}"))
                return
        if pause.reason != "throttled" and pause.message != self._told:
            self._told = pause.message
            self._progress.tell(f"waits ({pause.reason}): {pause.message}")

    # -- rows that leave ---------------------------------------------------------------------------

    def _begin(self) -> None:
        """The columns are right: opens what is written."""
        job = self._job
        self._rejects = Rejects(job.rejects, self._progress.tell)
        if job.out is not None:
            self._journal = JournalFile(journal_of(job.out))
            self._use(self._journal)
        try:
            self._output = output_for(self._source, self._fields, job.out)
        except UsageError:
            if self._journal is not None and self._earlier is None:
                self._journal.remove()
            raise
        self._progress.begun = True

    def _use(self, journal: JournalFile) -> None:
        if self._job.resume and journal.found is not None:
            refuse_others(journal.found.facts, self._facts, journal.path)
            self._earlier = journal.go_on()
            before = journal.found.answers - self._progress.answered_now
            if before > 0:
                self._progress.tell(f"{before:,} rows are answered already")
        else:
            journal.begin(self._facts, WINDOW_ROWS)
        self._syncing = asyncio.create_task(journal.keep_synced())

    def _leave(self) -> None:
        if self._queue.take(self._put):
            assert self._output is not None
            self._output.flush()
            self._progress.change()

    def _put(self, entry: Entry) -> None:
        assert self._output is not None
        row, problem, progress = entry.row, entry.error, self._progress
        if row.source is None:
            progress.unreadable += 1
        else:
            unfit = self._output.add(row, self._fields.values(entry.answer))
            problem = problem or unfit
        progress.rows += 1
        progress.position = entry.position
        if problem is None:
            progress.answered += 1
        else:
            progress.failed += 1
            self._reject(entry, problem)

    def _reject(self, entry: Entry, problem: str) -> None:
        assert self._rejects is not None
        row = entry.row
        last_line = row.last_line if row.last_line > row.line else 0
        self._rejects.add([Reject(row.line, problem, row.raw, row.raw_size, last_line)])

    # -- the end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Every row has left: the output is complete, and the journal has done its work."""
        self._leave()
        assert self._queue.is_empty
        assert self._output is not None
        self._output.finish()
        if self._rejects is not None:
            self._rejects.close()
        if self._journal is not None:
            self._journal.remove()

    async def close(self) -> None:
        """Also in the middle: what is paid for stays in the journal."""
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.wait([self._syncing])
        if self._journal is not None:
            self._journal.close()
        if self._rejects is not None:
            self._rejects.close()
        if self._output is not None:
            self._output.close()
