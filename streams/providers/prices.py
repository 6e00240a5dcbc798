"""What calls cost, in whole nano-dollars, so that the shares of items add up exactly.

Prices are list prices in USD per million tokens as of 2026-11-22, without taxes, discounts and free
tokens. Sources: the vendors' model and pricing pages (docs/operations.md); a price changes there
without notice, and here by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from streams.model import Usage

AS_OF: Final = "2026-11-22"

LONG_PROMPT_TOKENS: Final = 100_000

MAX_TOKENS: Final = 10**9
"""Limit of tokens of one kind in one call; a larger number is ignored. Its cost would fit into no
number of a result."""


class Price(NamedTuple):
    """Nano-dollars per token; 1 USD per million tokens = 1,000. `write_5m`, `write_1h`: input that
    is written to the prompt cache for that time; `read`: input that is read from it."""

    input: int
    output: int = 0
    write_5m: int = 0
    write_1h: int = 0
    read: int = 0


_PRICES: Final[Mapping[str, Price]] = {
    "claude-haiku-5-5": Price(100, 500, 125, 200, 10),
    "claude-haiku-4-5": Price(1_000, 5_000, 1_250, 2_000, 100),
    "claude-sonnet-5-5": Price(2_000, 10_000, 2_500, 4_000, 100),  # read: 200 until 2026-10-07
    "claude-opus-5-5": Price(4_000, 20_000, 5_000, 8_000, 400),  # read: by the rule of a tenth
    "claude-fable-5-1": Price(10_000, 50_000, 12_500, 20_000, 250),
    "voyage-4-lite": Price(20),
    "voyage-4": Price(60),
    "voyage-4-large": Price(120),
    "voyage-code-3": Price(180),
    "voyage-context-3": Price(180),
}

_LONG_PROMPT_PRICES: Final[Mapping[str, Price]] = {
    # Above LONG_PROMPT_TOKENS of input the whole request costs this.
    "claude-haiku-5-5": Price(500, 2_500, 625, 1_000, 50),
}

UNKNOWN: Final = Usage(0, 0, None)
"""Of a reply that does not say what it used."""

_DATED: Final = re.compile(r"-\d{8}$")


def has_price(model: str) -> bool:
    """Whether the model's price is known; if not, what its calls cost is not either."""
    return _name(model) in _PRICES


def claude_usage(model: str, usage: Any) -> Usage:
    """Tokens and cost of one reply. `usage`: the reply's own JSON value, whatever it is. Where it
    does not say the tokens, the cost is not known. `input_tokens` counts all input: new, written to
    the cache, read."""
    if not isinstance(usage, Mapping):
        return UNKNOWN
    written = _count(usage.get("cache_creation_input_tokens"))
    by_time = usage.get("cache_creation")
    written_1h = 0
    if isinstance(by_time, Mapping):
        written_1h = _count(by_time.get("ephemeral_1h_input_tokens"))
        written = max(written, written_1h + _count(by_time.get("ephemeral_5m_input_tokens")))
    new, read = _count(usage.get("input_tokens")), _count(usage.get("cache_read_input_tokens"))
    total, output = new + written + read, _count(usage.get("output_tokens"))
    price = _price(model, total)
    if price is None or not (_says(usage, "input_tokens") and _says(usage, "output_tokens")):
        return Usage(total, output, None, cache_read_tokens=read)
    cost = (
        new * price.input
        + (written - written_1h) * price.write_5m
        + written_1h * price.write_1h
        + read * price.read
        + output * price.output
    )
    if usage.get("service_tier") == "batch":  # within a Message Batch all tokens cost half
        cost //= 2
    return Usage(total, output, cost, cache_read_tokens=read)


def voyage_usage(model: str, usage: Any) -> Usage:
    """Tokens and cost of one reply; `usage` as for Claude."""
    if not isinstance(usage, Mapping):
        return UNKNOWN
    tokens = _count(usage.get("total_tokens"))
    price = _price(model, tokens)
    known = price is not None and _says(usage, "total_tokens")
    return Usage(tokens, 0, tokens * price.input if price is not None and known else None)


def _price(model: str, input_tokens: int) -> Price | None:
    name = _name(model)
    if input_tokens > LONG_PROMPT_TOKENS and name in _LONG_PROMPT_PRICES:
        return _LONG_PROMPT_PRICES[name]
    return _PRICES.get(name)


def _name(model: str) -> str:
    return _DATED.sub("", model)


def _says(usage: Mapping[str, Any], field: str) -> bool:
    value = usage.get(field)
    return type(value) is int and 0 <= value <= MAX_TOKENS


def _count(value: Any) -> int:
    """The number of tokens in a reply's field; 0 if the field is not a valid number."""
    return value if type(value) is int and 0 < value <= MAX_TOKENS else 0
