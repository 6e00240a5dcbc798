"""A record for a person or a program: one line of text, or one JSON object."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson

from streams.codec.strict_json import BOM, read

BASE64 = "base64:"

_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


def json_line(record: Any) -> bytes:
    """One JSON object with its line end. `value`: the record's own JSON, byte for byte except line
    ends between its tokens; else a string, else `{"base64": ...}`; null for a tombstone. `headers`:
    see `headers_object`."""
    return orjson.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp,
            "key": as_text(record.key),
            "headers": headers_object(record.headers),
            "value": json_value(record.value),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def text_line(record: Any) -> str:
    """`partition:offset time key value` between tabs, with its line end; control characters are
    escaped, so that no record can control the terminal."""
    key = "-" if record.key is None else printable(_decoded(record.key))
    value = "(null)" if record.value is None else printable(_decoded(record.value))
    return f"{record.partition}:{record.offset}\t{time_text(record.timestamp)}\t{key}\t{value}\n"


def as_text(raw: bytes | None) -> str | dict[str, str] | None:
    """UTF-8 as a string, other bytes as `{"base64": ...}`."""
    if raw is None:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def json_value(raw: bytes | None) -> Any:
    """For orjson: the record's own JSON, else the result of `as_text`."""
    if raw is None:
        return None
    if not _is_json(raw):
        return as_text(raw)
    # In valid JSON a line end can only stand between tokens, where a blank is as good.
    return orjson.Fragment(raw.replace(b"\n", b" ").replace(b"\r", b" "))


def _is_json(raw: bytes) -> bool:
    try:
        read(raw)
    except ValueError:
        return False
    return not raw.startswith(BOM)


def headers_object(headers: Any) -> dict[str, Any]:
    """By name; a repeated name has a list. A name that is not UTF-8 is `base64:` and its bytes in
    base64, and so is one that begins like that itself."""
    found: dict[str, list[Any]] = {}
    for name, value in headers:
        found.setdefault(_json_name(name), []).append(as_text(value))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _json_name(name: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    if isinstance(as_text(raw), str) and not name.startswith(BASE64):
        return name
    return BASE64 + base64.b64encode(raw).decode()


def printable(text: str) -> str:
    """With control characters escaped."""
    return text.translate(_CONTROL)


def printable_name(name: str) -> str:
    """The name of a header; bytes that are not UTF-8 are escaped too."""
    raw = name.encode("utf-8", "surrogateescape")
    return printable(raw.decode("utf-8", "backslashreplace"))


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def time_text(timestamp_ms: int) -> str:
    """ISO 8601 in UTC; the number itself if it is out of range."""
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(timestamp_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
