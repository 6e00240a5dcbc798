"""Charts of a comparison as HTML and SVG elements, without a script: a page that a mail program or
a build server shows with scripts switched off has them, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from streams.jobs.diff.diff_figures import Facts, distance, share, whole

WIDTH, HEIGHT, BASE = 720, 180, 150
"""Of a histogram in units of its own, and where its axis is."""
MATRIX_LABELS = 14


def element(tag: str, css: str = "", *children: Element | str, **attributes: str) -> Element:
    """`css`: its class. Texts are escaped when the page is written."""
    made = Element(tag, {name.replace("_", "-"): value for name, value in attributes.items()})
    if css:
        made.set("class", css)
    for child in children:
        if isinstance(child, str):
            _append_text(made, child)
        else:
            made.append(child)
    return made


def _append_text(made: Element, text: str) -> None:
    if len(made):
        made[-1].tail = (made[-1].tail or "") + text
    else:
        made.text = (made.text or "") + text


def bar(value: float, limit: float, css: str = "") -> Element:
    """A bar as long as `value` is of `limit`."""
    made = element("span", f"bar {css}".strip())
    if value:
        made.append(element("i", "", style=f"width:{100 * value / limit:.2f}%"))
    return made


def label_bars(counts: Sequence[Facts]) -> Element:
    """How often each side gives each label."""
    limit = max((max(each["a"], each["b"]) for each in counts), default=0)
    rows = []
    for each in counts:
        for side, name in (("a", each["label"]), ("b", "")):
            cells = [
                element("th", "text", name, scope="row") if side == "a" else element("td", ""),
                element("td", "side", side),
                element("td", "chart", bar(each[side], limit, side)),
                element("td", "", whole(each[side])),
            ]
            rows.append(element("tr", side, *cells))
    return element("table", "bars", element("tbody", "", *rows))


def matrix(counts: Sequence[Facts], flips: Sequence[Facts]) -> Element | None:
    """Labels of a in rows, of b in columns, and how many items have both; the darker, the more of
    its row. None: too many labels for a table."""
    if len(counts) > MATRIX_LABELS:
        return None
    names = [each["label"] for each in counts]
    cells = {(each["a"], each["b"]): each["count"] for each in flips}
    cells |= {(each["label"], each["label"]): each["same"] for each in counts}
    head = element("tr", "", element("th", "corner", "a ↓  b →"))
    head.extend(element("th", "", name, scope="col") for name in names)
    body = element("tbody", "")
    for each in counts:
        row = SubElement(body, "tr")
        row.append(element("th", "text", each["label"], scope="row"))
        row.extend(_cell(each, name, cells.get((each["label"], name), 0)) for name in names)
    return element("table", "matrix", element("thead", "", head), body)


def _cell(row: Facts, name: str, count: int) -> Element:
    if not count:
        return element("td", "none", "·")
    part = count / max(row["a"], 1)
    same = row["label"] == name
    cell = element("td", "same" if same else "flip", whole(count))
    cell.set("style", f"--part:{8 + 82 * part:.0f}%")
    cell.set("title", f"{row['label']} → {name}: {share(part)} of {row['label']}")
    if part > 0.5:
        cell.set("class", f"{cell.get('class')} strong")
    return cell


def histogram(facts: Facts) -> Element:
    """How many pairs of vectors have which distance, with the percentiles."""
    bins: Sequence[dict[str, Any]] = facts["histogram"]
    end = bins[-1]["to"]
    highest = max(each["count"] for each in bins)
    svg = element("svg", "histogram", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    svg.set("aria-label", f"cosine distances from 0 to {distance(end)}")
    for each in bins:
        left, right = (WIDTH * each[key] / end for key in ("from", "to"))
        tall = (BASE - 24) * each["count"] / highest
        title = element(
            "title",
            "",
            f"{distance(each['from'])} to {distance(each['to'])}: {whole(each['count'])}",
        )
        shape = {"x": left + 0.5, "y": BASE - tall, "width": right - left - 1, "height": tall}
        svg.append(
            element("rect", "", title, **{name: f"{value:.2f}" for name, value in shape.items()})
        )
    svg.append(element("line", "axis", x1="0", x2=str(WIDTH), y1=str(BASE), y2=str(BASE)))
    for part in range(5):
        where = "start" if part == 0 else "end" if part == 4 else "middle"
        tick = element("text", "tick", distance(end * part / 4), x=str(WIDTH * part // 4))
        tick.set("y", str(BASE + 18))
        tick.set("text-anchor", where)
        svg.append(tick)
    for name in ("p50", "p95"):
        _mark(svg, name, facts[f"distance_{name}"], end)
    return svg


def _mark(svg: Element, name: str, value: float, end: float) -> None:
    at = min(WIDTH * value / end, WIDTH - 1)
    row = 10 if name == "p50" else 22
    svg.append(element("line", "mark", x1=f"{at:.2f}", x2=f"{at:.2f}", y1=str(row), y2=str(BASE)))
    right = at > WIDTH * 0.85
    text = element("text", "mark", name, x=f"{at - 4 if right else at + 4:.2f}", y=str(row + 2))
    text.set("text-anchor", "end" if right else "start")
    svg.append(text)
