"""The values between operations and providers: two kinds of request, two of response.

Only values: an operation makes a request without knowing which provider will send it, and reads a
response without knowing which provider sent it. A provider turns the request into its API's
request, and the API's reply into the response; it does not judge the content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from streams.model import Answer, Item, Usage
from streams.policies.packing import AnswerRoom


class Prompt(NamedTuple):
    """A request to a model that writes text.

    `system`: the task; the same for every microbatch of a task, so that it can be cached.
    `user`: the items. `schema`: the JSON Schema that the reply keeps; constant too.
    `max_tokens`: room for the answers, in output tokens, thinking not counted.
    """

    system: str
    user: str
    schema: Mapping[str, Any]
    max_tokens: int


class Texts(NamedTuple):
    """A request for one vector per text. `input_type`, `dimension`: None: the model's default."""

    texts: Sequence[str]
    input_type: str | None
    dimension: int | None


class Completion(NamedTuple):
    """A model's text, not checked: `blocks` and `stop_reason` are the reply's own JSON values,
    whatever they are. `usage`: None if the reply has none."""

    blocks: Any
    stop_reason: Any
    usage: Usage | None = None


class Vectors(NamedTuple):
    """One vector per text in the texts' order, not checked: little-endian float32 as bytes, or a
    list of floats. `usage`: None if the reply has none."""

    vectors: Any
    usage: Usage | None = None


Request = Prompt | Texts
Response = Completion | Vectors


class Operation(Protocol):
    """What a task does to its items, in two steps, so that the request can be sent as a call or
    within a Message Batch. Pure: no clock, no I/O, no state between microbatches."""

    @property
    def answer_room(self) -> AnswerRoom | None:
        """The room for answers that its requests have; None: their answers are no tokens."""
        ...

    def request(self, items: Sequence[Item]) -> Request:
        """The one request for this microbatch, which holds at least one item."""
        ...

    def read(self, items: Sequence[Item], response: Response) -> list[Answer]:
        """One answer per item, in the items' order.

        Raises CallError if the response has no usable answer for any item; nothing else, whatever
        the response holds.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that the results depend on, as JSON: the existing ones of `prompt`, `schema`
        and `settings`, for `streams.codec.fingerprint`."""
        ...
