"""Sinks are created as the source is, except where a result would be lost by it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    NodeNotReadyError,
    NotControllerError,
)

from streams.errors import BrokerError
from streams.kafka import topics
from streams.kafka.topics import (
    TopicFacts,
    TopicSpec,
    _create,
    _like,
    describe,
    grow,
    prepare,
    prepare_with_retries,
)

SOURCE = TopicFacts(
    partitions=6,
    replicas=3,
    settings={
        "cleanup.policy": "compact,delete",
        "retention.ms": "7200000",
        "message.timestamp.type": "CreateTime",
    },
    max_message_bytes=1_048_588,
)


def test_a_sink_has_the_sources_partitions_replicas_and_settings():
    made = _like(TopicSpec("sink", "source", compacts=True), SOURCE)
    assert (made.name, made.num_partitions, made.replication_factor) == ("sink", 6, 3)
    assert made.topic_configs["retention.ms"] == "7200000"
    assert made.topic_configs["cleanup.policy"] == "compact,delete"


def test_the_broker_stamps_the_time_of_writing_whatever_the_source_keeps():
    """An old timestamp would let retention delete a fresh result."""
    for compacts in (True, False):
        made = _like(TopicSpec("made", "source", compacts=compacts), SOURCE)
        assert made.topic_configs["message.timestamp.type"] == "LogAppendTime"


class Admin:
    """A broker with these topics of one partition; their settings, each with whether it is the
    topic's own. `codes`: the error codes of their descriptions."""

    def __init__(
        self, topics: dict[str, dict[str, tuple[str, bool]]], codes: dict[str, int] | None = None
    ) -> None:
        self._topics = topics
        self.codes = codes or {}

    async def describe_topics(self) -> list[dict[str, Any]]:
        partitions = [{"replicas": [0]}]
        return [{"topic": name, "error_code": 0, "partitions": partitions} for name in self._topics]

    async def describe_configs(self, resources: Any) -> list[Any]:
        found = [
            {
                "resource_name": resource.name,
                "error_code": self.codes.get(resource.name, 0),
                "config_entries": [
                    {"config_names": name, "config_value": value, "config_source": 1 if own else 5}
                    for name, (value, own) in self._topics[resource.name].items()
                ],
            }
            for resource in resources
        ]
        return [SimpleNamespace(to_object=lambda: {"resources": found})]


class Away(Admin):
    """A client that meets these errors first."""

    def __init__(self, *errors: KafkaError) -> None:
        super().__init__({"source": {}, "sink": {}})
        self.errors = list(errors)

    async def describe_topics(self) -> list[dict[str, Any]]:
        if self.errors:
            raise self.errors.pop(0)
        return await super().describe_topics()


async def test_a_node_that_is_away_is_no_reason_not_to_start_while_others_can_tell():
    """aiokafka asks any of them, also the one that has just died."""
    admin: Any = Away(NodeNotReadyError(), NodeNotReadyError())
    facts, _ = await prepare_with_retries(
        admin, ["source"], [TopicSpec("sink", "source", compacts=True)]
    )
    assert set(facts) == {"source", "sink"}


async def test_a_cluster_that_has_no_controller_yet_is_asked_again():
    """aiokafka looks for its number all the same: a broker that has just started (chaos, 6034)."""
    admin = AIOKafkaAdminClient()
    asked: list[None] = []

    async def nobody_knows() -> bool:
        asked.append(None)
        return True

    admin._client.force_metadata_update = nobody_knows
    with pytest.raises(NotControllerError) as raised:
        await grow(admin, {"source": 2})
    assert raised.value.retriable
    with pytest.raises(NotControllerError):
        await _create(admin, [NewTopic("sink", 1, 1)])
    assert len(asked) == 2


async def test_what_asking_again_does_not_help_is_told_at_once_and_the_rest_in_the_end(monkeypatch):
    admin: Any = Away(ClusterAuthorizationFailedError())
    with pytest.raises(ClusterAuthorizationFailedError):
        await prepare_with_retries(admin, ["source"], [])
    monkeypatch.setattr(topics, "PREPARE_WITHIN_S", -1.0)
    admin = Away(NodeNotReadyError())
    with pytest.raises(NodeNotReadyError):
        await prepare_with_retries(admin, ["source"], [])


async def described(**settings: tuple[str, bool]) -> TopicFacts:
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return (await describe(Admin({"a": named}), ["a"]))["a"]  # type: ignore[arg-type]


def test_a_dead_letter_topic_is_not_compacted_whatever_the_source_and_the_broker_do():
    """It must take records without a key, and keep two of the same."""
    made = _like(TopicSpec("dead", "source", compacts=False), SOURCE)
    assert made.topic_configs["cleanup.policy"] == "delete"


async def test_a_dead_letter_topic_that_is_compacted_is_refused_at_the_start():
    """By its own setting or by the broker's. A sink may be."""
    compact = {"cleanup.policy": ("compact,delete", False)}
    admin: Any = Admin({"source": {}, "sink": compact, "dead": compact})
    sink, dead = (
        TopicSpec("sink", "source", compacts=True),
        TopicSpec("dead", "source", compacts=False),
    )
    facts, created = await prepare(admin, ["source"], [sink])
    assert (facts["sink"].compacted, created) == (True, [])
    with pytest.raises(BrokerError, match=r"the topic dead is compacted.* cleanup\.policy"):
        await prepare(admin, ["source"], [sink, dead])


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("policy", "compacted"),
    [("compact", True), ("delete", False), ("delete,compact", True)],
)
async def test_a_topic_is_compacted_by_its_own_setting_or_by_the_brokers(own, policy, compacted):
    facts = await described(cleanup_policy=(policy, own))
    assert facts.compacted is compacted
    assert facts.settings == ({"cleanup.policy": policy} if own else {})


async def test_a_batch_may_take_what_a_segment_holds():
    facts = await described(max_message_bytes=("5000000", True), segment_bytes=("1048576", True))
    assert facts.max_message_bytes == 1_048_576
    assert (await described()).max_message_bytes == 1_048_588


TOPIC_REFUSED, UNKNOWN = 29, -1


async def test_settings_that_may_not_be_seen_are_told_from_those_that_are_not_made():
    admin: Any = Admin({"seen": {}, "hidden": {}}, {"hidden": TOPIC_REFUSED})
    facts = await describe(admin, ["seen", "hidden"])
    assert not facts["seen"].hidden
    assert facts["hidden"].hidden
    admin = Admin({"source": {}}, {"source": UNKNOWN})
    with pytest.raises(KafkaError):
        await describe(admin, ["source"])


async def test_a_sink_is_not_created_like_a_source_whose_settings_may_not_be_seen():
    """It would have the broker's retention, for good."""
    admin: Any = Admin({"source": {}}, {"source": TOPIC_REFUSED})
    with pytest.raises(BrokerError, match="grant it DescribeConfigs on topic source"):
        await prepare(admin, ["source"], [TopicSpec("sink", "source", compacts=True)])


async def test_topics_that_exist_are_used_though_their_settings_may_not_be_seen():
    admin: Any = Admin({"source": {}, "sink": {}}, {"source": TOPIC_REFUSED, "sink": TOPIC_REFUSED})
    facts, created = await prepare(admin, ["source"], [TopicSpec("sink", "source", compacts=True)])
    assert facts["sink"].hidden
    assert created == []
