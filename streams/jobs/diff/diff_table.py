"""A comparison as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streams.jobs.diff.diff_figures import (
    Facts,
    distance,
    item_name,
    share,
    side_figures,
    version,
    whole,
)
from streams.kafka.record_views import printable

ROWS = 20
"""Of a list; `--json` and the page have all of it."""
TEXT_CHARACTERS = 90


def table(found: Facts) -> str:
    """`found`: see `diff_summary.summary`."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Facts) -> Iterator[str]:
    yield f"a: {_side(found['a'])}"
    yield f"b: {_side(found['b'])}"
    yield ""
    rows = [("", "a", "b", "")]
    rows += [(each.name, each.a, each.b, each.change) for each in side_figures(found)]
    yield from _columns(rows, "<>>>")
    yield ""
    yield (
        f"{whole(found['compared'])} items compared by {found['matched_by']}: "
        f"{share(found['agreement'])} the same, {whole(found['changed'])} changed"
    )
    for name, lines_of in _SECTIONS.items():
        if found[name] is not None:
            yield ""
            yield from lines_of(found[name])
    for side, other in (("a", "b"), ("b", "a")):
        if missing := found["missing_examples"][f"in_{side}"]:
            yield ""
            yield f"{whole(found[f'missing_in_{side}'])} items of {other} are missing in {side}"
            yield from (f"    {_item(each)}" for each in missing)


def _side(facts: Facts) -> str:
    versions = facts["versions"]
    more = f" and {len(versions) - 3} more" if len(versions) > 3 else ""
    return f"{facts['topic']} ({'; '.join(map(version, versions[:3])) or 'no results'}{more})"


def _labels(facts: Facts) -> Iterator[str]:
    kappa = "" if facts["kappa"] is None else f" (kappa {facts['kappa']:.3f})"
    yield f"labels: {share(facts['agreement'])} of {whole(facts['compared'])} agree{kappa}"
    rows = [("", "label", "in a", "in b")]
    rows += [
        ("", _cell(each["label"]), whole(each["a"]), whole(each["b"]))
        for each in facts["counts"][:ROWS]
    ]
    yield from _columns(rows, "<<>>")
    for each in facts["flips"][:ROWS]:
        count, part = whole(each["count"]), share(each["share"])
        yield f"  {_cell(each['a'])} → {_cell(each['b'])}: {count} ({part})"
        yield from (f"    {_item(example)}" for example in each["examples"])
    yield from _rest(facts["flips"])


def _fields(facts: Facts) -> Iterator[str]:
    yield f"fields: {share(facts['agreement'])} of {whole(facts['compared'])} objects are the same"
    changed = [each for each in facts["fields"] if each["changed"]]
    for each in changed[:ROWS]:
        count, of = whole(each["changed"]), whole(each["compared"])
        yield f"  {_cell(each['field'])}: {count} of {of} changed ({share(each['rate'])})"
        for example in each["examples"]:
            yield f"    {_both(example)}  {_item(example)}"
    yield from _rest(changed)
    same = len(facts["fields"]) - len(changed)
    if same:
        yield f"  {same} other field{'s' if same > 1 else ''} never changed"


def _distances(facts: Facts) -> Iterator[str]:
    yield (
        f"embeddings: cosine distance p50 {distance(facts['distance_p50'])},"
        f" p95 {distance(facts['distance_p95'])}, max {distance(facts['distance_max'])};"
        f" {whole(facts['identical'])} of {whole(facts['compared'])} are identical"
    )
    if facts["dimensions_differ"]:
        yield f"  {whole(facts['dimensions_differ'])} have different dimensions, and no distance"
    for example in facts["examples"]:
        yield f"    {distance(example['distance'])}  {_item(example)}"


def _texts(facts: Facts) -> Iterator[str]:
    yield from _changes("texts", facts)


def _values(facts: Facts) -> Iterator[str]:
    yield from _changes("values", facts)


def _changes(what: str, facts: Facts) -> Iterator[str]:
    yield f"{what}: {share(facts['agreement'])} of {whole(facts['compared'])} are the same"
    for example in facts["examples"]:
        yield f"    {_item(example)}"
        yield f"      a: {_cell(example['a'])}"
        yield f"      b: {_cell(example['b'])}"


_SECTIONS = {
    "labels": _labels,
    "fields": _fields,
    "embeddings": _distances,
    "texts": _texts,
    "values": _values,
}


def _both(example: Facts) -> str:
    return f"{_cell(example['a'], 30)} → {_cell(example['b'], 30)}"


def _item(facts: Facts) -> str:
    text = "" if facts["text"] is None else f"  {_cell(facts['text'])}"
    return f"{item_name(facts)}{text}"


def _cell(text: str, characters: int = TEXT_CHARACTERS) -> str:
    """On one line, cut, and unable to control the terminal."""
    line = " ".join(text.split())
    return printable(line if len(line) <= characters else line[: characters - 1] + "…")


def _rest(rows: Sequence[Facts]) -> Iterator[str]:
    if len(rows) > ROWS:
        yield f"  and {len(rows) - ROWS} more: --json and --html have all"


def _columns(rows: Sequence[Sequence[str]], align: str) -> Iterator[str]:
    """`align`: `<` or `>` of each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:{way}{width}}" for cell, way, width in zip(row, align, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()
