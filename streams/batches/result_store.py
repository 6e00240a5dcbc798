"""Fetches the results of batches when they are wanted, and holds them on the disk until their chunk
has left: the API keeps them for 29 days."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from streams.batches.result_file import ResultFile
from streams.batches.slices import in_slices
from streams.providers.batch_port import BatchApi, BatchStatus


class ResultStore:
    """`directory`: for its files, empty."""

    def __init__(self, api: BatchApi, directory: Path) -> None:
        self._api = api
        self._directory = directory
        self._statuses: dict[str, BatchStatus] = {}
        self._files: dict[str, ResultFile] = {}
        self._lock = asyncio.Lock()  # one batch may be wanted for several chunks at once

    def has_ended(self, status: BatchStatus) -> None:
        """Its results are there from now on."""
        self._statuses[status.id] = status

    async def get(self, batch: str) -> ResultFile:
        """Of a batch that has ended; one after the other. Raises CallError."""
        async with self._lock:
            if batch not in self._files:
                self._files[batch] = await self._fetch(batch)
            return self._files[batch]

    async def _fetch(self, batch: str) -> ResultFile:
        status = self._statuses.get(batch)
        if status is None:
            status = self._statuses[batch] = await self._api.retrieve(batch)
        path = self._path(batch)
        await self._api.results(status, path)
        file = ResultFile(path)
        try:
            await in_slices(file.index())
        except BaseException:
            file.close()
            raise
        return file

    def drop(self, batch: str) -> None:
        self._statuses.pop(batch, None)
        file = self._files.pop(batch, None)
        if file is not None:
            file.close()
        with contextlib.suppress(FileNotFoundError):
            self._path(batch).unlink()

    def close(self) -> None:
        for batch in list(self._files):
            self.drop(batch)

    def _path(self, batch: str) -> Path:
        return self._directory / f"{batch}.jsonl"
