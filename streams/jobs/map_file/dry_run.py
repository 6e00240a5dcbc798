"""What a run would take, by estimates: nothing is called.

Input tokens are those of the very requests that would be sent, counted on the high side as
microbatches are. Output tokens and times cannot be known; `OUTPUT_TOKENS` and `Pace` say what is
assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from streams.codec.records import estimate_tokens, text_bytes
from streams.codec.strict_json import compact
from streams.jobs.map_file.map_job import MapJob
from streams.model import Item, Usage, added
from streams.operations import make_operation
from streams.operations.exchange import Operation, Prompt
from streams.operations.extract import Extract
from streams.providers import has_batches
from streams.providers.prices import claude_usage, voyage_usage
from streams.settings import TaskSettings

RECORD_TOKENS: Final = 10
"""Of a written record around its answer."""

OBJECT_TOKENS: Final = 60
TEXT_TOKENS: Final = 150
"""Of an answer where nothing says how long it is."""


class Pace(NamedTuple):
    """A call takes `call_s`, and a second more for each `tokens_per_s` that it writes."""

    call_s: float
    tokens_per_s: float


PACES: Final = {"anthropic": Pace(1.0, 100.0), "voyage": Pace(0.5, 100.0)}
OTHER_PACE: Final = Pace(1.0, 100.0)

BATCH_S: Final = 3600.0
"""Most Message Batches have ended within an hour; none takes more than a day."""


class Estimate:
    """Adds up calls. `rows`: of the file, of which `items` would be asked about."""

    def __init__(self, task: TaskSettings) -> None:
        self._task = task
        self.operation = make_operation(task)
        self._each = _output_tokens(task, self.operation)
        self._pace = PACES.get(task.provider, OTHER_PACE)
        self.rows = self.items = self.calls = 0
        self._input = self._output = 0
        self._cost: int | None = 0
        self._seconds = 0.0
        self._open: list[Item] = []
        self._open_tokens = self._open_bytes = 0

    def add(self, text: str) -> None:
        """One more item, in the call that is open or in the next."""
        batch = self._task.batch
        tokens, size = estimate_tokens(text), text_bytes(text)
        if tokens > batch.max_tokens or size > batch.max_bytes:
            return  # it would be refused before any call
        if (
            len(self._open) >= batch.max_items
            or self._open_tokens + tokens > batch.max_tokens
            or self._open_bytes + size > batch.max_bytes
        ):
            self.close_call()
        self._open.append(Item(None, text, None, None, (), "", 0, 0, 0, None))
        self._open_tokens += tokens
        self._open_bytes += size
        self.items += 1

    def close_call(self) -> None:
        if not self._open:
            return
        tokens = _input_tokens(self.operation, self._open)
        output = self._each * len(self._open)
        usage = _usage(self._task, tokens, output)
        self.calls += 1
        self._input += tokens
        self._output += output
        self._cost = added(self._cost, None if usage is None else usage.cost_nano_usd)
        self._seconds += self._pace.call_s + output / self._pace.tokens_per_s
        self._open, self._open_tokens, self._open_bytes = [], 0, 0

    def summary(self) -> dict[str, Any]:
        """As `replay --dry-run` has it, with all rows. `batch`: None: the provider has none."""
        in_flight = min(self._task.calls.max_in_flight, max(self.calls, 1))
        return {
            "rows": self.rows,
            "items": self.items,
            "calls": self.calls,
            "input_tokens": self._input,
            "output_tokens": self._output,
            "live": {
                "cost_usd": None if self._cost is None else self._cost / 1e9,
                "time_s": round(self._seconds / in_flight, 1),
            },
            "batch": self._batch() if has_batches(self._task) else None,
        }

    def _batch(self) -> dict[str, Any]:
        return {
            "cost_usd": None if self._cost is None else self._cost / 2e9,
            "time_s": BATCH_S,
        }


def estimate(job: MapJob) -> dict[str, Any]:
    """What the job would take. Raises UsageError for what cannot work."""
    source = job.source()
    try:
        found = Estimate(job.task)
        fields = job.fields(found.operation)
        for row in _rows(job, job.reading(source, fields).stretches()):
            found.rows += 1
            if row.problem is None:
                found.add(row.text)
        found.close_call()
    finally:
        source.close()
    return found.summary()


def _rows(job: MapJob, stretches: Iterator[Any]) -> Iterator[Any]:
    count = 0
    for stretch in stretches:
        for row in stretch.rows:
            if job.limit is not None and count >= job.limit:
                return
            count += 1
            yield row


def _input_tokens(operation: Operation, items: list[Item]) -> int:
    request = operation.request(items)
    if isinstance(request, Prompt):
        schema = compact(dict(request.schema))
        return sum(map(estimate_tokens, (request.system, request.user, schema)))
    return sum(map(estimate_tokens, request.texts))


def _output_tokens(task: TaskSettings, operation: Operation) -> int:
    """Of one answer."""
    if task.operation == "embed":
        return 0
    if task.operation == "classify":
        return RECORD_TOKENS + max(map(estimate_tokens, task.labels))
    if isinstance(operation, Extract):
        if operation.example is None:
            return RECORD_TOKENS + OBJECT_TOKENS
        return RECORD_TOKENS + max(OBJECT_TOKENS, estimate_tokens(compact(operation.example)))
    return RECORD_TOKENS + TEXT_TOKENS


def _usage(task: TaskSettings, input_tokens: int, output_tokens: int) -> Usage | None:
    """At list prices."""
    if task.operation == "embed":
        return voyage_usage(task.model, {"total_tokens": input_tokens})
    counts = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return claude_usage(task.model, counts)
