"""Faults put into the engine by hand."""

from __future__ import annotations

from typing import Any

from streams.core.cut import Cut
from streams.core.engine import Engine
from streams.core.events import Cancelled
from streams.core.order import ORDERS, NoOrder
from streams.core.retries import Aftermath, Retries
from streams.core.task_pause import TaskPause
from streams.core.verdict import EVERYBODY, Verdict
from streams.errors import Fault
from streams.policies import retry
from tests.simulation.mutants.registry import Patch, mutant


@mutant("outcomes leave as they come")
def _(patch: Patch) -> None:
    patch.setitem(ORDERS, "partition", NoOrder)
    patch.setattr("tests.simulation.watch.CHECK_EVERY", 10**9)  # the engine itself would tell


@mutant("one call more than max_in_flight")
def _(patch: Patch) -> None:
    limit = TaskPause.limit.fget
    assert limit is not None
    patch.setattr(TaskPause, "limit", property(lambda self: limit(self) + 1))
    patch.setattr("tests.simulation.watch.CHECK_EVERY", 10**9)


@mutant("a microbatch takes more tokens than it may")
def _(patch: Patch) -> None:
    begin = Cut.__init__

    def roomy(self: Cut, *args: Any) -> None:
        begin(self, *args)
        self.max_weight *= 2

    patch.setattr(Cut, "__init__", roomy)
    patch.setattr("tests.simulation.watch.CHECK_EVERY", 10**9)


@mutant("a window is looked at later than it closes")
def _(patch: Patch) -> None:
    next_deadline = Engine.next_deadline

    def later(self: Engine) -> float | None:
        due = next_deadline(self)
        return None if due is None else due + 0.01

    patch.setattr(Engine, "next_deadline", later)


@mutant("a cancelled call keeps its place")
def _(patch: Patch) -> None:
    handle = Engine.handle

    def deaf(self: Engine, event: Any, now: float) -> list[Any]:
        return [] if isinstance(event, Cancelled) else handle(self, event, now)

    patch.setattr(Engine, "handle", deaf)


@mutant("half of a divided microbatch is forgotten")
def _(patch: Patch) -> None:
    divided = Retries._divided
    patch.setattr(
        Retries, "_divided", lambda self, slots, parts: list(divided(self, slots, parts))[:1]
    )
    patch.setattr("tests.simulation.watch.CHECK_EVERY", 10**9)


@mutant("a refused item's neighbours are refused with it")
def _(patch: Patch) -> None:
    after_failure = Retries.after_failure

    def together(self: Retries, batch: Any, live: Any, error: Any, step: Any, **only: Any) -> Any:
        if error.fault is Fault.REFUSED:
            from streams.errors import ItemError

            return Aftermath([(slot, ItemError("refused")) for slot in live], [])
        return after_failure(self, batch, live, error, step, **only)

    patch.setattr(Retries, "after_failure", together)


@mutant("an outage counts as the items' fault")
def _(patch: Patch) -> None:
    patch.setitem(retry.RULES, Fault.CONNECTION, retry.Rule(retry.Step.COUNT))


@mutant("what one item meets is taken for everybody's", lambda given: given.alone is not None)
def _(patch: Patch) -> None:
    patch.setattr("streams.core.admission.verdict", lambda *_args, **_keywords: EVERYBODY)


@mutant("what everybody meets is taken for the items'")
def _(patch: Patch) -> None:
    always = Verdict(retry.Blame.ITEMS)
    patch.setattr("streams.core.admission.verdict", lambda *_args, **_keywords: always)


@mutant("answers go to their neighbours")
def _(patch: Patch) -> None:
    replied = Engine._replied

    def turned(self: Engine, event: Any, now: float) -> Any:
        from dataclasses import replace

        return replied(self, replace(event, answers=event.answers[::-1]), now)

    patch.setattr(Engine, "_replied", turned)
    before = Engine.__init__

    def begin(self: Engine, *args: Any, **kwargs: Any) -> None:
        before(self, *args, **kwargs)
        from streams.core.events import Replied

        self._handlers[Replied] = self._replied

    patch.setattr(Engine, "__init__", begin)


@mutant("equal keys leave as they come", found_by=19)
def _(patch: Patch) -> None:
    patch.setitem(ORDERS, "key", NoOrder)
    patch.setattr("tests.simulation.watch.CHECK_EVERY", 10**9)
