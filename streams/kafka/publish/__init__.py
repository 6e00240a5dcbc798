"""Publishes files to a topic: `streams publish`.

    blocks ─► lines ─► records ─► checks ─► partitions ─► acknowledged
    records.py  lines.py tables.py  checks.py  sending.py places.py  rejects.py takes the rest

Start with `job.py`.
"""

from streams.kafka.publish.job import Progress, Publication, publish

__all__ = ["Progress", "Publication", "publish"]
