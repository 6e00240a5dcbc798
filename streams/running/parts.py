"""What moves between the stages of a pipeline: items, and the parts that they are made into.

    outcomes of a stage ─► [expand] ─► gather ─► ... ─► queue ─► next stage

Rules:
1. An element is an item, or a part of one. Its group is the innermost one that it is a part of, its
   number its place in that group; without a group, its place in the input.
2. An element that has an outcome already (an `ItemError`, or EMPTY) passes the stages by.
3. EMPTY stands for the parts of an item that has none, so that the item keeps its place.
4. An element of the queue names its source: the slot of the stage before it that is delivered when
   the element has been taken. Of several elements from one slot, the last one names it; of several
   slots that became one element, the others are delivered when they are gathered.
5. In the pipeline of a task, all elements of an item have its `Trip`: they keep its lane's order,
   their memory counts, and an error has the name of the stage where it came up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

from streams.core.call import PENDING, Slot, State
from streams.errors import Fault, ItemError, StageError
from streams.running.trips import Trip, memory_of

LANE: Final = 0


class _Empty:
    def __repr__(self) -> str:
        return "EMPTY"


EMPTY: Final = _Empty()


class Group:
    """The parts of one item. `group`, `number`: where the item itself belongs. `expansion`: which
    expansion made it. `missing`: parts that have not come back. `memory`: bytes of those that
    have."""

    __slots__ = ("expansion", "group", "memory", "missing", "number", "parts")

    def __init__(self, group: Group | None, number: int, expansion: int, size: int) -> None:
        self.group = group
        self.number = number
        self.expansion = expansion
        self.missing = size
        self.memory = 0
        self.parts: list[Any] = []

    def collect(self, number: int, value: Any) -> bool:
        """Takes a part's value in; whether it was the last one that was missing."""
        if value is EMPTY:
            return True  # the group has no parts
        if not self.parts:
            self.parts = [PENDING] * self.missing
        self.parts[number] = value
        self.missing -= 1
        return not self.missing


class Element(Slot):
    """An item or a part on its way to a stage, and in it. `trip`: its item's; None: it belongs to
    no task. `growth`: bytes by which its outcome takes more while it waits for its turn."""

    __slots__ = ("group", "growth", "number", "source", "trip")

    def __init__(
        self,
        value: Any,
        group: Group | None,
        number: int,
        source: Element | None = None,
        outcome: Any = PENDING,
        trip: Trip | None = None,
    ) -> None:
        super().__init__(LANE, 0, value, outcome=outcome)
        self.trip = trip
        if trip is not None:
            self.lane, self.order_key = trip.lane, trip.order_key
        self.group = group
        self.growth = 0
        self.number = number
        self.source = source

    @property
    def value(self) -> Any:
        """In the queue: the value, or the outcome with which it passes the stages by."""
        return self.item if self.outcome is PENDING else self.outcome

    @property
    def path(self) -> tuple[int, ...]:
        """Its place in the input, as numbers that sort: the item, its part, the part's part."""
        path = [self.number]
        group = self.group
        while group is not None:
            path.append(group.number)
            group = group.group
        return tuple(reversed(path))


def passed_on(slots: Sequence[Element], values: Sequence[Any]) -> list[Element]:
    """One element for each outcome."""
    return [
        Element(None, slot.group, slot.number, slot, value, slot.trip)
        if value is EMPTY or isinstance(value, ItemError)
        else Element(value, slot.group, slot.number, slot, trip=slot.trip)
        for slot, value in zip(slots, values, strict=True)
    ]


