"""Dead letters as a person or a program wants to see them. A list never shows keys or values."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson

from streams.codec.strict_json import indented_json
from streams.jobs.dead.letters import DeadLetter
from streams.kafka.record_views import (
    as_text,
    headers_object,
    json_value,
    printable,
    printable_name,
    time_text,
)

WIDTHS = {"letter": 9, "failed at": 24, "code": 16, "task": 12, "tries": 5, "source": 24}


def heading() -> str:
    names = "  ".join(f"{name:<{width}}" for name, width in WIDTHS.items())
    return f"{names}  message\n"


def row(letter: DeadLetter) -> str:
    """One line of the list, under `heading()`, with its line end."""
    texts = (
        letter.place,
        time_text(letter.failed_at_ms),
        letter.code,
        letter.task,
        str(letter.attempts),
        "/".join(map(str, letter.source)),
    )
    cells = [
        f"{printable(text):<{width}}" for text, width in zip(texts, WIDTHS.values(), strict=True)
    ]
    return "  ".join([*cells, printable(letter.message)]) + "\n"


def facts(letter: DeadLetter) -> dict[str, Any]:
    """What `--json` prints for a letter in a list."""
    topic, partition, offset = letter.source
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "code": letter.code,
        "message": letter.message,
        "task": letter.task,
        **({"stage": letter.stage} if letter.stage else {}),
        "source": {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp_ms": letter.source_timestamp_ms,
        },
        "attempts": letter.attempts,
        "batch_id": letter.batch_id,
        "failed_at_ms": letter.failed_at_ms,
        "redriven": letter.redrives,
        "omitted": dict(letter.omitted),
    }


def facts_line(letter: DeadLetter) -> bytes:
    return orjson.dumps(facts(letter), option=orjson.OPT_APPEND_NEWLINE)


def whole_line(letter: DeadLetter) -> bytes:
    """The letter with the source's key, headers and value, as `streams tail --json` has them."""
    return orjson.dumps(
        {
            **facts(letter),
            "key": as_text(letter.key),
            "headers": headers_object(letter.headers),
            "value": json_value(letter.value),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def whole_text(letter: DeadLetter) -> str:
    """One letter for a person, with its line end."""
    return "".join(f"{line}\n" for line in _lines(letter))


def _lines(letter: DeadLetter) -> Iterator[str]:
    yield f"letter     {letter.place}"
    yield f"code       {printable(letter.code)}"
    yield f"message    {printable(letter.message)}"
    yield f"task       {printable(letter.task)}"
    if letter.stage:
        yield f"stage      {printable(letter.stage)}"
    stamp = letter.source_timestamp_ms
    at = "" if stamp is None else f" of {time_text(stamp)}"
    yield f"source     {'/'.join(map(str, letter.source))}{at}"
    yield f"tries      {letter.attempts} calls; the last: {printable(letter.batch_id) or 'none'}"
    yield f"failed at  {time_text(letter.failed_at_ms)}"
    if letter.redrives:
        yield f"redriven   {letter.redrives} times before it failed again"
    for what, size in letter.omitted.items():
        count = f"{size} headers" if what == "headers" else f"{size} bytes"
        yield (
            f"left out   the {what} ({count}): the dead letter was too large for its topic with it;"
            f" it may still stand at {'/'.join(map(str, letter.source))}"
        )
    for name, value in letter.headers:
        yield f"header     {printable_name(name)}: {_short(value)}"
    yield f"key        {_short(letter.key)}"
    if "value" in letter.omitted:
        return
    yield "value"
    yield from _pretty(letter.value)


def _pretty(value: bytes | None) -> Iterator[str]:
    """JSON indented, else text as it is, else base64. Escapes characters that control a
    terminal."""
    if value is None:
        yield "(null)"
        return
    try:
        indented = indented_json(value)
    except ValueError:
        try:
            indented = value.decode("utf-8")
        except UnicodeDecodeError:
            indented = base64.b64encode(value).decode() + " (base64)"
    for line in indented.split("\n"):
        yield printable(line)


def _short(value: bytes | None) -> str:
    if value is None:
        return "(none)"
    text = as_text(value)
    return printable(text) if isinstance(text, str) else f"{text and text['base64']} (base64)"
