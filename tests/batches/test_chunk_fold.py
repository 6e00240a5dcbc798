"""A chunk is a fold: what follows from each kind of result."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.batches.core.chunk_fold import MAX_STRIKES, ChunkFold, sums_of
from streams.batches.core.chunk_record import Chunk, Round, covers, packed_calls
from streams.batches.core.custom_ids import CustomId
from streams.core.call import PENDING, Call, Slot, State
from streams.core.limits import Limits
from streams.errors import CallError, Fault, ItemError
from streams.model import Reply, Unanswered, Usage
from tests.batches.world import Text

LIMITS = Limits(max_items=4)
MISSING, CUT = Unanswered.MISSING, Unanswered.CUT

ERRORED = CallError(Fault.SERVER, "Internal server error")
EXPIRED = CallError(Fault.RETRY, "expired", retry_after_s=0.0)


def read(items: Sequence[Any], message: Any) -> Reply:
    """A message is a function of the texts, or a CallError that reading raises."""
    answers = message([item.text for item in items])
    if isinstance(answers, CallError):
        raise answers
    return Reply(answers, Usage(len(items), 1, 100))


def said(texts: list[str]) -> list[Any]:
    return [text.upper() for text in texts]


class Asked:
    """A chunk and its batches, one after the other."""

    def __init__(self, texts: str, limits: Limits = LIMITS) -> None:
        self.slots = [Slot(0, seq, Text(text)) for seq, text in enumerate(texts.split())]
        self.fold = ChunkFold("run", 0, self.slots, limits, read)
        self.fold.begin()
        self._round = 0

    def requests(self) -> list[str]:
        return [" ".join(item.text for item in call.items) for call in self.fold.requests]

    def live(self) -> list[str]:
        return [" ".join(item.text for item in call.items) for call in self.fold.live]

    def take(self, *results: Any, count: int | None = None) -> Asked:
        """The results of the next batch, by the number of the request."""
        asked = Round(count or len(self.fold.requests), 0)
        given = dict(enumerate(results))
        for _ in self.fold.take(self._round, asked, lambda name: given.get(name.number)):
            pass
        self._round += 1
        return self

    def outcomes(self) -> str:
        words = []
        for slot in self.slots:
            outcome = slot.outcome
            word = outcome.code if isinstance(outcome, ItemError) else outcome
            words.append("-" if outcome is PENDING else str(word))
        return " ".join(words)


def test_an_answered_request_gives_its_items_their_outcomes() -> None:
    chunk = Asked("a b c d e").take(said, said)
    assert chunk.outcomes() == "A B C D E"
    assert chunk.requests() == chunk.live() == []


def test_errored_expired_and_missing_requests_are_in_one_batch_more_then_live() -> None:
    chunk = Asked("a b c d e f g h i").take(ERRORED, EXPIRED, None)
    assert chunk.requests() == ["a b c d", "e f g h", "i"]
    chunk.take(ERRORED, said, None)
    assert chunk.outcomes() == "- - - - E F G H -"
    assert chunk.requests() == []
    assert chunk.live() == ["a b c d", "i"]
    assert MAX_STRIKES == 2


def test_items_that_were_left_out_are_asked_again_together_and_then_each_alone() -> None:
    silent = lambda texts: [MISSING if text in "bc" else text.upper() for text in texts]  # noqa: E731
    chunk = Asked("a b c d").take(silent)
    assert chunk.outcomes() == "A - - D"
    assert chunk.requests() == ["b c"]
    assert chunk.take(silent).requests() == ["b", "c"]
    assert chunk.take(silent, said).outcomes() == "A no_answer C D"


def test_a_refused_request_is_halved_until_the_item_is_alone() -> None:
    refusal = CallError(Fault.REFUSED, "declined", usage=Usage(4, 0, 40))
    declined = lambda texts: refusal if "x" in texts else said(texts)  # noqa: E731
    chunk = Asked("a b x d").take(declined)
    assert chunk.requests() == ["a b", "x d"]
    chunk.take(declined, declined)
    assert chunk.requests() == ["x", "d"]
    assert chunk.take(declined, declined).outcomes() == "A B refused D"


def test_a_request_that_the_api_rejects_is_halved_until_the_item_is_alone() -> None:
    rejected = CallError(Fault.REJECTED, "no")
    chunk = Asked("a x").take(rejected)
    assert chunk.requests() == ["a", "x"]
    assert chunk.take(said, rejected).outcomes() == "A rejected"


def test_an_answer_that_was_cut_is_asked_again_in_halves() -> None:
    chunk = Asked("a b c d").take(lambda texts: [texts[0].upper(), CUT, CUT, CUT])
    assert chunk.outcomes() == "A - - -"
    assert chunk.requests() == ["b c", "d"]


def test_nothing_is_divided_where_nothing_may_be_split() -> None:
    refusal = CallError(Fault.REFUSED, "declined")
    chunk = Asked("a b", Limits(max_items=4, split=False)).take(lambda texts: refusal)
    assert chunk.outcomes() == "refused refused"


def test_a_reply_of_the_wrong_length_is_asked_again() -> None:
    chunk = Asked("a b").take(lambda texts: ["A"])
    assert chunk.outcomes() == "- -"
    assert chunk.requests() == ["a", "b"]


def test_a_batch_takes_the_first_requests_and_the_rest_waits_for_the_next() -> None:
    chunk = Asked("a b c d e f g h i").take(said, count=1)
    assert chunk.requests() == ["e f g h", "i"]
    assert chunk.outcomes() == "A B C D - - - - -"


def test_an_abandoned_batch_changes_nothing() -> None:
    chunk = Asked("a b")
    for _ in chunk.fold.take(0, Round(1, 0, abandoned=True), lambda name: said):
        raise AssertionError
    assert chunk.requests() == ["a b"]
    assert chunk.slots[0].calls == 0


def test_what_goes_live_leaves_out_what_was_answered_live_before() -> None:
    chunk = Asked("a b c d e").take(EXPIRED, said).take(EXPIRED)

    def restore(slot: Slot) -> bool:
        if slot.item.text != "b":
            return False
        slot.outcome = "B"
        return True

    chunk.fold.go_live(restore)
    assert chunk.live() == ["a c d"]
    assert chunk.outcomes() == "- B - - E"


def test_a_result_of_other_items_does_not_count() -> None:
    chunk = Asked("a b c d")
    names: list[CustomId] = []

    def result(name: CustomId) -> Any:
        names.append(name)

    for _ in chunk.fold.take(0, Round(1, 0), result):
        pass
    other = Asked("a c d")
    name = other.fold.names(0, 1)[0]
    assert name[:4] == names[0][:4]
    assert name.checksum != names[0].checksum


def test_the_usage_of_every_request_is_counted_once() -> None:
    refusal = CallError(Fault.REFUSED, "declined", usage=Usage(4, 0, 40))
    declined = lambda texts: refusal if "x" in texts else said(texts)  # noqa: E731
    chunk = Asked("a b x d").take(declined).take(said, declined).take(declined, said)
    sums = sums_of(chunk.slots)
    assert sums.cost_nano_usd == 3 * 40 + 2 * 100
    assert [slot.calls for slot in chunk.slots] == [2, 2, 3, 3]


def test_what_is_remembered_of_a_chunk_gives_the_same_requests_though_items_have_vanished() -> None:
    first = Asked("a b c d e f g h i j")
    chunk = Chunk(0, covers(first.slots), [packed_calls(first.fold.requests)], 10, 0)
    left = [slot for slot in Asked("a b c d e f g h i j").slots if slot.item.text not in "cdij"]
    for slot in left:
        slot.state = State.WAITING
    fold = ChunkFold("run", 0, left, LIMITS, read)
    for _ in fold.begin_as(chunk):
        pass
    assert [[item.text for item in call.items] for call in fold.requests] == [
        ["a", "b"],
        ["e", "f", "g", "h"],
        [],
    ]
    assert fold.names(0, 3)[1] == first.fold.names(0, 3)[1]


RESULTS: list[Callable[[random.Random], Any]] = [
    lambda chance: None,
    lambda chance: ERRORED,
    lambda chance: EXPIRED,
    lambda chance: CallError(Fault.REJECTED, "no"),
    lambda chance: lambda texts: CallError(Fault.REFUSED, "no", usage=Usage(1, 0, 7)),
    lambda chance: lambda texts: CallError(Fault.BAD_REPLY, "no"),
    lambda chance: lambda texts: [chance.choice([MISSING, CUT, t]) for t in texts],
    lambda chance: said,
]


def folded(seed: int, items: int) -> tuple[list[Any], list[list[str]], list[list[str]], list[Any]]:
    """Some rounds of any results: outcomes, requests, live calls, and what the items took."""
    chance = random.Random(seed)
    chunk = Asked(" ".join(f"t{n}" for n in range(items)))
    for _ in range(chance.randrange(5)):
        chunk.take(*(chance.choice(RESULTS)(chance) for _ in chunk.fold.requests))
    took = [(slot.calls, slot.input_tokens, slot.cost_nano_usd, slot.asks) for slot in chunk.slots]
    requests, live = (
        [[item.text for item in call.items] for call in calls]
        for calls in (chunk.fold.requests, chunk.fold.live)
    )
    outcomes = [str(slot.outcome) for slot in chunk.slots]
    return outcomes, requests, live, took


@given(st.integers(0, 10**6), st.integers(1, 25))
def test_the_same_results_give_the_same_in_any_process(seed: int, items: int) -> None:
    assert folded(seed, items) == folded(seed, items)


@given(st.integers(0, 10**6), st.integers(1, 25))
def test_every_item_has_its_outcome_or_is_to_be_asked_once(seed: int, items: int) -> None:
    outcomes, requests, live, _ = folded(seed, items)
    open_items = [f"t{n}" for n, outcome in enumerate(outcomes) if outcome == str(PENDING)]
    asked = [text for call in [*requests, *live] for text in call]
    assert sorted(asked) == sorted(open_items)


def test_a_canary_s_answers_count_and_the_rest_of_its_request_stays_in_the_batch() -> None:
    chunk = Asked("a b c d e")
    call: Call = chunk.fold.requests[0]
    answered = chunk.fold.canary(call, Reply(["A", MISSING, "C", "D"], Usage(4, 4, 99)))
    assert [slot.item.text for slot in answered] == ["a", "c", "d"]
    assert chunk.requests() == ["b", "e"]
    assert sum(slot.cost_nano_usd or 0 for slot in answered) == 99