class Expansion:
    """Makes each outcome, a list, into its parts. `number`: differs from every other expansion of
    the pipeline."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, elements: Iterable[Element]) -> list[Element]:
        parts: list[Element] = []
        for element in elements:
            if element.outcome is PENDING:
                parts += self._parts(element)
            else:
                parts.append(element)
        return parts

    def _parts(self, element: Element) -> list[Element]:
        values, source, trip = _listed(element.item), element.source, element.trip
        if isinstance(values, ItemError):
            return [Element(None, element.group, element.number, source, values, trip)]
        group = Group(element.group, element.number, self._number, len(values))
        if not values:
            return [Element(None, group, 0, source, EMPTY, trip)]
        parts = [Element(value, group, number, trip=trip) for number, value in enumerate(values)]
        parts[-1].source = source
        for part in parts:
            if isinstance(part.item, ItemError):
                part.outcome = part.item
        return parts


def _listed(value: Any) -> list[Any] | ItemError:
    """The parts that a function returned for one item."""
    if isinstance(value, list):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | Mapping):
        try:
            return list(value)
        except Exception as error:
            failure = ItemError(Fault.FUNCTION.value, f"{type(error).__name__} among the parts")
            failure.__cause__ = error
            return failure
    what = f"{type(value).__name__}, not a list of parts"
    return ItemError(Fault.FUNCTION.value, f"the function of expand returned {what}")


class Gathering:
    """Makes the parts of one expansion into lists again. `keep`: failed parts stay in the list;
    else an item with one has the error of the first."""

    def __init__(self, expansion: int, *, keep: bool) -> None:
        self._expansion = expansion
        self._keep = keep

    def __call__(self, elements: Iterable[Element], delivered: list[Element]) -> list[Element]:
        """Elements of other groups pass. The last part of an item gives its source to the item;
        those of the others are `delivered`: their values are in the group."""
        items: list[Element] = []
        for element in elements:
            group = element.group
            if group is None or group.expansion != self._expansion:
                items.append(element)
                continue
            group.memory += element.memory
            if group.collect(element.number, element.value):
                items.append(self._item(group, element.source, element.trip))
            elif element.source is not None:
                delivered.append(element.source)
        return items

    def _item(self, group: Group, source: Element | None, trip: Trip | None) -> Element:
        parts, group.parts = group.parts, []
        outcome = PENDING if self._keep else next(filter(_is_error, parts), PENDING)
        item = Element(parts, group.group, group.number, source, outcome, trip)
        item.memory = group.memory
        return item


def _is_error(value: Any) -> bool:
    return isinstance(value, ItemError)


Step = Expansion | Gathering


class Queue:
    """What a stage gave and the next one has not taken. `steps`: what is done on the way. `stage`:
    the name of the stage."""

    def __init__(self, steps: Sequence[Step] = (), stage: str = "") -> None:
        self._expansions = [step for step in steps if isinstance(step, Expansion)]
        self._gatherings = [step for step in steps if isinstance(step, Gathering)]
        self._stage = stage
        self._elements: deque[Element] = deque()

    def __len__(self) -> int:
        return len(self._elements)

    def put(self, slots: Sequence[Element], values: Sequence[Any]) -> list[Element]:
        """Takes the outcomes of released slots in; returns the slots that are delivered with that:
        those whose value is held in a group."""
        elements = passed_on(slots, values)
        delivered: list[Element] = []
        for expansion in self._expansions:
            elements = expansion(elements)
        if slots[0].trip is not None:
            self._note(elements)
        for gathering in self._gatherings:
            elements = gathering(elements, delivered)
        self._elements += elements
        return delivered

    def _note(self, elements: Sequence[Element]) -> None:
        """For the trips: what these elements take, and where they failed."""
        for element in elements:
            assert element.trip is not None
            outcome = element.outcome
            if isinstance(outcome, ItemError) and not isinstance(outcome, StageError):
                element.outcome = StageError(self._stage, outcome)
            element.memory = memory_of(element.value)
            element.trip.hold(element.memory)

    def drop(self, lane: Hashable) -> None:
        """Forgets the elements of a lane; their slots are nobody's any more."""
        self._elements = deque(each for each in self._elements if each.lane is not lane)

    def take(self, count: int) -> tuple[list[Element], list[Element]]:
        """At most so many elements, and the slots that are delivered with that."""
        if count >= len(self._elements):
            taken, self._elements = list(self._elements), deque()
        else:
            taken = [self._elements.popleft() for _ in range(count)]
        sources: list[Element] = []
        for element in taken:
            if element.source is not None:
                sources.append(element.source)
                element.source = None
        return taken, sources


def hold_outcomes(slots: Iterable[Any]) -> list[Element]:
    """Of the slots of a call that ended those whose outcomes wait for their turn: these count in
    place of the items from now on."""
    waiting = [slot for slot in slots if slot.state is State.ANSWERED]
    for slot in waiting:
        slot.item = None
        slot.growth = memory_of(slot.outcome) - slot.memory
        slot.trip.hold(slot.growth)
    return waiting


def lanes_of(elements: Sequence[Element]) -> Iterable[tuple[Hashable, Sequence[Element]]]:
    """The elements lane by lane, each lane's in their order; at least one."""
    if elements[0].trip is None:
        return [(LANE, elements)]
    lanes: dict[Hashable, list[Element]] = {}
    for element in elements:
        lanes.setdefault(element.lane, []).append(element)
    return lanes.items()
