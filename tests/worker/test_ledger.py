"""The ledger over real tasks, without a broker: who crashes, who takes over, and what is called
again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import orjson
import pytest

from streams.codec.committed import Committed
from streams.errors import ItemError
from streams.model import DROP, Unanswered
from streams.worker.partition import Partition
from tests.worker.owners import LEDGER, answered_behind_a_gate, crash, recorded, take_over
from tests.worker.shell import Call, Shell, settled


async def test_an_answered_item_is_not_called_again_after_a_crash(make):
    """The head is awaited, 40 later items are answered: only the head's microbatch is repeated."""
    first, lane = await answered_behind_a_gate(make)
    second, _ = await take_over(make, first, lane)
    await second.until(lambda: len(second.calls) == 1)
    assert second.calls[0].offsets == [*range(10)]
    assert second.task.tally.from_ledger == 40
    second.calls[0].answer()
    await second.until(lambda: second.committed == {0: 50})
    assert second.written() == [*range(50)]
    await settled()
    assert len(second.calls) == 1


async def test_what_was_taken_from_the_ledger_is_still_known_after_a_second_crash(make):
    first, lane = await answered_behind_a_gate(make)
    second, again = await take_over(make, first, lane)
    third, _ = await take_over(make, second, again)
    await third.until(lambda: len(third.calls) == 1)
    assert third.calls[0].offsets == [*range(10)]
    third.calls[0].answer()
    await third.until(lambda: third.committed == {0: 50})
    assert third.written() == [*range(50)]


async def test_without_a_ledger_all_of_it_would_be_called_again(make):
    """The case that the ledger is for."""
    first, lane = await answered_behind_a_gate(make)
    await crash(first)
    bare = Shell(broker=first.broker)
    await bare.start()
    (again,) = await bare.assign(0, said=Committed(lane.committed.offset))
    bare.arrive(again, 50)
    await bare.until(lambda: len(bare.calls) == 5)
    await bare.stop()


async def test_another_fingerprint_is_paid_for_again(make):
    first, lane = await answered_behind_a_gate(make)
    second, _ = await take_over(make, first, lane, fingerprint="other")
    await second.until(lambda: len(second.calls) == 5)
    assert second.task.tally.from_ledger == 0


async def test_what_is_settled_is_not_read_again(make):
    """The commit's metadata say from where on: nothing of what is below the watermark comes."""
    first = await make()
    (lane,) = await first.assign(0)
    first.arrive(lane, 50)
    await first.until(lambda: len(first.calls) == 5)
    for call in first.calls:
        call.answer()
    await first.until(lambda: first.committed == {0: 50})
    await first.until(lambda: len(recorded(first.broker)) == 50)
    lane.task._ledger._open[lane.where] = lane, 0.0  # the earlier owner's calls have ended
    await first.until(lambda: lane.committed == Committed(50, (), 50))
    await crash(first)


async def test_a_lane_without_a_commit_of_a_ledger_reads_none(make):
    """Offsets that somebody has reset mean that the items are wanted anew."""
    first, _ = await answered_behind_a_gate(make)
    await crash(first)
    second = await make(first)
    (again,) = await second.assign(0, said=Committed(0))
    second.arrive(again, 50)
    await second.until(lambda: len(second.calls) == 5)


async def test_a_worker_that_died_before_its_first_commit_has_recorded_what_it_paid_for(make):
    first, _ = await answered_behind_a_gate(make)
    await crash(first)
    second = await make(first)
    (again,) = await second.assign(0, said=Committed(0, is_committed=False))
    second.arrive(again, 50)
    await second.until(lambda: len(second.calls) == 1)
    assert second.calls[0].offsets == [*range(10)]


async def test_a_commit_that_is_asked_for_and_not_made_forgets_no_answer(make):
    """A transaction may be aborted after it was told where to begin."""
    shell, lane = await answered_behind_a_gate(make)
    shell.ledger._open[lane.where] = lane, 0.0  # no earlier owner's call is under way
    await shell.until(lambda: shell.ledger.begin(lane, 50) == 40)  # the broker's answer is there
    assert shell.ledger.begin(lane, 0) == 0


async def test_what_was_read_is_there_for_the_new_lane_when_the_old_one_cannot_go_on(make):
    """Whether it can is asked between the two."""
    shell, lane = await answered_behind_a_gate(make)
    said = lane.committed
    await shell.ledger.read({lane.where: said})
    assert not shell.task.can_resume(lane, said._replace(offset=1))
    new = Partition(lane.where, said, shell.task)
    shell.task.open(new)
    assert len(new.answers) == 40


