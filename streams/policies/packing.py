"""How many items a call takes, in tokens: weighed by a fast estimate that replies correct.

    an item:  tokens by its script's fixed count   x factor of the script + frame    = its weight
    a call:   overhead + weights                                      <= max_tokens, less the margin
    answers:  answer x items + answer share x weights         <= room for answers of such a request

Rules:
1. Tokens in are those that the API counts: instructions, schema and frames too, whether they come
   from the prompt cache or not. Where they take more than `1 - LEAST_ROOM` of `max_tokens`, items
   have that part of it all the same: else most of what is paid would be instructions.
2. An item alone is called, whatever it weighs by now: `too_large` is decided by the fixed count
   when it arrives (`streams.core.cut.screen`), and is the same for the same text every time.
3. Predicted answers are bounded by items and weights: as many as the room takes of such items as
   wait now. So no reply is cut, and nothing is computed for it item by item.
4. A function's items weigh what the function says, exactly: without a `CallShape` all factors are 1
   and nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

from streams.model import Usage
from streams.policies.correction import SINGLE, Correction, Factor

LATIN, WIDE, CODE = range(3)
"""Scripts of texts: prose in ASCII or nearly; what is beyond ASCII (Chinese, Cyrillic, emoji); code
and JSON. Tokenizers differ most between these."""
SCRIPTS: Final = 3

EVERY: Final = 4
"""After the first replies every fourth teaches, and each that took more than its margin allows:
what the others say is known, and items wait for the engine."""
LEAST_ROOM: Final = 0.25
SCRIPT: Final = Factor(likely=1.0, doubt=0.25)
"""The fixed count is on the high side: the first calls are below their limit, not above."""
CONSTANT_DOUBT: Final = 0.25
LEAST_DOUBT: Final = 0.25
SHARE_DOUBT: Final = 0.2
"""Of the answer's tokens for each token of its item: 0 for a label, above 1 for a translation."""


class AnswerRoom(NamedTuple):
    """Output tokens that a request allows for its answers. `frame`: around them, whatever their
    number. `most`: the model's, or the SDK's, limit."""

    each: int
    at_least: int
    frame: int
    most: int

    def tokens(self, count: int) -> int:
        return min(self.most, self.frame + max(self.at_least, count * self.each))

    @property
    def doubt(self) -> float:
        """How little is known of an answer: much room is for what may be long, or for thinking."""
        return self.each / 4 + self.frame / 32

    def limit(self, each: float) -> float:
        """Up to which sum answers of `each` tokens fit."""
        if each <= self.each:
            return self.most
        beside = self.frame * each / (each - self.each)  # they need of the frame, too
        return min(self.most, max(self.frame + self.at_least, beside))


class CallShape(NamedTuple):
    """What is known of a task's calls before the first reply, in tokens. `overhead`: input of each
    call beside its items; `frame`: around each item. `answer`: output for an item. `room`: for the
    answers; None: they are no tokens."""

    overhead: float = 0.0
    frame: float = 0.0
    answer: float = 0.0
    room: AnswerRoom | None = None


class Bounds(NamedTuple):
    """Of one microbatch: its items, and the sum of their weights."""

    items: int
    weight: float


