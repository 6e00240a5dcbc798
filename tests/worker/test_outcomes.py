"""Every outcome can be written (contract section 2), over a task's own writers without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError

from streams.errors import ItemError
from streams.kafka.produce.parcels import InvalidRecordError
from streams.model import DROP, Reply
from tests.worker.shell import Shell

ROOM = 2_000


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    await made.start()
    made.task.route.sink_bytes = made.task.route.dead_letter_bytes = ROOM
    yield made
    await made.stop()


async def answered(shell: Shell, answers: list, *, size: int = 10) -> None:
    """Items with these outcomes, up to their commit."""
    (lane,) = await shell.assign(0)
    shell.arrive(lane, len(answers), size=size)
    await shell.until(lambda: len(shell.calls) == 1)
    shell.calls[0].ended.set_result(Reply(answers))
    await shell.until(lambda: shell.committed == {0: len(answers)})


def letters(shell: Shell) -> list[tuple[bytes | None, dict]]:
    return [(record.value, dict(record.headers)) for record in shell.broker.logs["dead", 0]]


async def test_a_result_too_large_for_the_sink_is_a_dead_letter_and_its_neighbours_have_theirs(
    shell,
):
    await answered(shell, [{"of": 0}, {"of": "x" * ROOM}, {"of": 2}])
    assert shell.written() == [0, 2]
    ((value, headers),) = letters(shell)
    assert headers["streams-error-code"] == b"result_too_large"
    assert headers["streams-source-offset"] == b"1"
    assert value == b'{"text":"xxxxxxxxxx"}'
    assert "streams-value-omitted" not in headers


async def test_a_dead_letter_too_large_for_its_topic_loses_its_value_and_says_how_much(shell):
    await answered(shell, [{"of": 0}, ItemError("no", "way")], size=ROOM)
    ((value, headers),) = letters(shell)
    assert value is None
    assert headers["streams-value-omitted"] == b"%d" % len(b'{"text":""}' + b"x" * ROOM)
    assert headers["streams-error-code"] == b"no"
    assert shell.written() == [0]


async def test_what_the_broker_refuses_for_its_size_is_a_dead_letter_whatever_we_had_counted(shell):
    """The limit of a topic can be lowered while a worker runs."""

    def smaller(topic, partition, records):
        large = any(len(each.value or b"") > 100 for each in records)
        return MessageSizeTooLargeError() if large else None

    shell.broker.rule = smaller
    await answered(shell, [{"of": 0}, {"of": "y" * 200}, {"of": 2}])
    assert shell.written() == [0, 2]
    ((_, headers),) = letters(shell)
    assert headers["streams-error-code"] == b"result_too_large"


async def test_a_dead_letter_that_the_broker_refuses_for_its_size_loses_its_value_and_no_more(
    shell,
):
    """What happened to the item is still what it says."""

    def smaller(topic, partition, records):
        large = any(len(each.value or b"") > 100 for each in records)
        return MessageSizeTooLargeError() if large else None

    shell.broker.rule = smaller
    await answered(shell, [{"of": 0}, ItemError("no", "way")], size=500)
    ((value, headers),) = letters(shell)
    assert value is None
    assert headers["streams-error-code"] == b"no"
    assert headers["streams-error-message"] == b"way"
    assert headers["streams-value-omitted"] == b"%d" % len(b'{"text":""}' + b"x" * 500)


async def test_a_result_that_the_broker_refuses_for_good_is_a_dead_letter_and_holds_nobody(shell):
    """As one without a key where the sink is compacted, and nobody could see that at the start."""
    shell.broker.rule = lambda topic, partition, records: (
        InvalidRecordError()
        if topic == "sink" and any(b'"of":1' in each.value for each in records)
        else None
    )
    await answered(shell, [{"of": 0}, {"of": 1}, {"of": 2}])
    assert shell.written() == [0, 2]
    ((value, headers),) = letters(shell)
    assert value == b'{"text":"xxxxxxxxxx"}'
    assert headers["streams-error-code"] == b"refused_by_sink"
    assert b"INVALID_RECORD" in headers["streams-error-message"]
    assert b"it has no key" in headers["streams-error-message"]


async def test_a_dead_letter_that_is_refused_for_good_waits_and_says_so(shell, caplog):
    """There is no other outcome; once its topic takes it everything goes on."""
    refusals: list[str] = []

    def rule(topic, partition, records):
        if topic != "dead" or len(refusals) == 3:
            return None
        refusals.append(topic)
        return InvalidRecordError()

    shell.broker.rule = rule
    await answered(shell, [{"of": 0}, ItemError("no", "way")])
    assert len(refusals) == 3
    assert len(letters(shell)) == 1
    assert "dead/0 will never take a record that has no other outcome" in caplog.text
    assert "cleanup.policy=delete" in caplog.text


async def test_a_result_without_a_key_is_a_dead_letter_where_the_sink_is_compacted(shell):
    """The broker refuses a whole batch for one, with a code that aiokafka does not know. Items
    that leave nothing to write, or are dead letters anyway, stay what they are."""
    shell.task.route.sink_compacted = True
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 6, keys=[b"a", None])
    await shell.until(lambda: len(shell.calls) == 1)
    answers = [{"of": 0}, {"of": 1}, {"of": 2}, ItemError("no", "way"), DROP, DROP]
    shell.calls[0].ended.set_result(Reply(answers))
    await shell.until(lambda: shell.committed == {0: 6})
    assert shell.written() == [0, 2]
    codes = [
        (headers["streams-source-offset"], headers["streams-error-code"])
        for _, headers in letters(shell)
    ]
    assert codes == [(b"1", b"no_key"), (b"3", b"no")]


async def test_a_timestamp_that_the_broker_refuses_becomes_now(shell):
    """The source's records are stamped 0 here; the topic takes nothing that old."""

    def recent(topic, partition, records):
        old = any(each.timestamp < 1_600_000_000_000 for each in records)
        return InvalidTimestampError() if old else None

    shell.broker.rule = recent
    await answered(shell, [{"of": 0}, ItemError("no", "way"), {"of": 2}])
    assert shell.written() == [0, 2]
    ((_, headers),) = letters(shell)
    assert headers["streams-source-timestamp-ms"] == b"0"
