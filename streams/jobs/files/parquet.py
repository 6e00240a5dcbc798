"""The rows of a Parquet file as objects; a row's number stands for its line.

Nothing in a file stops what can be read of it. A cell without a JSON form rejects its row (`cells`
has the forms); damage rejects the rows behind it in its row group, the part that can be read alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from streams.errors import UsageError
from streams.jobs.files.rows import Records, Reject

ROWS_AT_ONCE = 1000


def parquet_rows(path: Path, *, faithful: bool = False) -> Iterator[Records]:
    """Decimals and times become strings, missing values and NaN null. Bytes have no place in JSON:
    rejects; `faithful`: the document lacks them, and the stretch has its rows as Arrow has them.
    Raises as `opened`."""
    file = opened(path)
    names = file.schema_arrow.names
    size, total = path.stat().st_size, max(file.metadata.num_rows, 1)
    number = 0
    for group in range(file.num_row_groups):
        for stretch, count in _group(file, group, names, number, faithful):
            number += count
            yield stretch._replace(position=size * number // total)


def opened(path: Path) -> Any:
    """The file as pyarrow has it. Raises UsageError without the extra `parquet`, or for another
    kind of file."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow: pip install 'streams-microbatch[parquet]'"
        ) from None
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True)
        _ = file.schema_arrow  # a type that nobody knows is found here
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{path}: not a Parquet file: {' '.join(str(error).split())}") from None
    return file


def _group(
    file: Any, group: int, names: Sequence[str], before: int, faithful: bool
) -> Iterator[tuple[Records, int]]:
    """The rows of a row group, and how many they are, rejects included. `before`: the rows of the
    file before it."""
    count, problem = 0, ""
    for size in (ROWS_AT_ONCE, 1):  # row by row, for those that a larger batch takes down with it
        batches = islice(file.iter_batches(size, row_groups=[group]), count // size, None)
        batch, problem = _next(batches)
        while batch is not None:
            found = _documents if faithful else _records
            yield found(batch, names, before + count), batch.num_rows
            count += batch.num_rows
            batch, problem = _next(batches)
        if not problem:
            break
    reason = f"row group {group + 1} is damaged from here on: {problem or 'rows are missing'}"
    rows = file.metadata.row_group(group).num_rows
    while count < rows:
        end = min(rows, count + ROWS_AT_ONCE)
        numbers = range(before + count + 1, before + end + 1)
        yield (
            Records([], [], [], [Reject(n, reason[:300], b"", 0) for n in numbers], 0),
            end - count,
        )
        count = end


def _next(batches: Iterator[Any]) -> tuple[Any, str]:
    """The next batch, or None, with the problem unless it is the end."""
    try:
        return next(batches, None), ""
    except Exception as error:  # pyarrow raises many kinds, and so does memory that damage asks for
        return None, " ".join(str(error).split()) or type(error).__name__


def _records(batch: Any, names: Sequence[str], before: int) -> Records:
    from streams.jobs.files.cells import NoForm, values_of

    found = Records([], [], [], [], 0)
    twice = sorted({name for name in names if names.count(name) > 1})
    columns = [values_of(column) for column in batch.columns]
    for number, cells in enumerate(zip(*columns, strict=True), before + 1):
        reason = f'two columns are named "{twice[0]}"' if twice else ""
        for name, cell in zip(names, cells, strict=True):
            if not reason and type(cell) is NoForm:
                reason = f'its column "{name}" {cell.reason}'
        try:
            value = b"" if reason else orjson.dumps(dict(zip(names, cells, strict=True)), _as_text)
        except TypeError as error:
            reason = f"cannot be written as JSON: {error.__cause__ or error}"
        if reason:
            found.rejects.append(Reject(number, reason, b"", 0))
        else:
            found.lines.append(number)
            found.values.append(value)
            found.documents.append(orjson.loads(value))
    return found


def _documents(batch: Any, names: Sequence[str], before: int) -> Records:
    """Every row is a record, whose document has what JSON can hold."""
    from streams.jobs.files.cells import NoForm, values_of

    found = Records([], [], [], [], 0, batch=batch)
    columns = [values_of(column) for column in batch.columns]
    for number, cells in enumerate(zip(*columns, strict=True), before + 1):
        row = {n: cell for n, cell in zip(names, cells, strict=True) if type(cell) is not NoForm}
        try:
            value = orjson.dumps(row, _as_text)
        except TypeError:
            value = orjson.dumps({n: cell for n, cell in row.items() if _has_json(cell)}, _as_text)
        found.lines.append(number)
        found.values.append(value)
        found.documents.append(orjson.loads(value))
    return found


def _has_json(cell: Any) -> bool:
    try:
        orjson.dumps(cell, _as_text)
    except TypeError:
        return False
    return True


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a column holds {type(value).__name__}")
