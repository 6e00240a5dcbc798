"""Topics of a worker: the sources must exist; sinks, dead letters and ledgers are created like the
source.

"Like the source" means: the same number of partitions and replicas, and the source's own settings,
except that the broker stamps the time of writing (`message.timestamp.type=LogAppendTime`): a result
keeps its source's timestamp in the envelope, and the sink's retention must not delete a result for
an old one. A dead letter topic is never compacted, even if that is the broker's default: it must
take records without a key, and keep two with the same key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    NoError,
    NotControllerError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from streams.errors import BrokerError
from streams.kafka.nodes import entry_of
from streams.kafka.remedies import hidden_settings, missing_permission, or_hidden

TOPIC_LEVEL = 1
"""`config_source` of a setting made on the topic itself (DescribeConfigs, Kafka protocol)."""

HIDING = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)
"""Errors of DescribeConfigs for who may see the topic and not its settings."""

CREATE_WITHIN_S = 15.0
PREPARE_WITHIN_S = 5.0
DEFAULT_MAX_MESSAGE_BYTES = 1_048_588


class TopicFacts(NamedTuple):
    """`partitions` and `replicas`: counts. `settings`: those made on the topic itself.
    `max_message_bytes`: what a record batch may take. `compacted`: it takes no record without a
    key. `hidden`: we may not see its settings; those here are the defaults."""

    partitions: int
    replicas: int
    settings: Mapping[str, str]
    max_message_bytes: int
    compacted: bool = False
    hidden: bool = False


class TopicSpec(NamedTuple):
    """A topic to create if it is missing, like `source`; `compacts`: whether it may be compacted;
    `settings`: its own, which override the source's; `partitions`: None: as many as the source."""

    name: str
    source: str
    compacts: bool
    settings: Sequence[tuple[str, str]] = ()
    partitions: int | None = None


async def describe(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, TopicFacts]:
    """Facts of the existing topics among these. Raises KafkaError."""
    specs = set(names)
    # Ask for all topics: a request for one name may create it, if the broker is set so.
    metadata = await admin.describe_topics()
    found = {}
    for topic in metadata:
        if topic["topic"] not in specs:
            continue
        if topic["error_code"] == 0 and topic["partitions"]:
            found[topic["topic"]] = topic["partitions"]
        elif topic["error_code"] not in (0, 3):
            raise for_code(topic["error_code"])(topic["topic"])
    entries = await _entries(admin, found)
    return {
        name: _facts(len(partitions), len(partitions[0]["replicas"]), entries[name])
        for name, partitions in found.items()
    }


async def _entries(
    admin: AIOKafkaAdminClient, names: Iterable[str]
) -> dict[str, Sequence[Mapping[str, Any]] | None]:
    """Every setting of each topic, as DescribeConfigs gives it; None: we may not see them. Raises
    KafkaError."""
    found: dict[str, Sequence[Mapping[str, Any]] | None] = dict.fromkeys(names, ())
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
    for answer in await admin.describe_configs(resources) if resources else []:
        for resource in answer.to_object()["resources"]:
            name, error = resource["resource_name"], for_code(resource["error_code"])
            if error not in (NoError, *HIDING):
                raise error(name)
            found[name] = resource["config_entries"] if error is NoError else None
    return found


def _facts(
    partitions: int, replicas: int, entries: Iterable[Mapping[str, Any]] | None
) -> TopicFacts:
    own: dict[str, str] = {}
    limits, policy = [DEFAULT_MAX_MESSAGE_BYTES], ""
    for entry in entries or ():
        name, value = entry["config_names"], entry["config_value"]
        if name == "max.message.bytes" and value:
            limits[0] = int(value)
        if name == "segment.bytes" and value:  # a batch must also fit into a segment
            limits.append(int(value))
        if name == "cleanup.policy" and value:
            policy = value
        if _is_set_on_topic(entry) and value is not None:
            own[name] = value
    compacted = "compact" in policy.split(",")
    return TopicFacts(partitions, replicas, own, min(limits), compacted, hidden=entries is None)


def _is_set_on_topic(entry: Mapping[str, Any]) -> bool:
    if "config_source" in entry:
        return bool(entry["config_source"] == TOPIC_LEVEL)
    return not entry.get("is_default", True)


