"""Publishes files to a topic: `streams publish`.

    file ─► records (`streams.jobs.files`) ─► checks ─► sending ─► acknowledged
                     └───────────────────────────┴─► rejects, with line and reason

Read `publication` first: it is the whole process. `checks` finds records that cannot be sent,
`sending` keeps the order per partition, `places` has each key's partition.
"""

from streams.jobs.publish.publication import Progress, Publication, publish

__all__ = ["Progress", "Publication", "publish"]
