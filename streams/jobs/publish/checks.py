"""What every record passes, in any format: size, schema, key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from streams.codec.exact_schema import exact
from streams.codec.pointers import MissingError, Pointer
from streams.codec.strict_json import compact, read
from streams.errors import UsageError
from streams.jobs.files.rows import Place, Records, Reject, rejected, too_long

RECORD_OVERHEAD_BYTES = 88
"""The overhead of a batch of one record beside its key and value (measured: 1,048,500 bytes fit
into 1,048,588)."""


class Chunk(NamedTuple):
    """Records that may be published, in order, with their `places`, the lines on which each begins
    and ends. `keys`: one each, None: none has a key. `position`: bytes of the input read so far."""

    values: list[bytes]
    keys: list[bytes] | None
    places: list[Place]
    rejects: list[Reject]
    position: int


def checked(
    stretches: Iterable[Records],
    *,
    largest: int,
    key: Callable[[Any], bytes] | None,
    faults: Callable[[Any], str | None] | None,
) -> Iterator[Chunk]:
    """`largest`: the topic's limit of a batch, in bytes. `key`: from `key_of`. `faults`: from
    `schema_faults`."""
    limit = largest - RECORD_OVERHEAD_BYTES
    for stretch in stretches:
        places = list(zip(stretch.lines, stretch.last_lines or stretch.lines, strict=True))
        if key is None and faults is None and max(map(len, stretch.values), default=0) <= limit:
            yield Chunk(stretch.values, None, places, stretch.rejects, stretch.position)
            continue
        chunk = Chunk([], None if key is None else [], [], [*stretch.rejects], stretch.position)
        for place, value, document in zip(places, stretch.values, stretch.documents, strict=True):
            reason, name = faults(document) if faults is not None else None, None
            if reason is None and key is not None:
                try:
                    name = key(document)
                except ValueError as error:
                    reason = str(error)
            size = len(value) + len(name or b"")
            if reason is None and size > limit:
                reason = too_long(size, limit)
            if reason is not None:
                chunk.rejects.append(rejected(place, reason, value))
                continue
            chunk.values.append(value)
            chunk.places.append(place)
            if chunk.keys is not None:
                chunk.keys.append(name or b"")
        chunk.rejects.sort()
        yield chunk


def key_of(field: str) -> Callable[[Any], bytes]:
    """Takes the record's key from a field: its name, or a JSON Pointer if it starts with `/`.

    A string is the key as it is, a number its own digits as they stand in the record, anything else
    compact JSON. The function gets the document and its bytes, and raises ValueError if the field
    is missing or null. Raises UsageError for an invalid pointer.
    """
    try:
        escaped = field.replace("~", "~0").replace("/", "~1")
        pointer = Pointer(field if field.startswith("/") else f"/{escaped}")
    except ValueError as error:
        raise UsageError(f"--key: {error}") from None

    def key(document: Any) -> bytes:
        try:
            value = pointer.find(document)
        except MissingError:
            raise ValueError(f'has no field "{field}" for its key') from None
        if value is None:
            raise ValueError(f'its field "{field}", the key, is null')
        try:
            return (value if isinstance(value, str) else compact(value)).encode()
        except UnicodeEncodeError:
            raise ValueError(f'its field "{field}", the key, has no bytes in UTF-8') from None
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f'its field "{field}", the key, cannot be written: {error}') from None

    return key


def schema_faults(path: Path) -> Callable[[Any], str | None]:
    """Reports how a record breaks the JSON Schema (draft 2020-12) in the file; None: it does not.

    Nothing is fetched: a `$ref` must point into the file itself. Raises UsageError for a file
    without a valid schema.
    """
    from jsonschema.exceptions import SchemaError, best_match
    from jsonschema.validators import Draft202012Validator, validator_for
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
    from referencing.exceptions import Unresolvable

    try:
        schema = read(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--schema {path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        reason = str(error).removeprefix("the value ")
        raise UsageError(f"--schema {path}: {reason}") from None
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise UsageError(f"--schema {path}: not a JSON Schema: {error.message}"[:300]) from None
    validator = exact(kind)(schema, registry=REGISTRY)

    def faults(document: Any) -> str | None:
        try:
            error = best_match(validator.iter_errors(document))
        except Unresolvable as missing:
            raise UsageError(f"--schema {path}: {missing}") from None
        if error is None:
            return None
        place = "".join(f"/{part}" for part in error.absolute_path) or "the record"
        rule = compact({error.validator: error.validator_value})[1:-1]
        return f"breaks the schema: {place} against {rule}"[:200]

    return faults
