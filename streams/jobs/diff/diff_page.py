"""A comparison as one HTML page: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template
from xml.etree.ElementTree import Element, tostring

from streams.jobs.diff.diff_charts import bar, element, histogram, label_bars, matrix
from streams.jobs.diff.diff_figures import (
    UNKNOWN,
    Facts,
    change,
    distance,
    dollars,
    item_name,
    milliseconds,
    place,
    share,
    side_figures,
    version,
    whole,
)

ROWS = 200
"""Of a list of flips or fields."""


def page(found: Facts) -> str:
    """`found`: see `diff_summary.summary`."""
    template = Template(files("streams.jobs.diff").joinpath("diff_page.html").read_text("utf-8"))
    title = f"{found['a']['topic']} against {found['b']['topic']}"
    main = "\n".join(tostring(each, "unicode", method="html") for each in _sections(found))
    return template.substitute(title=escape(title), main=main)


def _sections(found: Facts) -> Iterator[Element]:
    yield _head(found)
    yield element("section", "", element("h2", "", "Both sides"), _sides(found))
    for name, section in _KINDS.items():
        if found[name] is not None:
            yield section(found[name])
    for side, other in (("a", "b"), ("b", "a")):
        if missing := found["missing_examples"][f"in_{side}"]:
            count = whole(found[f"missing_in_{side}"])
            heading = element("h2", "", f"Missing in {side}")
            text = element("p", "soft", f"{count} items of {other} have no result here.")
            yield element("section", "", heading, text, _examples(missing, results=False))


def _head(found: Facts) -> Element:
    a, b = found["a"], found["b"]
    missing = found["missing_in_a"] + found["missing_in_b"]
    made = element("section", "")
    for side in ("a", "b"):
        versions = "; ".join(map(version, found[side]["versions"][:3])) or "no results"
        line = element("p", "name", element("b", f"side {side}", side), found[side]["topic"])
        line.append(element("span", "soft", versions))
        made.append(line)
    tiles = [
        _tile("the same", share(found["agreement"]), f"{whole(found['compared'])} compared"),
        _tile("changed", whole(found["changed"]), f"matched by {found['matched_by']}"),
        _tile("missing", whole(missing), "on either side"),
        _tile("cost", dollars(b["cost_usd"]), _from(dollars, a, b, "cost_usd")),
        _tile(
            "latency p50",
            milliseconds(b["latency_ms_p50"]),
            _from(milliseconds, a, b, "latency_ms_p50"),
        ),
    ]
    made.append(element("dl", "tiles", *tiles))
    return made


def _from(written: object, a: Facts, b: Facts, key: str) -> str:
    assert callable(written)
    if a[key] is None:
        return ""
    percent = change(a[key], b[key])
    return f"a: {written(a[key])}" + (f", {percent}" if percent else "")


def _tile(name: str, value: str, more: str) -> Element:
    figure = element("dd", "", value, element("small", "", more))
    return element("div", "tile", element("dt", "", name), figure)


def _sides(found: Facts) -> Element:
    rows = [
        [each.name, each.a, each.b, each.change]
        for each in side_figures(found)
        if (each.a, each.b) != (UNKNOWN, UNKNOWN)
    ]
    return _table(["", "a", "b", "a to b"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[Element | str]]) -> Element:
    line = element("tr", "", *(element("th", "", name) for name in head))
    body = [element("tr", "", *(element("td", "", cell) for cell in row)) for row in rows]
    table = element("table", "", element("thead", "", line), element("tbody", "", *body))
    return element("div", "scroll", table)


def _labels(facts: Facts) -> Element:
    kappa = "" if facts["kappa"] is None else f", Cohen's kappa {facts['kappa']:.3f}"
    text = f"{share(facts['agreement'])} of {whole(facts['compared'])} agree{kappa}."
    made = element("section", "", element("h2", "", "Labels"), element("p", "soft", text))
    made.append(element("div", "scroll", label_bars(facts["counts"][:ROWS])))
    if (both := matrix(facts["counts"], facts["flips"])) is not None:
        made.append(element("h3", "", "Which label became which"))
        made.append(element("div", "scroll", both))
    if facts["flips"]:
        made.append(element("h3", "", "Flips"))
        limit = facts["flips"][0]["count"]
        for each in facts["flips"][:ROWS]:
            name = element("span", "what", each["a"], element("i", "to", "→"), each["b"])
            figure = f"{whole(each['count'])} ({share(each['share'])})"
            made.append(_foldable(name, bar(each["count"], limit), figure, each["examples"], False))
        made.extend(_rest(facts["flips"]))
    return made


def _fields(facts: Facts) -> Element:
    text = f"{share(facts['agreement'])} of {whole(facts['compared'])} objects are the same."
    made = element("section", "", element("h2", "", "Fields"), element("p", "soft", text))
    for each in facts["fields"][:ROWS]:
        name = element("span", "what", element("code", "", each["field"]))
        figure = f"{share(each['rate'])} of {whole(each['compared'])}"
        made.append(_foldable(name, bar(each["rate"] or 0, 1), figure, each["examples"], True))
    made.extend(_rest(facts["fields"]))
    return made


def _distances(facts: Facts) -> Element:
    made = element("section", "", element("h2", "", "Embeddings"))
    tiles = [
        _tile("cosine distance p50", distance(facts["distance_p50"]), ""),
        _tile("p95", distance(facts["distance_p95"]), ""),
        _tile("max", distance(facts["distance_max"]), ""),
        _tile("identical", whole(facts["identical"]), f"of {whole(facts['compared'])}"),
    ]
    if facts["dimensions_differ"]:
        tiles.append(_tile("other dimension", whole(facts["dimensions_differ"]), "no distance"))
    made.append(element("dl", "tiles", *tiles))
    if facts["histogram"]:
        made.append(histogram(facts))
    if facts["examples"]:
        made.append(element("h3", "", "The most distant"))
        rows = [
            [distance(each["distance"]), item_name(each), each["text"] or place(each)]
            for each in facts["examples"]
        ]
        made.append(_table(["distance", "item", "text"], rows))
        made[-1].set("class", "scroll examples")
    return made


def _texts(facts: Facts) -> Element:
    return _changes("Texts", facts)


def _values(facts: Facts) -> Element:
    return _changes("Values", facts)


def _changes(heading: str, facts: Facts) -> Element:
    text = f"{share(facts['agreement'])} of {whole(facts['compared'])} are the same."
    made = element("section", "", element("h2", "", heading), element("p", "soft", text))
    made.append(element("div", "whole", bar(facts["equal"], facts["compared"])))
    if facts["examples"]:
        made.append(_examples(facts["examples"]))
    return made


_KINDS = {
    "labels": _labels,
    "fields": _fields,
    "embeddings": _distances,
    "texts": _texts,
    "values": _values,
}


def _foldable(
    name: Element, chart: Element, figure: str, examples: Sequence[Facts], results: bool
) -> Element:
    """A line with a bar; it opens to its examples."""
    line = [name, chart, element("span", "figure", figure)]
    if not examples:
        return element("div", "line", *line)
    summary = element("summary", "line", *line)
    return element("details", "", summary, _examples(examples, results=results))


def _examples(examples: Sequence[Facts], *, results: bool = True) -> Element:
    """`results`: also what each side says."""
    made = element("ul", "examples")
    for each in examples:
        where = place(each)
        line = element("li", "", element("b", "", item_name(each)))
        if where and where != item_name(each):
            line.append(element("span", "soft", where))
        if each["text"] is not None:
            line.append(element("p", "", each["text"]))
        if results:
            for side in ("a", "b"):
                line.append(element("p", "result", element("b", f"side {side}", side), each[side]))
        made.append(line)
    return made


def _rest(rows: Sequence[Facts]) -> Iterator[Element]:
    if len(rows) > ROWS:
        yield element("p", "soft", f"and {len(rows) - ROWS} more: --json has all")
