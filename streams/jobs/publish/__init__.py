"""Publishes files to a topic: `streams publish`.

    blocks ─► lines ─► records ─► checks ─► partitions ─► acknowledged
    records.py  lines.py tables.py  checks.py  sending.py     rejects.py takes what is not valid

Start with `job.py`.
"""

from streams.jobs.publish.publication import Progress, Publication, publish

__all__ = ["Progress", "Publication", "publish"]
