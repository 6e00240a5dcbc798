"""The chunks of a run that have not left, and the sums of those that have."""

from __future__ import annotations

from streams.batches.batch_door import Cursor
from streams.batches.core.chunk_record import Chunk, Sums


class OpenChunks(dict[int, Chunk]):
    """By number, in their order. `totals`: of the chunks that have left. `item_count`: items read
    so far; `input_ended`: there are no more. `batches`: created so far; `batch_ids`: theirs.
    `next`, `cursor`: of the next new chunk. `incomplete`: the sums so far of those that the run
    leaves as they are, for want of money."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = Sums()
        self.item_count = 0
        self.input_ended = False
        self.batch_ids: set[str] = set()
        self.incomplete: dict[int, Sums] = {}
        self.next = 0
        self.cursor: Cursor | None = None

    @property
    def head(self) -> int | None:
        """The oldest, which leaves next; None: there is none."""
        return next(iter(self), None)

    @property
    def paid(self) -> Sums:
        """Of all that was read; what counts in it are calls, tokens and money."""
        paid = self.totals
        for number, chunk in self.items():
            sums = chunk.sums or self.incomplete.get(number)
            paid = paid if sums is None else paid.plus(sums)
        return paid

    @property
    def batches(self) -> int:
        return len(self.batch_ids)

    def resume(self, chunk: Chunk) -> bool:
        """One of an earlier process, in the order of their numbers; False: it has left."""
        self.batch_ids.update(each.batch for each in chunk.rounds if each.batch is not None)
        self._follow(chunk)
        if chunk.state in ("emitted", "cancelled"):
            self._count(chunk)
            return False
        self[chunk.number] = chunk
        return True

    def draw(self, chunk: Chunk) -> None:
        """A new one, or the same in another form: its canary was called."""
        if chunk.number not in self:
            self._follow(chunk)
        self[chunk.number] = chunk

    def _follow(self, chunk: Chunk) -> None:
        self.next, self.cursor = chunk.number + 1, chunk.end
        self.item_count += chunk.items

    def leave(self, number: int) -> None:
        self._count(self.pop(number))

    def _count(self, chunk: Chunk) -> None:
        assert chunk.sums is not None
        self.totals = self.totals.plus(chunk.sums)
