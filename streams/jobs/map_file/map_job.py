"""What to map, and whether its files fit together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streams.codec.fingerprint import fingerprint
from streams.codec.records import TextLimit, cut
from streams.errors import UsageError
from streams.jobs.files.formats import Format, Source, columns_of, format_of, same_file
from streams.jobs.map_file.answer_fields import Fields
from streams.jobs.map_file.journal_file import journal_of, state_of
from streams.jobs.map_file.row_reading import Reading
from streams.operations.exchange import Operation
from streams.providers import TaskCaller, has_batches
from streams.settings import ProviderSettings, TaskSettings

START_BYTES: Final = 1 << 20
"""How much of the input names it, beside its size."""

OTHER: Final = {
    "input": "another input",
    "format": "another --format",
    "columns": "other --columns",
    "text": "another --text",
    "prefix": "another --prefix",
    "simulate": "and without --simulate: an answer of the simulator is none of the API",
    "operation": "another operation",
    "provider": "another provider",
    "model": "another model",
    "embedding": "another form of embeddings",
    "fingerprint": "other labels, instructions or another schema",
}
"""What two runs must have in common, in words, the clearest first."""


@dataclass(frozen=True)
class MapJob:
    """`path`: None is standard input. `out`: None is standard output. `rejects`: None: the first
    few are told. `format`: None: told by the name. `columns`: of a file without a header. `text`:
    where a row's text is. `limit`: rows at most, None: all. `provider`: None: the SDK's own
    settings. `batch`: asked in Message Batches; `poll_ms`: how soon such a batch is asked about, in
    milliseconds, later less often."""

    task: TaskSettings
    provider: ProviderSettings | None
    environ: Mapping[str, str]
    path: Path | None
    out: Path | None = None
    rejects: Path | None = None
    format: Format | None = None
    columns: str | None = None
    text: str = "/text"
    prefix: str = ""
    limit: int | None = None
    resume: bool = False
    force: bool = False
    simulate: bool = False
    batch: bool = False
    poll_ms: int = 1_000

    def source(self) -> Source:
        """The input, open. Raises UsageError."""
        columns = columns_of(self.columns) if self.columns is not None else None
        return Source(self.path, self.format, columns, faithful=True)

    def fields(self, operation: Operation) -> Fields:
        layout = self.task.output.embedding
        return Fields(operation, self.task.operation, layout, self.prefix)

    def reading(self, source: Source, fields: Fields) -> Reading:
        return Reading(source, self.text, fields, self._trimmed())

    def _trimmed(self) -> Callable[[str], str] | None:
        if self.task.too_large != "truncate":
            return None
        limit = TextLimit(self.task.batch.max_tokens, self.task.batch.max_bytes)
        return lambda text: cut(text, limit)

    def check_files(self, source: Source) -> None:
        """Raises UsageError where a file would be lost, or cannot be what its name says."""
        if same_file(self.out, self.path) or same_file(self.rejects, self.path):
            raise UsageError("--out and --rejects are other files than the input")
        if self.batch:
            self._check_batch()
        if self.out is None:
            self._check_standard_output(source)
            return
        if self.out.exists() and not self.out.is_file():
            raise UsageError(f"--out {self.out}: is no file; without --out rows go to stdout")
        if self.rejects in (self.out, journal_of(self.out), state_of(self.out)):
            raise UsageError("--rejects is another file than --out and its journal")
        named = format_of(self.out)
        written = "jsonl" if source.format == "text" else source.format
        if named not in (None, written):
            raise UsageError(
                f"--out {self.out}: the rows come out as they went in, here as {written}:"
                f" name it so that it says {written}"
            )
        journal, state = journal_of(self.out), state_of(self.out)
        if state.exists() and not self.batch:
            raise UsageError(
                f"{state}: Message Batches of an interrupted run are at work: --mode batch goes on"
                " with them (--resume), or gives them up (--force)"
            )
        if self.force:
            return
        if journal.exists() and not self.resume:
            raise UsageError(
                f"{journal} is what an interrupted run has paid for: --resume goes on with it,"
                " --force starts anew and pays again"
            )
        if self.out.exists() and not journal.exists():
            what = "there is nothing to go on with: " if self.resume else ""
            raise UsageError(
                f"--out {self.out}: {what}it exists, and is complete or not of streams map;"
                " --force replaces it, or name another"
            )

    def _check_batch(self) -> None:
        if not has_batches(self.task):
            raise UsageError(f"--mode batch: {self.task.provider} has no Message Batches here")
        if self.path is None or self.out is None:
            raise UsageError(
                "--mode batch reads the rows again when their answers are there, and goes on after"
                " an interruption: name a file, and one for the rows with --out"
            )

    def _check_standard_output(self, source: Source) -> None:
        if self.resume or self.force:
            raise UsageError("--resume and --force need --out FILE: standard output has no journal")
        if source.format == "parquet":
            raise UsageError("Parquet is finished at its end: name a file with --out")


def facts_of(job: MapJob, source: Source, caller: TaskCaller) -> dict[str, Any]:
    """What names a run: one that goes on with its answers has the same."""
    start = None
    if job.path is not None and source.size is not None:
        with job.path.open("rb") as file:
            start = hashlib.sha256(file.read(START_BYTES)).hexdigest()
    task = job.task
    return {
        "input": {"bytes": source.size, "start": start},
        "format": source.format,
        "columns": job.columns,
        "text": job.text,
        "prefix": job.prefix,
        "simulate": job.simulate,
        "operation": task.operation,
        "provider": task.provider,
        "model": task.model,
        "embedding": task.output.embedding,
        "fingerprint": fingerprint(**caller.describe()),
    }


def refuse_others(before: Mapping[str, Any], now: Mapping[str, Any], journal: Path) -> None:
    """Raises UsageError where the journal is of another run."""
    for key, what in OTHER.items():
        if before.get(key) != now[key]:
            raise UsageError(
                f"--resume: {journal} is of a run with {what}{_values(before.get(key), now[key])};"
                " say the same as then, or --force to start anew and pay again"
            )


def _values(before: Any, now: Any) -> str:
    if isinstance(before, str) and isinstance(now, str) and len(before + now) < 80:
        return f" ({before or 'none'}, now {now or 'none'})"
    return ""
