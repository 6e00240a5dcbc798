"""Publishes files to a topic: `streams publish`.

    blocks ─► lines | columns ─► rows ─► checks ─► sending ─► acknowledged
                    └──────────────────────┴─► rejects: what is not valid, with its line and reason

Read `publication` first, which is the whole. `formats` chooses the reader (`lines`, or `columns`
for CSV and Parquet), `rows` is what every reader hands over, `checks` refuses what cannot be sent,
`rejects` says so, `sending` keeps the order per partition, `places` is where a key goes.
"""

from streams.jobs.publish.publication import Progress, Publication, publish

__all__ = ["Progress", "Publication", "publish"]
