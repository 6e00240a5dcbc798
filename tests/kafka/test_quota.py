"""A producer waits where a broker throttles it (KIP-219), and takes that for no silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import BrokerError
from streams.kafka.client import SILENCE_S
from streams.kafka.produce.ordered_queue import OrderedQueue
from streams.kafka.produce.parcels import WARN_AFTER_S
from streams.kafka.produce.quota import Quota
from tests.kafka.producers import Broker
from tests.kafka.queue_users import USERS, PublishUser
from tests.simulation.loop import virtual_world


class Client:
    """As much of `AIOKafkaClient` as a quota sees. `mutes`: what its next answers say, in ms.
    `sent`: what it was asked for, and when."""

    def __init__(self, *mutes: int) -> None:
        self.mutes = list(mutes)
        self.sent: list[tuple[float, Any]] = []

    async def send(self, node: int, request: Any, *, group: str = "default") -> Any:
        self._note(request)
        return SimpleNamespace(throttle_time_ms=self.mutes.pop(0) if self.mutes else 0)

    async def _metadata_update(self, *_: Any) -> bool:
        self._note("metadata")
        return True

    def _note(self, request: Any) -> None:
        self.sent.append((round(asyncio.get_running_loop().time(), 3), request))


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with virtual_world(1) as loop:
        loop.run_until_complete(work())


def test_the_next_request_to_a_node_waits_as_long_as_the_broker_says() -> None:
    async def work() -> None:
        told: list[str] = []
        client, quota = Client(30_000, 0, 200), Quota(told.append)
        quota.obey(client)
        await client.send(1, "a", group="default")
        await asyncio.gather(
            client.send(1, "b", group="default"),
            client.send(2, "other node", group="default"),
            client.send(1, "other connection", group="coordination"),
            client._metadata_update(),
        )
        assert sorted(client.sent) == [
            (0, "a"), (0, "other connection"), (0, "other node"), (30, "b"), (30, "metadata"),
        ]  # fmt: skip
        (line,) = told
        assert line.startswith("throttled: ")
        assert "takes nothing more for 30.0 s" in line

    in_virtual_time(work)


def test_being_throttled_is_told_once_a_minute() -> None:
    async def work() -> None:
        told: list[str] = []
        client, quota = Client(*[10_000] * 10), Quota(told.append)
        quota.obey(client)
        for _ in range(10):
            await client.send(1, "a", group="default")
        assert len(told) == 2

    in_virtual_time(work)


def test_a_quota_that_was_met_is_remembered_and_ends() -> None:
    async def work() -> None:
        client, quota = Client(5000), Quota(lambda line: None)
        quota.obey(client)
        assert (quota.left_s, quota.met(60)) == (0, False)
        await client.send(1, "a", group="default")
        assert (quota.left_s, quota.met(0)) == (5, True)
        await asyncio.sleep(6)
        assert (quota.left_s, quota.met(0.5), quota.met(2)) == (0, False, True)

    in_virtual_time(work)


@pytest.mark.parametrize("kind", USERS, ids=lambda kind: kind.__name__)
def test_a_batch_that_the_quota_holds_back_is_no_silence(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command took it for a dead broker after 10 s, and a worker said that its sink is silent."""
    silences: list[float] = []
    monkeypatch.setattr(OrderedQueue, "_silent", lambda queue, waited_s: silences.append(waited_s))

    async def work() -> None:
        user = kind(Broker())
        await user.start()
        user.producers.quota.note(300)
        user.broker.hold = True
        user.put(b"a")
        await asyncio.sleep(300)
        assert silences == []
        await asyncio.sleep(15)
        assert silences == [5, 10]
        user.broker.release()
        await user.finish()
        assert user.written == [b"a"]
        await user.stop()

    in_virtual_time(work)


def test_a_broker_that_is_silent_after_its_quota_ends_a_command() -> None:
    async def work() -> None:
        user = PublishUser(Broker())
        await user.start()
        user.producers.quota.note(60)
        user.broker.hold = True
        user.put(b"a")
        with pytest.raises(BrokerError, match="the broker stopped answering"):
            await user.finish()
        ended_at = asyncio.get_running_loop().time()
        assert 60 + SILENCE_S <= ended_at <= 60 + SILENCE_S + 2 * WARN_AFTER_S
        await user.stop()

    in_virtual_time(work)
