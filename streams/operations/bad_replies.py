"""What becomes of each kind of reply: one row per case, in the words of docs/operations.md.

`read_answers` and `Embed.read` say what is wrong with a reply, for items (`Unanswered`) or for the
call (`Fault`); `streams.policies.retry` says what follows. The tests send each row through both,
and compare the page with this table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from streams.errors import Fault
from streams.model import Unanswered
from streams.policies.retry import Step, rule


class Row(NamedTuple):
    """`reply`: its description. `usable`: whether its usable records become results, whatever
    happens to the rest. `rest`: the answer of the other items; None: there are no others."""

    reply: str
    usable: bool
    rest: Unanswered | Fault | None

    @property
    def follows(self) -> str:
        """What happens to the other items, with the code of their dead letters in brackets."""
        if self.rest is None:
            return ""
        code = self.rest.value
        if self.rest is Unanswered.CUT:
            return f"halved (`{code}`)"
        if isinstance(self.rest, Unanswered):
            return f"{'' if self.usable else 'halved; alone: '}asked again (`{code}`)"
        step = rule(self.rest).step
        if step is Step.PAUSE:
            return "the task pauses: no item will ever fit"
        asked = "; alone: asked again" if step is Step.ASK else ""
        return f"halved{asked} (`{code}`)"


ROWS: Final = (
    Row("lacks an id, or is of fewer records than items", True, Unanswered.MISSING),
    Row("has an id twice, saying the same", True, None),
    Row("has an id twice, saying different things", True, Unanswered.INVALID),
    Row("has an id that was not given, or more records than items: those are ignored", True, None),
    Row("has an id as a number, or with blanks", True, None),
    Row("is in another order", True, None),
    Row(
        "has a value in another case than the label or `enum`, or a label in another Unicode form: "
        "taken as configured",
        True,
        None,
    ),
    Row("has another value, or breaks the schema", True, Unanswered.INVALID),
    Row(
        "is JSON in a fence, in prose, a bare array, a single record, or JSON inside a JSON string",
        True,
        None,
    ),
    Row("is JSON with a broken record", True, Unanswered.MISSING),
    Row("was cut at `max_tokens`", True, Unanswered.CUT),
    Row("was cut before its first record", False, Fault.TRUNCATED),
    Row("is an empty list of records", False, Unanswered.MISSING),
    Row("is no JSON, holds no records, no text or no content", False, Fault.BAD_REPLY),
    Row("is a refusal, with or without text", False, Fault.REFUSED),
    Row("does not fit into the model's context", False, Fault.TOO_LARGE),
    Row("has thinking or unknown blocks before the text", True, None),
    Row("has another stop reason: judged by its text", True, None),
    Row("(vectors) has more or fewer than texts, or indices that do not number them", False,
        Fault.BAD_REPLY),
    Row("(vectors) is in another order: placed by `index`", True, None),
    Row("(vectors) has one with NaN, infinity, no data or another dimension", True,
        Unanswered.INVALID),
    Row("(vectors) is of another dimension altogether", False, Fault.ACCOUNT),
)  # fmt: skip


def as_table() -> str:
    """The rows in Markdown, as the page has them."""
    head = "| the reply | its usable records | the other items |\n|---|---|---|"
    lines = [f"| {row.reply} | {'kept' if row.usable else ''} | {row.follows} |" for row in ROWS]
    return "\n".join([head, *(line.replace("|  |", "| |") for line in lines)])
