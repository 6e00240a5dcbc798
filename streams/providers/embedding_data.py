"""Reads the `data` of an embeddings reply. Pure."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any


def vectors_of(data: Any) -> list[Any] | None:
    """The vectors in the order of the texts, by the `index` that each carries; without any index
    in the order they came. Base64 becomes bytes; what is no base64 stays as it is, to be refused.
    None: the reply has no list of vectors, or its indices do not number them."""
    if not isinstance(data, list) or not all(isinstance(entry, Mapping) for entry in data):
        return None
    places = [entry.get("index") for entry in data]
    vectors = [_bytes(entry.get("embedding")) for entry in data]
    if places == list(range(len(data))) or not any(place is not None for place in places):
        return vectors
    ordered: list[Any] = [None] * len(data)
    for place, vector in zip(places, vectors, strict=True):
        if type(place) is not int or not 0 <= place < len(data) or ordered[place] is not None:
            return None
        ordered[place] = vector if vector is not None else b""
    return ordered


def _bytes(embedding: Any) -> Any:
    if not isinstance(embedding, str):
        return embedding
    try:
        return binascii.a2b_base64(embedding, strict_mode=True)
    except (binascii.Error, ValueError):
        return b""
