"""The prompt cache: which part of a prompt is read from it, and which part is written to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from streams.simulator.catalogue import Model
from streams.simulator.prompt import blocks
from streams.simulator.tokens import estimate

BREAKPOINTS: Final = 4
_LIFETIMES_S: Final = {"5m": 300.0, "1h": 3600.0}


class Prefix(NamedTuple):
    """The prompt up to one breakpoint."""

    key: bytes
    tokens: int
    lifetime: str


class CacheTokens(NamedTuple):
    """The tokens of one prompt that came from the cache, and that went into it."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0


NOTHING: Final = CacheTokens()


def prefixes(body: Mapping[str, Any]) -> Iterator[Prefix]:
    """The prefixes that end at a `cache_control`, in the order tools, system, messages."""
    in_order = list(_in_order(body))
    while in_order and not isinstance(in_order[-1].get("cache_control"), dict):
        in_order.pop()
    hashed = hashlib.sha256(str(body.get("model")).encode())
    tokens = 0
    for block in in_order:
        text = block.get("text")
        content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""
        hashed.update(content or orjson.dumps(block))
        tokens += estimate(text) if isinstance(text, str) else len(orjson.dumps(block)) * 2 // 7
        control = block.get("cache_control")
        if isinstance(control, dict):
            yield Prefix(hashed.digest(), tokens, str(control.get("ttl", "5m")))


def _in_order(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for tool in body.get("tools") or ():
        if isinstance(tool, dict):
            yield tool
    yield from blocks(body.get("system"))
    for message in body.get("messages") or ():
        if isinstance(message, dict):
            yield from blocks(message.get("content"))


class PromptCache:
    """The prefixes of every model that are still alive."""

    def __init__(self) -> None:
        self._alive_until: dict[bytes, float] = {}

    def use(self, body: Mapping[str, Any], model: Model, now: float) -> CacheTokens:
        """Reads the longest prefix in the cache, writes the rest up to the last breakpoint."""
        found = [p for p in prefixes(body) if p.tokens >= model.cache_minimum]
        if not found:
            return NOTHING
        read = 0
        for prefix in found:
            if self._alive_until.get(prefix.key, 0.0) > now:
                read = prefix.tokens
        for prefix in found:
            self._alive_until[prefix.key] = now + _LIFETIMES_S.get(prefix.lifetime, 300.0)
        last = found[-1]
        written = max(0, last.tokens - read)
        if last.lifetime == "1h":
            return CacheTokens(read, 0, written)
        return CacheTokens(read, written, 0)

    def forget(self) -> None:
        self._alive_until.clear()
