"""The state of a run as a file."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from streams.batches.state_file import StateFile
from streams.errors import StreamsError


async def reopened(path: Path) -> dict[str, bytes]:
    async with aclosing(StateFile(path)) as file:
        return await file.load()


async def test_what_is_put_is_there_in_the_next_process_and_the_last_value_counts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.json"
    async with aclosing(StateFile(path)) as file:
        assert await file.load() == {}
        await file.put("chunk-0", b'{"state":"planned"}')
        await file.put("live-0-0", b"[1]")
        await file.put("chunk-0", b'{"state":"submitted"}')
        await file.put("live-0-0", None)
    assert await reopened(path) == {"chunk-0": b'{"state":"submitted"}'}


async def test_a_put_is_on_the_disk_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    path = tmp_path / "run.json"
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (real(fd), synced.append(path.read_bytes())))
    async with aclosing(StateFile(path)) as file:
        await file.load()
        await file.put("chunk-0", b"1")
        assert b'"chunk-0"' in synced[-1]


async def test_puts_at_the_same_time_share_one_sync_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    async with aclosing(StateFile(path)) as file:
        await file.load()
        syncs: list[int] = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: (real(fd), syncs.append(fd)))
        await asyncio.gather(*(file.put("k", b"%d" % n) for n in range(100)))
    assert len(syncs) <= 2
    assert await reopened(path) == {"k": b"99"}


async def test_a_last_line_that_a_kill_has_torn_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    async with aclosing(StateFile(path)) as file:
        await file.load()
        await file.put("chunk-0", b'{"a":1}')
        await file.put("chunk-1", b'{"a":2}')
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert await reopened(path) == {"chunk-0": b'{"a":1}'}


async def test_loading_writes_the_file_anew_without_what_is_superseded(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    async with aclosing(StateFile(path)) as file:
        await file.load()
        for n in range(100):
            await file.put("chunk-0", b"%d" % n)
    await reopened(path)
    assert path.read_bytes() == b'{"key":"chunk-0","value":99}\n'


async def test_a_second_process_is_told_that_the_file_is_open(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    async with aclosing(StateFile(path)) as file:
        await file.load()
        with pytest.raises(StreamsError, match="another process"):
            await StateFile(path).load()
    assert await reopened(path) == {}


@pytest.mark.parametrize("content", [b'{"rows": 3}\n', b"text\n", b"no line", b"\x00\xff\n"])
async def test_another_file_is_refused_and_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="another file"):
        await StateFile(path).load()
    assert path.read_bytes() == content


async def test_a_full_disk_is_told_to_who_puts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aclosing(StateFile(tmp_path / "run.json")) as file:
        await file.load()

        def full(_fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            await file.put("chunk-0", b"1")
        monkeypatch.undo()