async def test_the_start_is_committed_with_where_the_ledger_begins_before_anything_is_answered(
    make,
):
    """Else a crash before the first watermark would know of no ledger."""
    shell = await make()
    (lane,) = await shell.assign(0)
    assert lane.committed == Committed(0, (), 0)


# -- revoked meanwhile -------------------------------------------------------------------------


async def test_a_call_whose_lane_was_revoked_runs_on_and_is_recorded(make):
    shell = await make()
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    said = lane.committed
    await shell.worker.on_revoked()
    await shell.assign(1)
    await settled()
    assert not shell.calls[0].ended.cancelled()
    shell.calls[0].answer()
    await shell.until(lambda: recorded(shell.broker) == [*range(10)])
    await shell.worker.on_revoked()
    (again,) = await shell.assign(0, said=said)
    shell.arrive(again, 10)
    await shell.until(lambda: shell.committed == {0: 10})
    assert shell.written() == [*range(10)]
    assert len(shell.calls) == 1


async def test_a_lane_that_goes_on_after_a_rebalance_is_not_read_again(make):
    """It holds what it paid for, and where its answers stand."""
    shell, lane = await answered_behind_a_gate(make)
    await shell.worker.on_revoked()
    shell.ledger.unreadable = [AssertionError("it was read")]
    (same,) = await shell.assign(0, said=lane.committed)
    assert same is lane
    assert shell.ledger.unreadable
    assert lane.committed.ledger_offset == 0
    second, _ = await take_over(make, shell, lane)
    await second.until(lambda: len(second.calls) == 1)
    assert second.calls[0].offsets == [*range(10)]


async def test_a_call_of_a_revoked_lane_counts_in_flight_until_it_ends(make):
    """G4 holds over a rebalance too."""
    shell = await make(limits={"max_in_flight": 1})
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    await shell.worker.on_revoked()
    (other,) = await shell.assign(1)
    shell.arrive(other, 10)
    await settled()
    assert len(shell.calls) == 1
    shell.calls[0].answer()
    await shell.until(lambda: len(shell.calls) == 2)


async def test_without_a_ledger_the_call_of_a_revoked_lane_is_ended():
    shell = Shell()
    await shell.start()
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 10)
    await shell.until(lambda: len(shell.calls) == 1)
    await shell.worker.on_revoked()
    await shell.assign(1)
    await shell.until(lambda: shell.calls[0].ended.cancelled())
    await shell.stop()


async def test_an_answer_that_comes_after_the_next_owner_has_read_is_found_by_the_one_after(make):
    """The next owner's commits do not pass where the late answer stands."""
    first = await make()
    (lane,) = await first.assign(0)
    first.arrive(lane, 20)
    await first.until(lambda: len(first.calls) == 2)
    said = lane.committed
    await first.worker.on_revoked()
    second = await make(first, limits={"max_in_flight": 1})
    (again,) = await second.assign(0, said=said)
    second.arrive(again, 20)
    await second.until(lambda: len(second.calls) == 1)
    first.calls[1].answer()  # of 10 to 19, which wait at the second
    await first.until(lambda: recorded(first.broker) == [*range(10, 20)])
    second.calls[0].answer()
    await second.until(lambda: again.committed.offset == 10)
    third, _ = await take_over(make, second, again, 20)
    await third.until(lambda: third.committed == {0: 20})
    assert third.calls == []
    assert third.written()[-10:] == [*range(10, 20)]


async def test_an_answer_to_what_the_next_owner_has_not_read_yet_is_found_by_the_one_after(make):
    """An earlier owner may have been further; the next one has all its calls behind it."""
    first = await make()
    (lane,) = await first.assign(0)
    first.arrive(lane, 20)
    await first.until(lambda: len(first.calls) == 2)
    said = lane.committed
    await first.worker.on_revoked()
    second = await make(first)
    second.ledger.source_end = 20
    (again,) = await second.assign(0, said=said)
    first.calls[1].answer()  # of 10 to 19, which the second has not got yet
    await first.until(lambda: recorded(first.broker) == [*range(10, 20)])
    second.arrive(again, 10)
    await second.until(lambda: len(second.calls) == 1)
    second.ledger._open[again.where] = again, 0.0  # the earlier owner's calls have ended
    second.calls[0].answer()
    await second.until(lambda: again.committed.offset == 10)
    third, _ = await take_over(make, second, again, 20)
    await third.until(lambda: third.committed == {0: 20})
    assert third.calls == []


