"""Results as tasks write them, with the project's own encoder, as records of a sink."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from streams.codec.results import Encoder, Mode
from streams.jobs.diff.comparison import Comparison
from streams.jobs.diff.item_places import Matching, Numbers
from streams.jobs.diff.join import LIMIT_BYTES, SIDES, Join, Lane
from streams.jobs.diff.sorting import AtOnce, Chosen, Sorting
from streams.jobs.diff.survey import ANYTHING, Selection, Survey, sides
from streams.model import Headers, Item

CREATE_TIME, APPEND_TIME = 0, 1


class Record(NamedTuple):
    """As a reader of a topic gives it."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def result(
    number: int,
    outcome: Any,
    *,
    id: Any = "",
    partition: int = 0,
    topic: str = "reviews",
    mode: Mode = "envelope",
    task: str = "mood",
    fingerprint: str = "old",
    run: str | None = None,
    at: int | None = None,
    appended_ms: int | None = None,
    cost: int | None = 2_000,
    headers: Headers = (),
    raw: bytes | None = None,
    key: bytes | None = None,
    now_ms: int = 1_700_000_005_000,
) -> Record:
    """The result of the item at offset `number` of `partition`. `id`: None for none, "" for one of
    its number. `run`: of the replay that wrote it. `at`: its offset in the sink."""
    name = f"id-{partition}-{number}" if id == "" else id
    raw = b'{"id":"%b","text":"t"}' % str(name).encode() if raw is None else raw
    item = Item({}, "t", name, key, headers, topic, partition, number, 1_700_000_000_000, raw)
    slot = SimpleNamespace(
        item=item,
        outcome=outcome,
        call=SimpleNamespace(id="mood-7", size=20),
        index=3,
        calls=1,
        input_tokens=60,
        output_tokens=14,
        cost_nano_usd=cost,
    )
    encoder = Encoder(task=task, model="m", fingerprint=fingerprint, mode=mode)
    (record,) = encoder.encode([slot], now_ms).records
    assert record is not None
    key, value, own, stamp = record
    if run is not None:
        own = [*own, *replay_headers(run, fingerprint, partition, number)]
    kind, when = (CREATE_TIME, stamp) if appended_ms is None else (APPEND_TIME, appended_ms)
    return Record(number if at is None else at, when or -1, kind, key, value, own)


def replay_headers(run: str, fingerprint: str, partition: int, offset: int) -> Headers:
    return [
        ("streams-replay-run", run.encode()),
        ("streams-fingerprint", fingerprint.encode()),
        ("streams-source-partition", b"%d" % partition),
        ("streams-source-offset", b"%d" % offset),
    ]


Topic = dict[int, list[Record]]
"""Records by partition of a sink."""


def label(name: str) -> dict[str, str]:
    return {"label": name}


def numbered(records: Sequence[Record]) -> list[Record]:
    """With offsets in their order."""
    return [record._replace(offset=offset) for offset, record in enumerate(records)]


def survey(topic: Topic, numbers: Numbers, name: str = "t", task: str | None = None) -> Survey:
    made = Survey(name, numbers, task)
    for partition, records in topic.items():
        made.add(partition, records)
    return made


def compared(
    a: Topic,
    b: Topic,
    *,
    by: Matching = "position",
    of_a: Selection = ANYTHING,
    of_b: Selection = ANYTHING,
    chunk: int = 3,
    limit: int = LIMIT_BYTES,
    examples: int = 3,
    at_once: bool = False,
) -> Comparison:
    """The comparison of two topics (one, if `a` is `b`) without Kafka. `at_once`: without a survey
    before it."""
    numbers = Numbers(by)
    comparison = Comparison(examples)
    join = Join(to_disk=not at_once, limit=limit)
    if at_once:
        sorting: Sorting = AtOnce({"a": Survey("a", numbers), "b": Survey("b", numbers)})
    else:
        survey_a = survey(a, numbers)
        survey_b = survey_a if a is b else survey(b, numbers)
        versions = sides(survey_a, survey_b, of_a, of_b)
        places = {"a": survey_a.chosen(versions[0]), "b": survey_b.chosen(versions[1])}
        sorting = Chosen(numbers, places)  # type: ignore[arg-type]  # literals
    rest = {
        Lane(side, partition): list(records)  # type: ignore[arg-type]
        for side, topic in (("a", a), ("b", b))
        for partition, records in topic.items()
    }
    while rest:
        lane = min(rest, key=lambda each: (each.waiting, each.done))
        taken, rest[lane] = rest[lane][:chunk], rest[lane][chunk:]
        found, missing = sorting.sort(lane, taken)
        lane.done += len(taken)
        comparison.add(join.add(lane, found))
        comparison.add_missing(lane.side, missing)
        if not rest[lane]:
            del rest[lane]
    if at_once:
        for side in SIDES:
            comparison.add_missing(side, join.rest(side))
    join.close()
    return comparison
