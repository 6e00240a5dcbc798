"""How many tokens a text takes, as likely above as below: for estimates of cost.

`streams.codec.records.estimate_tokens` is on the high side, since a microbatch must not exceed its
limit; money that is estimated so would be a third too much.
"""

from __future__ import annotations

from typing import Final

ASCII_CHARACTERS: Final = 3.5
"""To a token, in a text of ASCII alone: English prose, code, JSON. Older tokenizers take 4."""
MIXED_CHARACTERS: Final = 3.4
"""The same for the ASCII part of any other text, which is seldom English: words of other languages
are cut into more tokens."""
OTHER_BYTES: Final = 3.0
"""Bytes of UTF-8 to a token beyond ASCII: a Chinese character, or one and a half Cyrillic
letters."""


def likely_tokens(text: str) -> float:
    """0 for an empty text."""
    if text.isascii():
        return len(text) / ASCII_CHARACTERS
    size = len(text.encode("utf-8", "surrogatepass"))
    plain = len(text.encode("ascii", "ignore"))
    return plain / MIXED_CHARACTERS + (size - plain) / OTHER_BYTES
