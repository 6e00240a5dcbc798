"""`streams demo`: broker, API simulator and worker in one go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from streams.cli.options import Broker, Debug, Json
from streams.errors import UsageError

if TYPE_CHECKING:
    from streams.demo import Input, Question

Value = TypeVar("Value")


def demo(
    items: Annotated[int, typer.Option(min=1, metavar="N", help="How many items at most.")] = 500,
    input: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Your own items, as publish takes them.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="jsonl|csv|tsv|parquet|text", help="Default: told by the name."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="POINTER", help="Where the text is: /text, or '{/title}: {/body}'."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="The labels to choose from.")
    ] = None,
    instructions: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What to judge, in your own words.")
    ] = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Enrich real text on an embedded broker, and check order and completeness."""
    if input is None:
        of_input = {"format": format, "text": text, "labels": labels, "instructions": instructions}
        for name, value in of_input.items():
            if value is not None:
                raise UsageError(f"--{name} belongs to --input FILE")
    if broker is not None:
        from streams.settings.values import servers

        broker = _checked("--broker:", servers, broker)
    source = None if input is None else _input(input, format, text)
    question = _question(labels, instructions)
    from streams.demo import run

    return run(items, source, question, broker, json=as_json)


def _input(name: str, format: str | None, text: str | None) -> Input:
    from streams.demo.items import Input
    from streams.jobs.files.formats import FORMATS
    from streams.settings.values import pointer_or_template

    path = None if name == "-" else Path(name)
    if path is not None and not path.exists():
        raise UsageError(f"--input {name}: no such file")
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format must be {', '.join(FORMATS)}, not {format!r}")
    where = _checked("--text", pointer_or_template, "/text" if text is None else text)
    return Input(path, format, where)


def _question(labels: str | None, instructions: str | None) -> Question | None:
    from streams.demo.run import LABELS, Question
    from streams.settings import values

    if labels is None:
        return None if instructions is None else Question(LABELS, instructions)
    given = tuple(label.strip() for label in labels.split(","))
    return Question(_checked("--labels", values.labels, given), instructions or "")


def _checked(option: str, check: Callable[[Value], Value], value: Value) -> Value:
    try:
        return check(value)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from None