# -- every kind of outcome ---------------------------------------------------------------------


async def test_dead_letters_and_drops_that_a_reply_decided_are_not_paid_for_again_either(make):
    first = await make(limits={"max_items": 3})
    (lane,) = await first.assign(0)
    first.arrive(lane, 6)
    await first.until(lambda: len(first.calls) == 2)
    first.calls[1].answer(ItemError("refused", "no"), DROP, {"of": 5})
    await first.until(lambda: recorded(first.broker) == [3, 4, 5])
    second, _ = await take_over(make, first, lane, 6, limits={"max_items": 3})
    await second.until(lambda: len(second.calls) == 1)
    second.calls[0].answer()
    await second.until(lambda: second.committed == {0: 6})
    assert second.written() == [0, 1, 2, 5]
    (dead,) = second.broker.logs["dead", 0]
    assert dict(dead.headers)["streams-error-code"] == b"refused"
    assert dict(dead.headers)["streams-attempts"] == b"1"
    assert second.task.tally.drops == 1


async def test_an_item_without_a_usable_answer_is_not_recorded_and_is_asked_again(make):
    first = await make(limits={"max_items": 2})
    (lane,) = await first.assign(0)
    first.arrive(lane, 2)
    await first.until(lambda: len(first.calls) == 1)
    first.calls[0].answer({"of": 0}, Unanswered.MISSING)
    await first.until(lambda: recorded(first.broker) == [0])
    second, _ = await take_over(make, first, lane, 2, limits={"max_items": 2})
    await second.until(lambda: len(second.calls) == 1)
    assert second.calls[0].offsets == [1]


async def test_usage_counts_once_with_the_worker_whose_call_took_it(make):
    first, lane = await answered_behind_a_gate(make)
    second, _ = await take_over(make, first, lane)
    await second.until(lambda: len(second.calls) == 1)
    second.calls[0].answer()
    await second.until(lambda: second.committed == {0: 50})
    summary = second.worker.summary()
    assert (summary["calls"], summary["items"], summary["results"]) == (1, 50, 50)
    assert (summary["input_tokens"], summary["output_tokens"]) == (100, 10)
    assert first.worker.summary()["input_tokens"] == 400


# -- whatever survives -------------------------------------------------------------------------


@pytest.mark.parametrize("run", range(30))
async def test_whatever_prefix_of_the_ledger_survives_every_item_has_one_outcome(make, seed, run):
    """Answers in any order, a crash at any moment, any prefix of the ledger: the next worker writes
    each item from the watermark on once, in order, and calls none that the prefix answers."""
    chance = random.Random(f"{seed}/{run}")
    limits = {"max_items": chance.randint(1, 7), "max_in_flight": chance.randint(1, 8)}
    held = chance.randint(0, 1)  # whether the first call is not answered at all
    first = await make(limits=limits)
    (lane,) = await first.assign(0)
    first.arrive(lane, 60)
    for _ in range(chance.randrange(30)):
        open_calls = [call for call in first.calls[held:] if not call.ended.done()]
        if open_calls:
            _answer(chance, chance.choice(open_calls))
        await asyncio.sleep(chance.choice([0, 0, 0.002]))
    await crash(first)
    ledger = first.broker.logs[LEDGER, 0]
    del ledger[chance.randint(0, len(ledger)) :]
    said = lane.committed
    known = {offset for offset in recorded(first.broker) if offset >= said.offset}
    first.broker.logs["sink", 0].clear()
    first.broker.logs["dead", 0].clear()

    second = await make(first, limits=limits)
    (again,) = await second.assign(0, said=said)
    if said.offset < 60:
        second.arrive(again, 60 - said.offset)
    done = 0
    while again.committed.offset < 60:
        if done < len(second.calls):
            second.calls[done].answer()
            done += 1
        await asyncio.sleep(0.001)
    called = Counter(offset for call in second.calls for offset in call.offsets)
    assert not known & set(called), (said, known)
    assert set(called.values()) <= {1}
    assert known | set(called) == set(range(said.offset, 60))
    results = [orjson.loads(value)["of"] for value in second.broker.values("sink")]
    dead = [
        int(dict(record.headers)["streams-source-offset"])
        for record in second.broker.logs["dead", 0]
    ]
    assert results == sorted(results)
    assert dead == sorted(dead)
    assert sorted(results + dead) == [*range(said.offset, 60)]


def _answer(chance: random.Random, call: Call) -> None:
    refused = ItemError("refused", "no")
    call.answer(*[refused if chance.random() < 0.1 else {"of": n} for n in call.offsets])
