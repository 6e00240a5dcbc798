"""Sinks are created as the source is, except where a result would be lost by it."""

from __future__ import annotations

from streams.kafka.topics import TopicFacts, Wanted, _like

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
    made = _like(Wanted("sink", "source", compacts=True), SOURCE)
    assert (made.name, made.num_partitions, made.replication_factor) == ("sink", 6, 3)
    assert made.topic_configs["retention.ms"] == "7200000"
    assert made.topic_configs["cleanup.policy"] == "compact,delete"


def test_the_broker_stamps_the_time_of_writing_whatever_the_source_keeps():
    """An old timestamp would let retention delete a fresh result."""
    for compacts in (True, False):
        made = _like(Wanted("made", "source", compacts=compacts), SOURCE)
        assert made.topic_configs["message.timestamp.type"] == "LogAppendTime"


def test_a_dead_letter_topic_is_not_compacted():
    """It must take records without a key, and keep two of the same."""
    made = _like(Wanted("dead", "source", compacts=False), SOURCE)
    assert "cleanup.policy" not in made.topic_configs
