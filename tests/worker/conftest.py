"""What the tests of the shells may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.worker.owners import Make
from tests.worker.shell import Shell


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    """A worker that has begun, with the limits of `Shell.start`."""
    made = Shell()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Workers with a ledger, one after the other on the same broker: the earlier ones crashed."""
    made: list[Shell] = []

    async def another(before: Shell | None = None, *, limits: Any = None, **keywords: Any) -> Shell:
        shell = Shell(broker=before and before.broker, ledger=True, **keywords)
        made.append(shell)
        await shell.start(**(limits or {}))
        return shell

    yield another
    for shell in made:
        await shell.stop()
