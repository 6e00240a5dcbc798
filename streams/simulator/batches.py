"""Message Batches: placeholder."""

from __future__ import annotations


class Batches:
    """The batches there are."""
