"""Which script a text is in: tokenizers take more, or fewer, tokens of one than of another.

`streams.policies.packing` learns how many, by script. A text of several counts as the one of most
of it, told by its length in UTF-8 and, for code, by its beginning.
"""

from __future__ import annotations

from typing import Final

from streams.policies.packing import CODE, LATIN, WIDE

LOOKED_AT: Final = 400
"""Characters of a text; a prose text with a block of code far below counts as prose."""
CODE_SHARE: Final = 0.04
"""Of the signs below among the first characters; prose has about 0.5 %, code and JSON from 6 %."""
WIDE_SHARE: Final = 0.3
"""Bytes above one for each character: French has 0.05, Cyrillic text 0.85, Chinese about 2."""
_SIGNS: Final = b"{}[]()<>=;_/\\|&*+#`$@"


def script_of(text: str, size: int) -> int:
    """LATIN, WIDE or CODE. `size`: of the text in UTF-8, in bytes. 0.4 us for a short text."""
    if size - len(text) > WIDE_SHARE * len(text):
        return WIDE
    start = text[:LOOKED_AT].encode("utf-8", "surrogatepass")
    signs = len(start) - len(start.translate(None, _SIGNS))
    return CODE if signs > CODE_SHARE * len(start) else LATIN