class Packing:
    """What one task's items weigh, by what its replies said so far. `shape`: None: as much as their
    tokens say, always. `max_tokens`: of a call; None: any number.

    `learns`: whether it has a shape. `factors`: by script. `frame`: of each item. `overhead`: of a
    call beside its items. `room`: the sum of weights that a call may have.
    """

    def __init__(self, shape: CallShape | None, max_tokens: int | None) -> None:
        self.learns = shape is not None
        self._calls = 0
        self._margin = 1.0  # times an estimate: what a call hardly takes
        self._limit: float = inf if max_tokens is None else max_tokens
        self._input: Correction | None = None
        self._output: Correction | None = None
        self._answer_room: AnswerRoom | None = None
        self.factors: Sequence[float] = (1,) * SCRIPTS
        self.frame: float = 0
        self.overhead: float = 0
        self.room = self._limit
        # Of answers: for each unit of weight, for each item; what to allow for where they are
        # longer; up to which all of them, and each, fit for sure.
        self._share = self._answer = 0.0
        self._slack, self._enough, self._enough_each = 1.0, inf, inf
        if shape is not None:
            around = [_constant(shape.frame), _constant(shape.overhead)]
            self._input = Correction([SCRIPT] * SCRIPTS + around)
            self._answer_room = shape.room
            self._refresh(self._input)
            if shape.room is not None:
                answer = Factor(shape.answer, shape.room.doubt)
                self._output = Correction([Factor(0.0, SHARE_DOUBT), answer])
                self._refresh_answers(self._output, shape.room)

    @property
    def error(self) -> float | None:
        """How far estimates of input are off, as a part of what was used (0.1: by a tenth); None:
        no reply has said it."""
        learned = self._input is not None and self._input.replies > 0
        return self._input.error if learned and self._input is not None else None

    # -- before a call ---------------------------------------------------------------------------

    def weight(self, tokens: Sequence[int], count: int) -> float:
        """Of `count` items with these tokens in all, by script."""
        latin, wide, code = self.factors
        return tokens[0] * latin + tokens[1] * wide + tokens[2] * code + count * self.frame

    def answers(self, weight: float, count: float) -> float:
        """Output tokens of `count` items of this weight in all."""
        return self._share * weight + self._answer * count

    def answers_fill(self, weight: float, count: int) -> bool:
        """Whether the answers to these items, at least one, take all the room that a call has."""
        room = self._answer_room
        if room is None:
            return False
        answers = self._share * weight + self._answer * count
        if answers < self._enough and answers < self._enough_each * count:
            return False
        return answers >= self._answer_limit(answers / count)

    def bounds(self, weight: float, count: int, max_items: int) -> Bounds:
        """Of the next microbatch, of `max_items` or fewer, where `count` items of this weight in
        all wait; never below one item."""
        if self._answer_room is None:
            return Bounds(max_items, self.room)
        each = self._share * weight / count + self._answer
        by_weight = self._share * min(self.room, weight)
        most = by_weight + self._answer * max_items
        if each <= self._enough_each and most <= self._enough:
            return Bounds(max_items, self.room)
        limit = self._answer_limit(each)
        items = max(1, min(max_items, int(limit / each)))
        left = limit - items * self._answer
        if by_weight <= max(0.0, left):
            return Bounds(items, self.room)
        return Bounds(items, max(0.0, left / self._share))

    def _answer_limit(self, each: float) -> float:
        room, slack = self._answer_room, self._slack
        return inf if room is None else room.limit(each * slack) / slack

    # -- after a call ----------------------------------------------------------------------------

    def learn(self, tokens: Sequence[int], count: int, usage: Usage, *, answered: bool) -> None:
        """What a call with these items took. `answered`: all of its answers were written, or as
        many as there was room for."""
        if self._input is None or usage.calls != 1:
            return
        self._calls += 1
        most = (self.overhead + self.weight(tokens, count)) * self._margin
        if self._calls > SINGLE and self._calls % EVERY and usage.input_tokens <= most:
            return
        if self._input.learn([*tokens, count, 1], usage.input_tokens):
            self._refresh(self._input)
        if answered and self._output is not None:
            weight = self.weight(tokens, count)
            if self._output.learn([weight, count], usage.output_tokens):
                self._refresh_answers(self._output, self._answer_room)

    def _refresh(self, learned: Correction) -> None:
        *factors, self.frame, self.overhead = learned.factors
        self.factors = tuple(factors)
        self._margin = 1 + learned.margin
        room = self._limit / self._margin - self.overhead
        self.room = max(LEAST_ROOM * self._limit, room)

    def _refresh_answers(self, learned: Correction, room: AnswerRoom | None) -> None:
        assert room is not None
        self._share, self._answer = learned.factors
        self._slack = 1 + learned.margin
        self._enough, self._enough_each = room.most / self._slack, room.each / self._slack


def _constant(likely: float) -> Factor:
    return Factor(likely, CONSTANT_DOUBT * likely + LEAST_DOUBT)