async def prepare_with_retries(
    admin: AIOKafkaAdminClient, sources: Sequence[str], specs: Sequence[TopicSpec]
) -> tuple[dict[str, TopicFacts], list[str]]:
    """`prepare`, repeated for `PREPARE_WITHIN_S` where that may help: aiokafka's admin client asks
    any node, even one that has just died while others could answer."""
    clock = asyncio.get_running_loop().time
    ends = clock() + PREPARE_WITHIN_S
    while True:
        try:
            return await prepare(admin, sources, specs)
        except KafkaError as error:
            if not error.retriable or clock() > ends:
                raise
            await asyncio.sleep(0.1)


async def prepare(
    admin: AIOKafkaAdminClient, sources: Iterable[str], specs: Iterable[TopicSpec]
) -> tuple[dict[str, TopicFacts], list[str]]:
    """Check the sources and create missing topics; returns every topic's facts and the names
    created. Raises BrokerError for a missing source, a refused creation, a source whose settings
    would have to be copied and may not be seen, or a compacted topic that must not be compacted."""
    sources, specs = list(sources), list(specs)
    facts = await describe(admin, [*sources, *(topic.name for topic in specs)])
    if missing := [name for name in sources if name not in facts]:
        names = ", ".join(missing)
        hidden = or_hidden(entry_of(admin))
        raise BrokerError(
            f"the source topic {names} does not exist: create it, or publish to it{hidden}"
        )
    absent = [topic for topic in specs if topic.name not in facts]
    for topic in absent:
        if facts[topic.source].hidden:
            raise BrokerError(
                f"the topic {topic.name} is missing, and cannot be created with the settings of "
                f"{topic.source}: {hidden_settings([topic.source], entry_of(admin))}; or create "
                f"{topic.name} yourself"
            )
    if absent:
        await _create(admin, [_like(topic, facts[topic.source]) for topic in absent])
        facts |= await _wait_for(admin, [topic.name for topic in absent])
    if compacted := [t.name for t in specs if facts[t.name].compacted and not t.compacts]:
        names = ", ".join(compacted)
        raise BrokerError(
            f"the topic {names} is compacted: it refuses records without a key, and forgets what "
            "has the key of a later one. Set its cleanup.policy to delete, or name another topic"
        )
    return facts, [topic.name for topic in absent]


def _like(topic: TopicSpec, source: TopicFacts) -> NewTopic:
    settings = {**source.settings, "message.timestamp.type": "LogAppendTime"}
    if not topic.compacts:
        settings["cleanup.policy"] = "delete"
    settings |= dict(topic.settings)
    partitions = topic.partitions or source.partitions
    return NewTopic(topic.name, partitions, source.replicas, topic_configs=settings)


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    answer = await _of_controller(admin.create_topics(topics))
    for entry in answer.topic_errors:
        name, code, *rest = entry
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            reason = missing_permission(error(name), entry_of(admin))
            reason = reason or (rest[0] if rest and rest[0] else error.__name__)
            raise BrokerError(f"the topic {name} could not be created: {reason}")


async def _of_controller(request: Awaitable[Any]) -> Any:
    """The answer of a request to the controller. While no node knows the controller, for example
    just after a start, aiokafka raises an AttributeError."""
    try:
        return await request
    except AttributeError as error:
        raise NotControllerError("no node says which one is the controller") from error


async def grow(admin: AIOKafkaAdminClient, counts: Mapping[str, int]) -> None:
    """Increase topics to these numbers of partitions. Raises KafkaError."""
    specs = {name: NewPartitions(total_count=count) for name, count in counts.items()}
    answer = await _of_controller(admin.create_partitions(specs))
    for name, code, *_ in answer.topic_errors:
        if code:
            raise for_code(code)(name)


async def _wait_for(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, TopicFacts]:
    """A created topic takes a moment to reach every broker's metadata."""
    deadline = asyncio.get_running_loop().time() + CREATE_WITHIN_S
    while True:
        try:
            facts = await describe(admin, names)
        except KafkaError:
            facts = {}
        if len(facts) == len(names):
            return facts
        if asyncio.get_running_loop().time() > deadline:
            missing = ", ".join(name for name in names if name not in facts)
            raise BrokerError(f"the topic {missing} was created but does not appear")
        await asyncio.sleep(0.1)
