"""A ledger that cannot be written or read: it may cost money, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson
import pytest
from aiokafka.errors import (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from streams.codec.committed import Committed
from streams.kafka.produce import ordered_queue
from tests.worker.owners import LEDGER, answered_behind_a_gate, crash, recorded, take_over
from tests.worker.shell import settled


@pytest.mark.parametrize(
    "error",
    [
        UnknownTopicOrPartitionError("gone"),
        TopicAuthorizationFailedError("not you"),
        KafkaTimeoutError("no answer"),
    ],
)
async def test_a_ledger_that_refuses_stops_nothing_and_is_told_once(
    make, caplog, monkeypatch, error
):
    monkeypatch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0.01)
    shell = await make()
    refused = []

    def refuse(topic: str, partition: int, records: list[Any]) -> BaseException | None:
        if topic != LEDGER:
            return None
        refused.append(len(records))
        return error

    shell.broker.rule = refuse
    lanes = await shell.assign(0, 1)
    for lane in lanes:
        shell.arrive(lane, 30)
    for n in range(6):
        await shell.until(lambda n=n: len(shell.calls) > n)
        shell.calls[n].answer()
    await shell.until(lambda: shell.committed == {0: 30, 1: 30})
    assert refused
    said = [record for record in caplog.records if "cannot be written" in record.message]
    assert [record.levelno for record in said] == [logging.ERROR]
    assert not shell.task.busy, "a stop would wait for it"
    # What is settled is of no interest: nothing of it is kept for a ledger that never comes back.
    await shell.until(lambda: not shell.ledger._writer.queued_bytes)


async def test_a_ledger_that_takes_records_again_gets_what_it_has_missed(make, caplog, monkeypatch):
    monkeypatch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0.01)
    shell = await make()
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 50)
    await shell.until(lambda: len(shell.calls) == 5)
    shell.broker.rule = lambda topic, partition, records: KafkaTimeoutError("no")
    for call in shell.calls[1:]:
        call.answer()
    await asyncio.sleep(0.05)
    assert recorded(shell.broker) == []
    shell.broker.rule = lambda topic, partition, records: None
    await shell.until(lambda: len(recorded(shell.broker)) == 40)
    await shell.until(lambda: "is written again" in caplog.text)
    second, _ = await take_over(make, shell, lane)
    await second.until(lambda: len(second.calls) == 1)
    assert second.calls[0].offsets == [*range(10)]


async def test_what_waits_for_a_ledger_that_cannot_be_written_is_bounded(make, monkeypatch):
    monkeypatch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0.01)
    shell = await make(ledger_room=3000)
    shell.broker.rule = lambda topic, *_: KafkaTimeoutError("no") if topic == LEDGER else None
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 50)
    await shell.until(lambda: len(shell.calls) == 5)
    for call in shell.calls[1:]:
        call.answer()
    await settled()
    assert 0 < shell.ledger._writer.queued_bytes <= 3000
    shell.calls[0].answer()
    await shell.until(lambda: shell.committed == {0: 50})


async def test_an_answer_that_the_ledger_finds_too_large_costs_no_other_its_place(make):
    shell = await make()
    large = orjson.dumps("x" * 5000)

    def rule(topic: str, partition: int, records: list[Any]) -> BaseException | None:
        found = topic == LEDGER and any(large in record.value for record in records)
        return MessageSizeTooLargeError("too large") if found else None

    shell.broker.rule = rule
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 20)
    await shell.until(lambda: len(shell.calls) == 2)
    shell.calls[1].answer(*[{"of": n} if n != 13 else {"of": "x" * 5000} for n in range(10, 20)])
    await shell.until(lambda: len(recorded(shell.broker)) == 9)
    assert recorded(shell.broker) == [10, 11, 12, *range(14, 20)]


@pytest.mark.parametrize("error", [KafkaTimeoutError("no"), OSError("cut"), ValueError("odd")])
async def test_a_ledger_that_cannot_be_read_costs_money_and_nothing_else(make, caplog, error):
    first, lane = await answered_behind_a_gate(make)
    await crash(first)
    second = await make(first)
    second.ledger.unreadable = [error]
    (again,) = await second.assign(0, said=lane.committed)
    second.arrive(again, 50)
    await second.until(lambda: len(second.calls) == 5)
    assert "cannot be read" in caplog.text
    third, _ = await take_over(make, second, again)
    await third.until(lambda: len(third.calls) == 1)
    assert third.calls[0].offsets == [*range(10)], "it is read from the same place again"


async def test_a_ledger_that_could_not_be_read_before_the_first_commit_is_read_by_the_next(make):
    """Which has to find it named by the commits of the one that could not."""
    first, _ = await answered_behind_a_gate(make)
    await crash(first)
    second = await make(first)
    second.ledger.cut_off = True
    (again,) = await second.assign(0, said=Committed(0, is_committed=False))
    assert again.committed == Committed(0, (), 0)
    third, _ = await take_over(make, second, again)
    await third.until(lambda: len(third.calls) == 1)
    assert third.calls[0].offsets == [*range(10)]


async def test_answers_for_which_there_is_no_room_are_paid_again_and_that_is_told(make, caplog):
    first, lane = await answered_behind_a_gate(make)
    second, _ = await take_over(make, first, lane, ledger_room=5000)
    await second.until(lambda: len(second.calls) >= 2)
    assert 0 < second.task.tally.from_ledger < 40
    assert "there is no room" in caplog.text
