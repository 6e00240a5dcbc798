"""What brokers can be asked for, and the small things that all kinds share."""

from __future__ import annotations

from pathlib import Path

KAFKA = frozenset(
    {
        "idempotence",  # an idempotent producer
        "transactions",  # commit, abort, offsets in a transaction, fencing
        "end_offsets",  # the end of a partition is told right
        "create_partitions",  # a topic can grow
        "metadata",  # the text beside a committed offset is kept
        "time_lookup",  # offsets by the records' time
        "nodes",  # the broker can be killed and started again with its data
        "freeze",  # the broker can be frozen and thawed
        "compaction",  # the configuration of a topic is kept and can be read
        "out_of_range",  # a position outside the log is answered as an error
        "version_4",  # Apache Kafka itself, not something that speaks like it
    }
)
"""What Apache Kafka can do and another broker may not: names for `@pytest.mark.needs`."""


class UnavailableError(RuntimeError):
    """This kind of broker cannot run here; the message says why."""


def tail(path: Path, lines: int, *, start: int = 0) -> str:
    """The last lines of a file, of what stands after byte `start`."""
    try:
        with path.open("rb") as file:
            file.seek(max(start, path.stat().st_size - 200 * 1024))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
