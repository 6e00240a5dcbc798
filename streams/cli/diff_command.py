"""`streams diff`: two enrichments of the same items, side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import Broker, Config, Debug, Json
from streams.cli.printing import put_json, quiet_clients, tell
from streams.errors import UsageError

if TYPE_CHECKING:
    from streams.jobs.diff import Diff

Run = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Only results of this replay; live: of none."),
]
Fingerprint = Annotated[
    str | None, typer.Option(metavar="F", help="Only results whose fingerprint begins so.")
]


def diff(
    a: Annotated[str, typer.Argument(metavar="TOPIC_A", help="The old results.")],
    b: Annotated[
        str, typer.Argument(metavar="TOPIC_B", help="The new ones; the same topic again works.")
    ],
    examples: Annotated[
        int, typer.Option(min=0, max=100, metavar="N", help="Of each difference.")
    ] = 3,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page with charts.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="position|id|key",
            help="What makes two results those of one item; default: the first that all have.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where a topic has results of several.")
    ] = None,
    a_run: Run = None,
    b_run: Run = None,
    a_fingerprint: Fingerprint = None,
    b_fingerprint: Fingerprint = None,
    config: Config = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Compare old and new results of the same items: agreement, flips, distances, cost, latency.

    Of several results of an item in one topic the last counts. One topic alone: its oldest
    fingerprint is compared with its newest.
    """
    from streams.jobs.diff import Diff, Selection
    from streams.settings import load_settings

    _check(a, b, by, html)
    of_a, of_b = Selection(a_run, a_fingerprint), Selection(b_run, b_fingerprint)
    job = Diff(a, b, of_a, of_b, task, by, examples)  # type: ignore[arg-type]  # checked
    kafka = load_settings(config, os.environ, broker=broker, need_tasks=False).kafka
    quiet_clients(debug=debug)
    found = _compared(kafka, job)
    if html is not None:
        _write(html, found)
    if as_json:
        put_json(found)
    else:
        from streams.jobs.diff import table
        from streams.standard_streams import put

        put(table(found).encode())
    return 0


def _check(a: str, b: str, by: str | None, html: Path | None) -> None:
    from streams.settings.values import topic as legal

    for what, name in (("TOPIC_A", a), ("TOPIC_B", b)):
        try:
            legal(name)
        except ValueError as error:
            raise UsageError(f"{what} {error}") from None
    if by not in (None, "position", "id", "key"):
        raise UsageError(f"--by must be position, id or key, not {by!r}")
    if html is not None and not html.parent.is_dir():
        raise UsageError(f"--html {html}: there is no directory {html.parent}")


def _compared(kafka: Any, job: Diff) -> dict[str, Any]:
    import asyncio

    from streams.jobs.diff import DiffProgress, compare, summary
    from streams.running.bar import Bar

    with Bar() as bar:
        progress = DiffProgress(tell=bar.tell, changed=lambda now: bar.show(now.state))
        return summary(asyncio.run(compare(kafka, job, progress)))


def _write(path: Path, found: dict[str, Any]) -> None:
    from streams.jobs.diff import page

    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html {path}: {error.strerror}") from None
    tell(f"the page is {path}")
