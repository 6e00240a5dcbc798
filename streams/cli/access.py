"""Checks that the broker, the topics and the APIs of a configuration are there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from streams.cli.api_access import Check, api_checks
from streams.errors import StreamsError
from streams.kafka.client import broker_error, client_arguments, connected
from streams.settings.values import ledger_topic

if TYPE_CHECKING:
    from streams.kafka.topics import TopicFacts
    from streams.settings import Settings, TaskSettings, WorkerSettings


async def checks(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Check]:
    """Every check in turn; none of them raises."""
    if settings.kafka.bootstrap_servers == "embedded":
        yield "broker", True, "embedded: starts with the worker"
    else:
        for check in await _broker(settings):
            yield check
    for check in await api_checks(settings, environ):
        yield check


async def _broker(settings: Settings) -> list[Check]:
    from aiokafka.errors import KafkaError

    from streams.kafka.admin import Admin
    from streams.kafka.remedies import hidden_settings, or_hidden
    from streams.kafka.topics import describe

    kafka, servers = settings.kafka, settings.kafka.bootstrap_servers
    topics = [(task, _roles(task, settings.worker)) for task in settings.tasks]
    try:
        arguments = client_arguments(kafka)
        admin = Admin(**arguments)
        async with connected(admin, servers):
            brokers = len((await admin.describe_cluster())["brokers"])
            names = {name for task, roles in topics for name in (task.source, *roles)}
            facts = await describe(admin, names)
            hidden = or_hidden(admin.entry)
    except StreamsError as error:
        return [("broker", False, str(error))]
    except (KafkaError, TimeoutError) as error:
        return [("broker", False, str(broker_error(error, servers, admin)))]
    found: list[Check] = [
        ("broker", True, f"{servers}: {brokers} broker{'s' if brokers > 1 else ''}")
    ]
    for task, roles in topics:
        found += _topics(task, roles, facts, hidden)
    for name in sorted(name for name, each in facts.items() if each.hidden):
        found.append((f"topic {name}", False, hidden_settings([name], admin.entry)))
    return found


def _roles(task: TaskSettings, worker: WorkerSettings) -> dict[str, str]:
    """The topics that a worker creates if they are missing, and the role of each."""
    roles = {task.sink: "sink", task.dead_letter: "dead letters"}
    return roles | ({ledger_topic(worker.id, task.source): "ledger"} if worker.ledger else {})


def _topics(
    task: TaskSettings, roles: Mapping[str, str], facts: Mapping[str, TopicFacts], hidden: str
) -> list[Check]:
    if task.source not in facts:
        hint = f"does not exist: create it, or publish to it{hidden}"
        return [(f"topic {task.source}", False, hint)]
    count = facts[task.source].partitions
    found = [(f"topic {task.source}", True, f"source of {task.name}, {count} partitions")]
    for name, role in roles.items():
        refused = False
        if name not in facts:
            detail = f"will be created with {count} partitions"
        elif refused := name == task.dead_letter and facts[name].compacted:
            detail = "is compacted: set its cleanup.policy to delete"
        else:
            detail = f"{facts[name].partitions} partitions"
        found.append((f"topic {name}", not refused, f"{role} of {task.name}, {detail}"))
    return found
