"""Rules over more than one key, checked on the merged tables before they become settings.

They read the raw values, so that one wrong key does not hide what is wrong with another; a value of
the wrong type is passed over here: it has an error of its own already. Every function yields
`(location, what is wrong and what is allowed)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streams.settings.problems import Location, nearest
from streams.settings.tables import PROVIDER_OF, with_defaults
from streams.settings.values import (
    EMBEDDED,
    MAX_TOPIC_CHARACTERS,
    TOPIC_ALLOWED,
    budget_topic,
    ledger_topic,
    limit_topic,
    shown,
)

Found = Iterator[tuple[Location, str]]


def broken(raw: Mapping[str, Any], *, need_tasks: bool) -> Found:
    """Everything wrong between the tables and inside [kafka], [worker] and [provider]."""
    yield from _broker(_table(raw, "kafka"))
    yield from _worker(raw, need_tasks=need_tasks)
    yield from _budgets(raw)
    yield from _shared_limits(raw)
    yield from _providers(raw)
    yield from _names(raw)
    yield from _topics(raw)
    yield from _cycle(raw)


def tasks_of(raw: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The tasks that are tables, with their place in the file and their dependent defaults."""
    tasks = raw.get("task")
    if not isinstance(tasks, list):
        return []
    return [(i, with_defaults(task)) for i, task in enumerate(tasks) if isinstance(task, dict)]


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = raw.get(name)
    return table if isinstance(table, dict) else {}


def _broker(kafka: Mapping[str, Any]) -> Found:
    protocol = kafka.get("security_protocol", "PLAINTEXT")
    if not isinstance(protocol, str):
        return
    if kafka.get("bootstrap_servers") == EMBEDDED and protocol != "PLAINTEXT":
        yield (
            ("kafka", "security_protocol"),
            f'must be "PLAINTEXT" with bootstrap_servers = "{EMBEDDED}", not {shown(protocol)}',
        )
    yield from _sasl(kafka, protocol)
    tls = protocol in {"SSL", "SASL_SSL"}
    for key in kafka:
        if key.startswith("ssl_") and not tls:
            yield ("kafka", key), 'needs security_protocol = "SSL" or "SASL_SSL"'
    if "ssl_keyfile" in kafka and "ssl_certfile" not in kafka:
        yield ("kafka", "ssl_certfile"), "is missing; ssl_keyfile is the key of a certificate"


def _sasl(kafka: Mapping[str, Any], protocol: str) -> Found:
    sasl = [key for key in kafka if key.startswith("sasl_")]
    if not protocol.startswith("SASL_"):
        for key in sasl:
            yield ("kafka", key), 'needs security_protocol = "SASL_SSL" or "SASL_PLAINTEXT"'
        return
    if "sasl_mechanism" not in kafka:
        allowed = '"PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"'
        yield ("kafka", "sasl_mechanism"), f"is missing; with {protocol} it must be {allowed}"
    if "sasl_username" not in kafka:
        yield ("kafka", "sasl_username"), f"is missing; {protocol} needs a user"
    if "sasl_password" not in kafka and "sasl_password_file" not in kafka:
        yield (
            ("kafka", "sasl_password_file"),
            f"is missing; {protocol} needs a password: name its file here,"
            " or set STREAMS_KAFKA__SASL_PASSWORD",
        )


def _worker(raw: Mapping[str, Any], *, need_tasks: bool) -> Found:
    worker = _table(raw, "worker")
    if (
        (need_tasks or tasks_of(raw))
        and "id" not in worker
        and isinstance(raw.get("worker", {}), dict)
    ):
        yield (
            ("worker", "id"),
            f"is missing; it is the consumer group, and must be {TOPIC_ALLOWED}",
        )
    embedded = _table(raw, "kafka").get("bootstrap_servers") == EMBEDDED
    if embedded and worker.get("guarantee") == "exactly_once":
        yield (
            ("worker", "guarantee"),
            'must be "at_least_once" on the embedded broker, which has no transactions;'
            " for exactly_once name an Apache Kafka in kafka.bootstrap_servers",
        )
    if worker.get("ledger") is True:
        if _table(raw, "kafka").get("bootstrap_servers") == EMBEDDED:
            yield (
                ("worker", "ledger"),
                "must be false on the embedded broker, which ends with the worker and forgets"
                " everything; for a ledger name an Apache Kafka in kafka.bootstrap_servers",
            )
        yield from _ledgers(raw, worker.get("id"))


