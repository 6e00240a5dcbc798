"""What a single value must look like: servers, topics, pointers, templates, URLs, schemas, files.

Each function returns the value as it will be used, or raises `ValueError` with what is wrong and
what is allowed. None of them looks at another key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

MAX_TOPIC_CHARACTERS = 249
_TOPIC = re.compile(rf"[a-zA-Z0-9._-]{{1,{MAX_TOPIC_CHARACTERS}}}")
_HOST = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+(%[0-9A-Za-z._-]+)?\]"
)
_PART = re.compile(r"\{(/[^{}]*)\}")
_WORD_IN_BRACES = re.compile(r"\{([A-Za-z_][\w.-]*)\}")
_KEY_LIKE = re.compile(r"(sk|pa|al)-[\w-]{8,}")

EMBEDDED = "embedded"
SERVERS_ALLOWED = '"host:port", several as "host:port,host:port", or "embedded"'


def servers(value: str) -> str:
    """Kafka's bootstrap servers, without blanks; IPv6 addresses stand in brackets."""
    if value.strip() == EMBEDDED:
        return EMBEDDED
    if "://" in value:
        raise ValueError(f"must be {SERVERS_ALLOWED}, without a scheme")
    return ",".join(host_and_port(server.strip(), SERVERS_ALLOWED) for server in value.split(","))


def host_and_port(value: str, allowed: str) -> str:
    """`host:port`, the port from 1 to 65535."""
    if "@" in value:
        raise ValueError(f"must be {allowed}, without a user or password")
    host, colon, port = value.rpartition(":")
    if not colon or "]" in port or (":" in host and not host.startswith("[")):
        if value.count(":") > 1 and not value.startswith("["):
            raise ValueError(
                f'must be {allowed}; an IPv6 address needs brackets, as in "[::1]:9092"'
            )
        raise ValueError(f"must be {allowed}; {shown(value)} lacks the port")
    if not _HOST.fullmatch(host):
        raise ValueError(f"must be {allowed}; {shown(host)} is not a host")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError(f"must be {allowed}; {shown(port)} is not a port from 1 to 65535")
    return value


def topic(value: str) -> str:
    """A name that Kafka accepts for a topic; task names and worker ids keep to the same letters."""
    if not _TOPIC.fullmatch(value) or value in {".", ".."}:
        raise ValueError(f"must be {TOPIC_ALLOWED}, not {shown(value)}")
    return value


def budget_topic(worker_id: str) -> str:
    """The topic through which the workers of a group share their budgets."""
    return f"{worker_id}.budget"


def limit_topic(worker_id: str) -> str:
    """The topic through which the workers of a group share an API's limits."""
    return f"{worker_id}.limits"


def ledger_topic(worker_id: str, source: str) -> str:
    """Where paid replies of a source's items are recorded."""
    return f"{worker_id}.{source}.ledger"


TOPIC_ALLOWED = (
    'a name of letters, digits, ".", "_" and "-", 1 to 249 long, and neither "." nor ".."'
)


def pointer(value: str) -> str:
    """A JSON Pointer (RFC 6901) to a part of the item; `~` only as `~0` or `~1`."""
    if not value.startswith("/"):
        raise ValueError(f'must be a JSON Pointer, which starts with "/", not {shown(value)}')
    if re.search(r"~(?![01])", value):
        raise ValueError(f'must be a JSON Pointer, where "~" is written "~0", not {shown(value)}')
    return value


PointerText = Annotated[str, AfterValidator(pointer)]


def pointer_or_template(value: str) -> str:
    """`/pointer`, or a template with `{/pointer}` parts."""
    if value.startswith("/"):
        return pointer(value)
    allowed = 'must be a JSON Pointer as "/text", or a template as "{/title}: {/body}"'
    word = _WORD_IN_BRACES.search(value)
    if word:
        raise ValueError(f"{allowed}; {word[0]} is no pointer: write {{/{word[1]}}}")
    parts = _PART.findall(value)
    if len(parts) != value.count("{/"):
        raise ValueError(f'{allowed}; a "{{/" is not closed by "}}"')
    if not parts:
        raise ValueError(f"{allowed}, not {shown(value)}")
    for part in parts:
        pointer(part)
    return value


def url(value: str) -> str:
    """The address of an API, http or https, with neither user nor query; a final slash is cut."""
    from streams.providers.addresses import api_address  # its room takes long to import

    return api_address(value)


def web(value: str) -> str:
    """Where the worker's pages are served; the empty text means nowhere."""
    return host_and_port(value, '"host:port", or "" for none') if value else value


def labels(values: tuple[str, ...]) -> tuple[str, ...]:
    """Two labels at least, none empty, none the same but for case, Unicode form or outer blanks."""
    from streams.operations.spelling import folded

    seen: dict[str, str] = {}
    for label in values:
        plain = folded(label)
        if not plain:
            raise ValueError("must be two or more distinct labels; one is empty")
        if plain in seen:
            same = f"{shown(seen[plain])} and {shown(label)} are the same"
            raise ValueError(f"must be two or more distinct labels; {same}")
        seen[plain] = label
    if len(seen) < 2:
        raise ValueError(f"must be two or more distinct labels, not {len(seen)}")
    return values


def json_schema(value: Any, directory: Path) -> dict[str, Any]:
    """The answer's JSON Schema: an inline table, or the name of a file beside the configuration."""
    where = ""
    if isinstance(value, str):
        value, where = _json_file(located(value, directory)), f"{value}: "
    if not isinstance(value, dict):
        raise ValueError(
            f"{where}must be a JSON Schema: a table, or the name of a file that holds one"
        )
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(value)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top"
        raise ValueError(
            f"{where}is not a JSON Schema (draft 2020-12): at {place}: {error.message}"[:300]
        ) from None
    if value.get("type") != "object" and not value.keys() & {"$ref", "allOf", "anyOf", "oneOf"}:
        raise ValueError(f'{where}must describe an object: "type" must be "object" at its top')
    return value


def _json_file(path: Path) -> Any:
    from streams.codec.strict_json import read

    text = read_text(path)
    try:
        return read(text.encode())
    except ValueError as error:
        reason = str(error).removeprefix("the value ")
        raise ValueError(f"{path.name}: {reason}") from None


def read_text(path: Path) -> str:
    """A small text file, or `ValueError` with the reason in one line."""
    if _KEY_LIKE.fullmatch(path.name):
        raise ValueError("must be the name of a file; this looks like a secret itself")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a directory, not a file") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path}: cannot be read: {reason.lower()}") from None


def located(name: str, directory: Path) -> Path:
    """Where a file's name leads: `~` is the home directory, a relative name counts from
    `directory`."""
    return directory / (Path(name).expanduser() if name.startswith("~/") else name)


def existing_file(value: str, directory: Path) -> Path:
    """The path of a file that exists; relative names count from `directory`."""
    path = located(value, directory)
    if not path.is_file():
        read_text(path)  # for its message
        raise ValueError(f"{path}: is not a file")
    return path


def shown(value: Any) -> str:
    """A value as the file would write it, cut to 60 characters."""
    import json

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    written = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    return written if len(written) <= 60 else f"{written[:57]}..."
