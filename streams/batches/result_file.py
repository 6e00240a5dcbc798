"""The results of one batch, on the disk: in any order there, found by the request's number.

What is in memory is where each line begins. The files lie in a directory of the process; after it,
the API still has what they hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from streams.batches.core.custom_ids import CustomId
from streams.providers.batch_results import read_result


class ResultFile:
    """`path`: as `BatchApi.results` wrote it. `names`: of the run's requests in it, by number."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("rb")
        self._places: dict[CustomId, int] = {}

    def index(self) -> Iterator[None]:
        """Finds the lines, one at a time. Of two of a name the first counts. Raises ValueError for
        a file that holds anything else."""
        self._file.seek(0)
        place = 0
        for line in self._file:
            if line.strip():
                name = CustomId.read(str(orjson.loads(line)["custom_id"]))
                if name is not None:
                    self._places.setdefault(name, place)
            place += len(line)
            yield

    def has_round(self, run: str, chunk: int, round_number: int) -> bool:
        """Whether these are results of this round."""
        name = next(iter(self._places), None)
        return name is not None and name[:3] == (run, chunk, round_number)

    def result(self, name: CustomId) -> Any:
        """The API's message or a CallError; None: the request has no line, or one of other
        items."""
        place = self._places.get(name)
        if place is None:
            return None
        self._file.seek(place)
        return read_result(self._file.readline()).outcome

    def close(self) -> None:
        self._file.close()
