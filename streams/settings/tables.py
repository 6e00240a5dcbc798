"""The settings as the rest of the program reads them: frozen tables, named as in the file.

Durations carry their unit in the name (`_s` seconds, `_ms` milliseconds). Defaults and ranges stand
here and nowhere else; `docs/streams.toml` is held against them by a test. Rules that look at more
than one key are in `rules.py` and `task_rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from streams.policies.model_groups import undated
from streams.settings import values
from streams.settings.keys import Table, choice, number, string, table, truth, whole
from streams.settings.limit_tables import LimitSettings, PriceSettings

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Operation = Literal["classify", "extract", "embed", "generate", "custom"]
Order = Literal["partition", "key", "none"]

FILE = "the name of a file"


def directory_of(info: ValidationInfo) -> Path:
    """Where relative file names count from: the configuration's directory, else the current one."""
    context = info.context or {}
    return Path(context.get("directory", "."))


class KafkaSettings(Table):
    """How to reach the broker.

    `bootstrap_servers`: "host:port[,host:port]" or "embedded". `session_timeout_s`: how long a
    silent worker keeps its partitions, in seconds. Passwords come from the environment
    (`STREAMS_KAFKA__SASL_PASSWORD`) or from `sasl_password_file`; they never show in a repr.
    """

    bootstrap_servers: str = string("localhost:9092", values.SERVERS_ALLOWED)
    session_timeout_s: float = number(10, 6, 1800)
    security_protocol: SecurityProtocol = choice(
        "PLAINTEXT", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"
    )
    sasl_mechanism: SaslMechanism | None = choice(None, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    sasl_username: str | None = string(None)
    sasl_password: SecretStr | None = Field(default=None, exclude=True, description="a text")
    sasl_password_file: Path | None = string(None, FILE)
    ssl_cafile: Path | None = string(None, FILE)
    ssl_certfile: Path | None = string(None, FILE)
    ssl_keyfile: Path | None = string(None, FILE)
    ssl_password: SecretStr | None = Field(default=None, exclude=True, description="a text")
    ssl_password_file: Path | None = string(None, FILE)

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        return values.servers(value)

    @field_validator(
        "ssl_cafile", "ssl_certfile", "ssl_keyfile", "sasl_password_file", "ssl_password_file",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _files(cls, value: Any, info: ValidationInfo) -> Any:
        return values.existing_file(value, directory_of(info)) if isinstance(value, str) else value


class WorkerSettings(Table):
    """One worker process, and the group that it shares its source topics with.

    `id`: Faust app id and consumer group; "" only where no task runs. `drain_s`: how long a
    rebalance waits for calls in flight. `confirm_items`: a larger replay, and a group without
    offsets on a larger topic of a paid provider, does not begin without a yes. `web`: "host:port",
    "" for none.
    """

    id: str = string("", values.TOPIC_ALLOWED)
    guarantee: Literal["at_least_once", "exactly_once"] = choice(
        "at_least_once", "at_least_once", "exactly_once"
    )
    start: Literal["earliest", "latest"] = choice("earliest", "earliest", "latest")
    ledger: bool = truth(False)
    commit_interval_ms: int = whole(100, 1, 60_000)
    drain_s: float = number(1, 0, 45)
    shutdown_timeout_s: float = number(25, 0, 3600)
    max_buffered_mb: int = whole(64, 1, 65_536)
    confirm_items: int = whole(100_000, 0, 1_000_000_000)
    web: str = string("127.0.0.1:6066", '"host:port", or "" for none')

    @field_validator("id")
    @classmethod
    def _id(cls, value: str) -> str:
        return values.topic(value)

    @field_validator("web")
    @classmethod
    def _web(cls, value: str) -> str:
        return values.web(value)


class BatchSettings(Table):
    """When a microbatch is full: the first limit reached closes it. `adaptive`: fewer items, and
    fewer calls in flight, while the API takes no more; false: the numbers hold as they are. `key`:
    only items with equal values there share one. `flush_by`: where an item says when its outcome is
    to be back."""

    max_items: int = whole(20, 1, 10_000)
    max_wait_ms: int = whole(50, 0, 3_600_000)
    max_tokens: int = whole(8000, 1, 10_000_000)
    max_bytes: int = whole(1_000_000, 1, 1_000_000_000)
    adaptive: bool = truth(True)
    key: values.PointerText | None = string(None, 'a JSON Pointer as "/tenant"')
    flush_by: values.PointerText | None = string(None, 'a JSON Pointer as "/deadline"')


class CallSettings(Table):
    """How the API is called. `timeout_s`: of one call, in seconds; `max_attempts` counts only
    attempts that may be the item's fault."""

    max_in_flight: int = whole(5, 1, 10_000)
    timeout_s: float = number(60, 0.01, 3600)
    max_attempts: int = whole(6, 1, 100)


class OutputSettings(Table):
    """What a result record looks like."""

    mode: Literal["envelope", "merge", "result"] = choice("envelope", "envelope", "merge", "result")
    embedding: Literal["floats", "base64"] = choice("floats", "floats", "base64")


class TaskSettings(Table):
    """One task: source topic -> operation -> sink topic.

    `schema`: the resolved JSON Schema of an extraction's answers, None for other operations.
    `dimension` (None: the model's own) and `input_type` count for "embed" only. `version`: of a
    custom function, part of its results' fingerprint. `priority`: of tasks that share an account,
    the higher goes first where a limit binds. `model`: "" for custom functions.
    """

    name: str = string(..., values.TOPIC_ALLOWED)
    source: str = string(..., values.TOPIC_ALLOWED)
    sink: str = string(..., values.TOPIC_ALLOWED)
    dead_letter: str = string(..., values.TOPIC_ALLOWED)
    operation: Operation = choice(..., "classify", "extract", "embed", "generate", "custom")
    provider: str = string("", 'the name of a provider: "anthropic", "voyage" or a registered one')
    model: str = string("", "the name of a model")
    labels: tuple[str, ...] = Field(default=(), description="two or more distinct labels")
    instructions: str = string("")
    answer_schema: dict[str, Any] | None = Field(
        default=None, alias="schema", description="a JSON Schema: a table or the name of a file"
    )
    dimension: Literal[256, 512, 1024, 2048] | None = choice(None, 256, 512, 1024, 2048)
    input_type: Literal["document", "query"] = choice("document", "document", "query")
    text: str = string("/text", 'a JSON Pointer as "/text", or a template as "{/title}: {/body}"')
    id: values.PointerText = string("/id", 'a JSON Pointer as "/id"')
    order: Order = choice("partition", "partition", "key", "none")
    tombstones: Literal["forward", "drop", "dead_letter"] = choice(
        "forward", "forward", "drop", "dead_letter"
    )
    too_large: Literal["dead_letter", "truncate"] = choice("dead_letter", "dead_letter", "truncate")
    priority: int = whole(0, -1000, 1000)
    version: str = string("")
    batch: BatchSettings = table(BatchSettings, "a table, [task.batch]")
    calls: CallSettings = table(CallSettings, "a table, [task.calls]")
    limits: LimitSettings = table(LimitSettings, "a table, [task.limits]")
    output: OutputSettings = table(OutputSettings, "a table, [task.output]")
    _price: PriceSettings | None = PrivateAttr(default=None)

    @property
    def price(self) -> PriceSettings | None:
        """What the user says its model costs; None: the price list counts."""
        return self._price

    @property
    def schema(self) -> dict[str, Any] | None:  # type: ignore[override]
        return self.answer_schema

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, task: Any) -> Any:
        return with_defaults(task) if isinstance(task, dict) else task

    @field_validator("name", "source", "sink", "dead_letter")
    @classmethod
    def _topics(cls, value: str) -> str:
        return values.topic(value)

    @field_validator("labels")
    @classmethod
    def _labels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return values.labels(value)

    @field_validator("text")
    @classmethod
    def _text(cls, value: str) -> str:
        return values.pointer_or_template(value)

    @field_validator("answer_schema", mode="before")
    @classmethod
    def _schema(cls, value: Any, info: ValidationInfo) -> Any:
        return values.json_schema(value, directory_of(info))


PROVIDER_OF = {
    "classify": "anthropic",
    "extract": "anthropic",
    "generate": "anthropic",
    "embed": "voyage",
}
MODEL_OF = {"anthropic": "claude-haiku-5-5", "voyage": "voyage-4"}


def with_defaults(task: Mapping[str, Any]) -> dict[str, Any]:
    """The task with those defaults that depend on its other keys."""
    filled = dict(task)
    source, operation = task.get("source"), task.get("operation")
    if isinstance(source, str):
        filled.setdefault("dead_letter", f"{source}.dead")
    if isinstance(operation, str) and operation in PROVIDER_OF:
        filled.setdefault("provider", PROVIDER_OF[operation])
        provider = filled["provider"]
        if isinstance(provider, str) and provider in MODEL_OF:
            filled.setdefault("model", MODEL_OF[provider])
    return filled


class ProviderSettings(Table):
    """How to reach one API. `base_url`: None: the SDK's own. `api_key_file`: holds the key; None:
    the environment has it. The key itself is never part of the settings. `limit_share`: the part
    of the account's limits that is ours; the rest stays free for others."""

    base_url: str | None = string(None, 'an address as "https://host/path"')
    api_key_file: Path | None = string(None, FILE)
    limit_share: float = number(1, 0.01, 1)

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        return None if value is None else values.url(value)

    @field_validator("api_key_file", mode="before")
    @classmethod
    def _file(cls, value: Any, info: ValidationInfo) -> Any:
        return values.existing_file(value, directory_of(info)) if isinstance(value, str) else value


class Settings(Table):
    """The whole configuration. `provider` always holds "anthropic" and "voyage". `limit_groups`:
    which models share their limits: the name of a group by the beginning of a model's name.
    `prices`: by model; one without the date at the end of its name holds for all dates."""

    kafka: KafkaSettings = table(KafkaSettings, "a table, [kafka]")
    worker: WorkerSettings = table(WorkerSettings, "a table, [worker]")
    tasks: tuple[TaskSettings, ...] = Field(
        default=(), alias="task", description="an array of tables, each under its own [[task]]"
    )
    provider: dict[str, ProviderSettings] = Field(
        default_factory=dict, validate_default=True, description="tables, [provider.<name>]"
    )
    limit_groups: dict[str, str] = Field(
        default_factory=dict,
        description='a table of names, as [limit_groups] "claude-opus-5" = "opus"',
    )
    prices: dict[str, PriceSettings] = Field(
        default_factory=dict, description='tables, [prices."<model>"]'
    )

    @model_validator(mode="after")
    def _price_tasks(self) -> Self:
        for task in self.tasks:
            self.priced(task)
        return self

    def price_of(self, model: str) -> PriceSettings | None:
        """What the user says a model costs; None: nothing."""
        return self.prices.get(model) or self.prices.get(undated(model))

    def priced(self, task: TaskSettings) -> TaskSettings:
        """A task that does not stand in the file, with the price of its model."""
        task._price = self.price_of(task.model)
        return task

    @field_validator("provider")
    @classmethod
    def _check_names(cls, value: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
        return {"anthropic": ProviderSettings(), "voyage": ProviderSettings(), **value}
