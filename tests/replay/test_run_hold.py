"""What a process may write of a run: before it has it, while it has it, and after it lost it."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import StreamsError
from streams.jobs.replay.run_facts import OWNER
from streams.jobs.replay.run_hold import RunHold


class Claim:
    def __init__(self) -> None:
        self.held = True

    def holds(self) -> bool:
        return self.held

    async def take(self, _commits: Any) -> None:
        self.held = True


class Keys(dict[str, bytes]):
    async def load(self) -> dict[str, bytes]:
        return dict(self)

    async def put(self, key: str, value: bytes) -> None:
        self[key] = value


def hold(claim: Claim, keys: Keys) -> RunHold:
    made: Any = RunHold
    found: RunHold = made("run", keys, claim)
    return found


async def test_nothing_goes_into_a_socket_after_the_run_may_be_anothers() -> None:
    """A process that had stood still wrote "running" over another one's "done"."""
    claim, keys = Claim(), Keys()
    ours = hold(claim, keys)
    assert ours.may_send(), "a new run's facts come before its claim"
    assert not ours.may_write()
    await ours.take()
    assert ours.may_send()
    assert ours.may_write()
    claim.held = False  # as its clock says after a stand-still
    assert not ours.may_send()
    assert not ours.may_write()
    await ours.keep()  # nobody else had it
    assert ours.may_send()


async def test_a_run_that_another_process_had_meanwhile_is_not_taken_again() -> None:
    claim, keys = Claim(), Keys()
    ours = hold(claim, keys)
    await ours.take()
    claim.held = False
    keys[OWNER] = b"another"
    with pytest.raises(StreamsError, match="another process took over run run"):
        await ours.keep()
    assert not ours.may_send()
    assert not ours.may_write()
