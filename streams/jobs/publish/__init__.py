"""Publishes files to a topic: `streams publish`.

    blocks ─► lines | columns | parquet ─► rows ─► checks ─► sending ─► acknowledged
                    └──────────────────────┴─► rejects: what is not valid, with its line and reason

Read `publication` first: it is the whole process. `formats` chooses the reader (`lines`, `columns`
for CSV, or `parquet` with its `cells`), `rows` is what every reader returns, `checks` finds records
that cannot be sent, `rejects` reports them, `sending` keeps the order per partition, `places` has
each key's partition.
"""

from streams.jobs.publish.publication import Progress, Publication, publish

__all__ = ["Progress", "Publication", "publish"]