def _ledgers(raw: Mapping[str, Any], worker_id: Any) -> Found:
    """Every source's ledger needs a name that Kafka takes and that no other topic has."""
    if not isinstance(worker_id, str):
        return
    tasks = tasks_of(raw)
    for index, task in tasks:
        source = task.get("source")
        if not isinstance(source, str):
            continue
        name = ledger_topic(worker_id, source)
        if len(name) > MAX_TOPIC_CHARACTERS:
            yield (
                ("worker", "ledger"),
                f"the ledger of {shown(source)} would have a name of {len(name)} characters,"
                f" {{id}}.{{source}}.ledger; allowed: {MAX_TOPIC_CHARACTERS}: take a shorter id",
            )
        for other, owner in tasks:
            for role in ("source", "sink", "dead_letter"):
                if owner.get(role) == name:
                    yield (
                        ("task", other, role),
                        f"{shown(name)} is the ledger of task[{index}]; take another topic",
                    )


def _budgets(raw: Mapping[str, Any]) -> Found:
    """The group's topic of budgets needs a name that no other topic has."""
    worker_id, tasks = _table(raw, "worker").get("id"), tasks_of(raw)
    limited = [task for _, task in tasks if any("budget" in key for key in _table(task, "limits"))]
    if not isinstance(worker_id, str) or not limited:
        return
    name = budget_topic(worker_id)
    if len(name) > MAX_TOPIC_CHARACTERS:
        what = f"is too long for {{id}}.budget; allowed: {MAX_TOPIC_CHARACTERS} characters"
        yield ("worker", "id"), what
    yield from _kept_free(raw, name, "their budgets")


def _shared_limits(raw: Mapping[str, Any]) -> Found:
    """The group's topic of limits, too."""
    yield from _kept_free(raw, limit_topic(str(_table(raw, "worker").get("id"))), "limits")


def _kept_free(raw: Mapping[str, Any], topic: str, shared: str) -> Found:
    """No task has the topic through which workers share something."""
    for index, task in tasks_of(raw):
        for role in ("source", "sink", "dead_letter"):
            if task.get(role) == topic:
                what = f"{shown(topic)} is where workers share {shared}; take another topic"
                yield ("task", index, role), what


def _providers(raw: Mapping[str, Any]) -> Found:
    used = [task.get("provider") for _, task in tasks_of(raw)]
    built_in = sorted(set(PROVIDER_OF.values()))
    for name in _table(raw, "provider"):
        if name not in built_in and name not in used:
            near = nearest(name, built_in)
            guess = f'did you mean "{near}"? ' if near else ""
            yield (
                ("provider", name),
                f"no task uses it; {guess}allowed: {', '.join(built_in)}, or one that a task names",
            )


def _names(raw: Mapping[str, Any]) -> Found:
    seen: dict[str, int] = {}
    for index, task in tasks_of(raw):
        name = task.get("name")
        if not isinstance(name, str):
            continue
        if name in seen:
            yield (
                ("task", index, "name"),
                f"{shown(name)} is the name of task[{seen[name]}] too; each task needs its own",
            )
        seen.setdefault(name, index)


def _topics(raw: Mapping[str, Any]) -> Found:
    readers: dict[str, int] = {}
    for index, task in tasks_of(raw):
        source, sink, dead = (task.get(key) for key in ("source", "sink", "dead_letter"))
        if isinstance(source, str):
            if source in readers:
                yield (
                    ("task", index, "source"),
                    f"{shown(source)} is the source of task[{readers[source]}] too; a worker has"
                    " one task to a source: give the second task a worker with its own id",
                )
            readers.setdefault(source, index)
            if sink == source:
                yield (
                    ("task", index, "sink"),
                    f"must be another topic than source, not {shown(sink)}",
                )
        if isinstance(dead, str) and dead in (source, sink):
            other = "source" if dead == source else "sink"
            yield (
                ("task", index, "dead_letter"),
                f"must be another topic than {other}, not {shown(dead)}",
            )


def _cycle(raw: Mapping[str, Any]) -> Found:
    """Topics that feed themselves over more than one task, one line for each cycle."""
    writes: dict[str, list[str]] = {}
    reader: dict[str, int] = {}
    for index, task in tasks_of(raw):
        source = task.get("source")
        if not isinstance(source, str) or source in reader:
            continue
        reader[source] = index
        writes[source] = [
            topic
            for key in ("sink", "dead_letter")
            if isinstance(topic := task.get(key), str) and topic != source
        ]
    cycles: set[frozenset[str]] = set()
    for start in writes:
        path = _way_back(start, writes)
        if path and frozenset(path) not in cycles:
            cycles.add(frozenset(path))
            around = " -> ".join([*path, start])
            yield (
                ("task", reader[start], "source"),
                f"is part of a cycle of topics ({around}); no task may feed its own source",
            )


def _way_back(start: str, writes: Mapping[str, list[str]]) -> list[str]:
    """The topics on the shortest way from `start` to itself; empty if there is none."""
    ways = [[start]]
    seen = {start}
    for way in ways:  # grows while it is read: breadth first
        for topic in writes.get(way[-1], []):
            if topic == start:
                return way
            if topic not in seen:
                seen.add(topic)
                ways.append([*way, topic])
    return []
