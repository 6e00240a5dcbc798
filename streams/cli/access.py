"""Checks that the broker, the topics and the APIs of a configuration are there.

The API calls are the cheapest possible: a model's description from Anthropic (free), the embedding
of one word from Voyage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from streams.errors import StreamsError
from streams.kafka.client import broker_error, client_arguments, connected
from streams.settings.values import ledger_topic

if TYPE_CHECKING:
    from streams.kafka.topics import TopicFacts
    from streams.settings import Settings, TaskSettings, WorkerSettings

ANSWER_WITHIN_S = 10.0

Check = tuple[str, bool, str]
"""The name of a check, whether it passed, and one line about it."""


async def checks(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Check]:
    """Every check in turn; none of them raises."""
    if settings.kafka.bootstrap_servers == "embedded":
        yield "broker", True, "embedded: starts with the worker"
    else:
        for check in await _broker(settings):
            yield check
    checked_models = set()
    for task in settings.tasks:
        if task.operation != "custom" and (task.provider, task.model) not in checked_models:
            checked_models.add((task.provider, task.model))
            yield await _api(settings, task, environ)


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


async def _api(settings: Settings, task: TaskSettings, environ: Mapping[str, str]) -> Check:
    what = f"{task.provider} {task.model}"
    ask = {"anthropic": _anthropic, "voyage": _voyage}.get(task.provider)
    if ask is None:
        return what, True, "not asked: a registered provider"
    from streams.providers.port import api_key

    provider = settings.provider[task.provider]
    variable = f"{task.provider.upper()}_API_KEY"
    key, missing = api_key(task.provider, variable, provider, environ)
    if missing:
        return what, False, missing
    try:
        return what, True, await ask(key, provider.base_url, task.model)
    except ImportError:
        extra = f"pip install 'streams-microbatch[{task.provider}]'"
        return what, False, f"its SDK is not installed: {extra}"
    except TimeoutError:
        return what, False, f"no answer within {ANSWER_WITHIN_S:g} s"
    except Exception as error:
        status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
        reason = f"{type(error).__name__}{f' ({status})' if status else ''}: {error}"
        return what, False, " ".join(reason.replace(key, "***").split())[:300]


async def _anthropic(key: str, base_url: str | None, model: str) -> str:
    from anthropic import AsyncAnthropic

    keywords: dict[str, Any] = {"base_url": base_url} if base_url else {}
    async with AsyncAnthropic(api_key=key, max_retries=0, **keywords) as client:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            found = await client.models.retrieve(model)
    return f"{found.display_name or found.id} answers"


async def _voyage(key: str, base_url: str | None, model: str) -> str:
    import voyageai

    client = voyageai.AsyncClient(
        api_key=key, max_retries=0, timeout=ANSWER_WITHIN_S, base_url=base_url
    )
    async with asyncio.timeout(ANSWER_WITHIN_S):
        found = await client.embed(["ok"], model=model, input_type="document")
    return f"answers with {len(found.embeddings[0])} dimensions"
