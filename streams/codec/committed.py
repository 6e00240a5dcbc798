"""What a commit says of a lane: the watermark, and in its metadata what is settled beyond it.

Metadata are one line of text that travels with the offset, also inside a transaction:

    streams/1 beyond=BASE64 ledger=4711

`beyond`: ranges of offsets above the watermark that are settled already (order "key" and "none"),
as `streams.core.ranges` writes them, base64url without padding. `ledger`: the offset of the
ledger's partition below which no record is needed any more. An empty part is left out; metadata of
other programs count as empty.

Kafka takes 4,096 bytes (`offset.metadata.max.bytes`), and more than that ends an aiokafka producer
(facts measured on 0.14.0), so a text never passes MAX_METADATA_BYTES.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple, Self

from streams.core.ranges import Ranges, pack, unpack

MAX_METADATA_BYTES = 3500
HEAD = "streams/1"
LEDGER_BYTES = len(f"{HEAD} beyond= ledger={2**63}")
"""The longest metadata without the ranges."""

MAX_BEYOND_BYTES = (MAX_METADATA_BYTES - LEDGER_BYTES) * 3 // 4
"""The limit of the ranges' bytes, before base64; the engine's `Limits.max_beyond_bytes`."""


class Committed(NamedTuple):
    """`offset`: the watermark. `beyond`: settled ranges above it. `ledger_offset`: where to read
    the ledger from; None: nowhere. `is_committed`: False if the group has no commit yet; the offset
    is then where the partition begins."""

    offset: int
    beyond: Ranges = ()
    ledger_offset: int | None = None
    is_committed: bool = True

    @property
    def metadata(self) -> str:
        """Raises ValueError if the ranges do not fit; the engine makes sure that they do."""
        parts = [HEAD]
        if self.beyond:
            packed = pack(self.offset, self.beyond)
            if len(packed) > MAX_BEYOND_BYTES:
                raise ValueError(f"{len(packed)} bytes of ranges, {MAX_BEYOND_BYTES} are allowed")
            parts.append("beyond=" + base64.urlsafe_b64encode(packed).decode().rstrip("="))
        if self.ledger_offset is not None:
            parts.append(f"ledger={self.ledger_offset}")
        return " ".join(parts) if len(parts) > 1 else ""

    @classmethod
    def read(cls, offset: int, metadata: str) -> Self:
        """The values of a commit; metadata that cannot be read, or are longer than ours, count as
        empty."""
        head, *parts = metadata.split(" ")
        if head != HEAD or len(metadata) > MAX_METADATA_BYTES:
            return cls(offset)
        named = dict(part.partition("=")[::2] for part in parts)
        try:
            ledger = int(named["ledger"]) if "ledger" in named else None
            return cls(offset, tuple(unpack(offset, _decoded(named.get("beyond", "")))), ledger)
        except (ValueError, binascii.Error):
            return cls(offset)

    def below(self, end: int) -> Self:
        """The same without ranges at `end` or above: if a log has lost its tail, other records will
        get those offsets."""
        beyond = tuple((first, min(last, end - 1)) for first, last in self.beyond if first < end)
        return self._replace(beyond=beyond)


def _decoded(text: str) -> bytes:
    packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if len(packed) > MAX_BEYOND_BYTES:
        raise ValueError("longer than we write them")
    return packed
