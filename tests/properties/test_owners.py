"""A lane that goes from owner to owner, each of which dies at any moment after any commit."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.codec.committed import MAX_METADATA_BYTES, Committed
from streams.core import (
    Arrived,
    Delivered,
    Engine,
    Limits,
    Opened,
    Passed,
    Release,
    Replied,
    Slot,
    StartCall,
)
from streams.core.call import Call
from streams.core.ranges import covered

from .effort import effort


class Owner:
    """Reads the log from where the last commit says, a few records at a time; what is on its way to
    the sink becomes durable in any order."""

    def __init__(self, limits: Limits, said: Committed, log: list[int], random: Random) -> None:
        self.engine = Engine(limits, random=random.random)
        self.said, self.random = said, random
        self.log = [n for n in log if n >= said.offset]
        self.calls: list[Call] = []
        self.undelivered: list[Slot] = []
        self.do(Opened("a", said.offset, said.beyond))

    def do(self, event: Any) -> None:
        for action in self.engine.handle(event, 0.0):
            if isinstance(action, StartCall):
                self.calls.append(action.call)
            elif isinstance(action, Release):
                self.undelivered += action.slots
        self.engine.check_invariants()

    def step(self) -> list[int]:
        """One thing that can happen; what is durable for it."""
        dice = self.random.random()
        if self.log and (dice < 0.3 or not (self.calls or self.undelivered)):
            count = self.random.randint(1, 30)
            read, self.log = self.log[:count], self.log[count:]
            fresh = [n for n in read if not covered(n, self.said.beyond)]
            if fresh:
                self.do(Arrived([Slot("a", n, n, order_key=n % 5 or None) for n in fresh]))
            self.do(Passed("a", read[-1] + 1))
        elif self.undelivered and (dice < 0.6 or not self.calls):
            some = self.random.sample(
                self.undelivered, self.random.randint(1, len(self.undelivered))
            )
            self.undelivered = [slot for slot in self.undelivered if slot not in some]
            numbers = [slot.seq for slot in some]
            self.do(Delivered("a", some))
            return numbers
        elif self.calls:
            batch = self.calls.pop(self.random.randrange(len(self.calls)))
            self.do(Replied(batch.id, batch.items))
        return []

    def commit(self) -> Committed:
        """As the next owner will read it from the broker."""
        offset, beyond = self.engine.progress("a")
        text = Committed(offset, tuple(beyond)).metadata
        assert len(text) <= MAX_METADATA_BYTES
        return Committed.read(offset, text)


@effort(30)
@given(
    seed=st.integers(0, 2**32),
    orders=st.lists(st.sampled_from(["partition", "key", "none"]), min_size=1, max_size=6),
    room=st.sampled_from([6, 20, 200, 2592]),
)
def test_nothing_that_a_commit_names_is_done_again_and_everything_is_done(
    seed: int, orders: list[str], room: int
) -> None:
    """Over gaps in the log, and where the order is another one from owner to owner."""
    random = Random(seed)
    log = sorted(random.sample(range(200), 100))
    said, done = Committed(0), set[int]()
    for n, order in enumerate(orders):
        limits = Limits(
            max_items=random.choice([1, 4, 20]),
            max_wait_s=0,
            max_in_flight=random.choice([1, 8, 40]),
            order=order,  # type: ignore[arg-type]
            max_beyond_bytes=room,
        )
        owner = Owner(limits, said, log, random)
        last = n == len(orders) - 1
        while owner.log or owner.calls or owner.undelivered:
            done |= set(owner.step())
            if random.random() < 0.2:
                said = owner.commit()
                assert {x for x in log if x < said.offset or covered(x, said.beyond)} <= done
            if not last and random.random() < 0.02:
                break
        else:
            assert owner.commit() == Committed(log[-1] + 1)
            said = owner.commit()
    assert done == set(log)
