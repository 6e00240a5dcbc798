"""`streams dead`: looks at dead letters and sends them again."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import Broker, Config, Debug, Json
from streams.cli.printing import fail, put_json, quiet_clients, tell
from streams.errors import BrokerError, UsageError
from streams.standard_streams import data, put

if TYPE_CHECKING:
    from streams.jobs.dead.letters import Choice
    from streams.jobs.dead.plan import Progress, Redrive
    from streams.settings import KafkaSettings

app = typer.Typer(
    help="Look at dead letters and send them again.", no_args_is_help=True, rich_markup_mode=None
)

Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="The dead-letter topic.")]
Codes = Annotated[
    list[str] | None,
    typer.Option("--code", metavar="CODE", help="Only letters with this error code; repeatable."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", metavar="NAME", help="Only letters of this task; repeatable."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Failed then or later; ISO 8601 (UTC) or how long ago: -2h."),
]
Count = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N letters.")]


@app.command("list")
def list_(
    topic: Topic,
    code: Codes = None,
    task: Tasks = None,
    since: Since = None,
    count: Count = None,
    config: Config = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """List dead letters, a line each, and count them by code; keys and values are not shown."""
    import asyncio
    from contextlib import aclosing

    from streams.jobs.dead.letter_views import facts_line, heading, row
    from streams.jobs.dead.letters import letter_of
    from streams.kafka.tail import Start, tail
    from streams.policies.code_counts import CodeCounts

    choice = _choice(code, task, since, [])
    kafka = _kafka(topic, config, broker, debug=debug)
    out, codes = data(), CodeCounts()
    others = 0

    async def show() -> None:
        nonlocal others
        records_of = tail(kafka, topic, Start("earliest"), to_end=True)
        async with aclosing(records_of) as batches:
            async for records in batches:
                for record in records:
                    letter = letter_of(record)
                    others += letter is None
                    if letter is None or not choice.holds(letter):
                        continue
                    if not codes and not as_json:
                        out.write(heading().encode())
                    out.write(facts_line(letter) if as_json else row(letter).encode())
                    codes.add(letter.code)
                    if codes.total() == count:
                        return
                out.flush()

    asyncio.run(show())
    out.flush()
    tell(f"{_counts_text(codes, 'dead letter')} in {topic}")
    if others:
        tell(f"{others} other records are no dead letters; is {topic} the dead-letter topic?")
    return 0


@app.command()
def show(
    topic: Topic,
    letter: Annotated[str, typer.Argument(metavar="PARTITION/OFFSET")],
    config: Config = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Show one dead letter whole: what happened, and the source's headers, key and value."""
    import asyncio

    from streams.jobs.dead.letter_views import whole_line, whole_text
    from streams.jobs.dead.letters import letter_of
    from streams.jobs.dead.lookup import find

    place = _place(letter)
    kafka = _kafka(topic, config, broker, debug=debug)
    found = letter_of(asyncio.run(find(kafka, topic, *place)))
    if found is None:
        raise BrokerError(f"{topic}/{letter} is no dead letter; `streams tail` shows any record")
    line = whole_line(found) if as_json else whole_text(found).encode()
    put(line)
    return 0


@app.command()
def redrive(
    topic: Topic,
    letters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PARTITION/OFFSET]...", help="Only these; default: all."),
    ] = None,
    code: Codes = None,
    task: Tasks = None,
    since: Since = None,
    count: Count = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Send them there; default: where they came from."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also letters that have been sent again before.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="At most N letters a second.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
    config: Config = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Send dead letters again to their source topics, each once; what has been sent is remembered.

    Exit code 1 if a letter could not be sent.
    """
    from streams.cli.stopping import run_until_stopped
    from streams.jobs.dead.plan import Progress, Redrive, summary
    from streams.jobs.dead.redrive import redrive as send
    from streams.running.bar import Bar

    choice = _choice(code, task, since, letters or [])
    if rate is not None and not 0 < rate < float("inf"):
        raise UsageError(f"--rate must be a number above 0, not {rate}")
    if into is not None:
        _check_topic("--into", into)
        if into == topic:
            raise UsageError("--into names the dead-letter topic itself")
    kafka = _kafka(topic, config, broker, debug=debug)
    job = Redrive(topic, choice, into, everything, count, rate, dry_run)
    with Bar() as bar:
        progress = Progress(tell=bar.tell, changed=lambda now: bar.show(now.state))
        try:
            run_until_stopped(send(kafka, job, progress))
        except KeyboardInterrupt:
            bar.tell(f"interrupted: {progress.sent} are sent again; run it again to go on")
            raise
    if as_json:
        put_json(summary(job, progress))
    else:
        _report(job, progress)
    if progress.skipped_count:
        skipped = _counts_text(progress.skipped, "dead letter")
        fail(f"{skipped} could not be sent again, and stay to be")
        return 1
    return 0


def _report(job: Redrive, progress: Progress) -> None:
    where = ", ".join(progress.into)
    to = f" to {where}" if where else ""
    tell(f"{'would send' if job.dry else 'sent'} {_counts_text(progress.codes, 'dead letter')}{to}")
    if progress.continued:
        tell("letters that an earlier run sent are left out (--all takes them too)")


def _counts_text(codes: Counter[str], what: str) -> str:
    from streams.kafka.record_views import printable

    total = codes.total()
    each = ", ".join(f"{count} {printable(code)}" for code, count in codes.most_common())
    return f"{total} {what}{'' if total == 1 else 's'}" + (f" ({each})" if each else "")


def _choice(
    codes: list[str] | None, tasks: list[str] | None, since: str | None, letters: list[str]
) -> Choice:
    from datetime import UTC, datetime

    from streams.jobs.dead.letters import Choice
    from streams.kafka.tail import parse_time

    since_ms = None
    if since is not None:
        try:
            since_ms = parse_time(since, datetime.now(UTC))
        except ValueError:
            raise UsageError(
                "--since must be a time as 2026-11-23T10:00:00Z, or how long ago as -2h, not"
                f" {since!r}"
            ) from None
    places = frozenset(_place(letter) for letter in letters)
    return Choice(frozenset(codes or ()), frozenset(tasks or ()), places, since_ms)


def _place(text: str) -> tuple[int, int]:
    parts = text.split("/")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        partition, offset = map(int, parts)
        if partition < 2**31 and offset < 2**63:
            return partition, offset
    raise UsageError(f"a letter is named PARTITION/OFFSET, as 0/17, not {text!r}")


def _kafka(topic: str, config: Any, broker: str | None, *, debug: bool) -> KafkaSettings:
    from streams.settings import load_settings

    _check_topic("TOPIC", topic)
    kafka = load_settings(config, os.environ, broker=broker, need_tasks=False).kafka
    quiet_clients(debug=debug)
    return kafka


def _check_topic(what: str, name: str) -> None:
    from streams.settings.values import topic as legal

    try:
        legal(name)
    except ValueError as error:
        raise UsageError(f"{what} {error}") from None
