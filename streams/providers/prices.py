"""What calls cost, in whole nano-dollars, so that the shares of items add up exactly.

List prices in USD per million tokens as of 2026-11-22, without taxes, discounts and free tokens.
Sources: the vendors' model and pricing pages (docs/operations.md); a price changes there without
notice, and here by hand, or in a configuration: `[prices."model"]` goes before this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from streams.model import Usage
from streams.policies.call_costs import CallCosts
from streams.policies.model_groups import undated

AS_OF: Final = "2026-11-22"

MAX_TOKENS: Final = 10**9
"""Limit of tokens of one kind in one call; a larger number is ignored. Its cost would fit into no
number of a result."""

WRITE_5M, WRITE_1H, READ = 1.25, 2.0, 0.1
"""The prompt cache's prices as parts of the input's, where a model's own are not given: Anthropic's
rule."""


class GivenPrice(Protocol):
    """`[prices."model"]`, in USD per million tokens; None: by the rules above."""

    @property
    def input(self) -> float: ...
    @property
    def output(self) -> float: ...
    @property
    def cache_write(self) -> float | None: ...
    @property
    def cache_write_1h(self) -> float | None: ...
    @property
    def cache_read(self) -> float | None: ...
    @property
    def batch(self) -> float: ...
    @property
    def long_prompt_tokens(self) -> int | None: ...
    @property
    def long_prompt_factor(self) -> float: ...


class Price(NamedTuple):
    """Pico-dollars per token; 1 USD per million tokens = 1,000,000. `write_5m`, `write_1h`: input
    that is written to the prompt cache for that time; `read`: input that is read from it. `batch`:
    of a call within a Message Batch, as a part of this. `long_above`: with more tokens of input the
    whole request costs `long_factor` times as much; None: it never does."""

    input: int
    output: int
    write_5m: int
    write_1h: int
    read: int
    batch: float = 0.5
    long_above: int | None = None
    long_factor: float = 1.0

    def nano_usd(
        self,
        input: int = 0,
        output: int = 0,
        *,
        write_5m: int = 0,
        write_1h: int = 0,
        read: int = 0,
        in_batch: bool = False,
    ) -> int:
        """What these tokens cost in one request."""
        pico = (
            input * self.input
            + write_5m * self.write_5m
            + write_1h * self.write_1h
            + read * self.read
            + output * self.output
        )
        if self.long_above is not None and input + write_5m + write_1h + read > self.long_above:
            pico = int(pico * self.long_factor)
        return (int(pico * self.batch) if in_batch else pico) // 1000

    def call_costs(self) -> CallCosts:
        """What a task's next calls cost, before the first of them."""
        return CallCosts(self.input / 1000, self.output / 1000)


def usd(
    input: float,
    output: float = 0.0,
    *,
    write: float | None = None,
    write_1h: float | None = None,
    read: float | None = None,
    batch: float = 0.5,
    long_above: int | None = None,
    long_factor: float = 1.0,
) -> Price:
    """A price in USD per million tokens. None: by the rules of this module."""
    given = (
        input,
        output,
        WRITE_5M * input if write is None else write,
        WRITE_1H * input if write_1h is None else write_1h,
        READ * input if read is None else read,
    )
    per_token = (round(each * 1_000_000) for each in given)
    return Price(*per_token)._replace(batch=batch, long_above=long_above, long_factor=long_factor)


_vectors: Final = partial(usd, write=0.0, write_1h=0.0, read=0.0)

_PRICES: Final[Mapping[str, Price]] = {
    "claude-haiku-5-5": usd(0.10, 0.50, long_above=100_000, long_factor=5),
    "claude-haiku-4-5": usd(1, 5),
    "claude-sonnet-5-5": usd(2, 10, read=0.10),  # 0.20 until 2026-10-07
    "claude-opus-5-5": usd(4, 20),  # its reads: by the rule of a tenth
    "claude-fable-5-1": usd(10, 50, read=0.25),
    "voyage-4-lite": _vectors(0.02),
    "voyage-4": _vectors(0.06),
    "voyage-4-large": _vectors(0.12),
    "voyage-code-3": _vectors(0.18),
    "voyage-context-3": _vectors(0.18),
}

UNKNOWN: Final = Usage(0, 0, None)
"""Of a reply that does not say what it used."""


def price_of(model: str, given: GivenPrice | None = None) -> Price | None:
    """The model's price: as it is given, else by the table; None: it is not known."""
    if given is None:
        return _PRICES.get(undated(model))
    return usd(
        given.input,
        given.output,
        write=given.cache_write,
        write_1h=given.cache_write_1h,
        read=given.cache_read,
        batch=given.batch,
        long_above=given.long_prompt_tokens,
        long_factor=given.long_prompt_factor,
    )


def has_price(model: str) -> bool:
    """Whether the model's list price is known; if not, what its calls cost is not either."""
    return price_of(model) is not None


def claude_usage(price: Price | None, usage: Any) -> Usage:
    """Tokens and cost of one reply. `usage`: the reply's own JSON value, whatever it is. Where it
    does not say the tokens, or the price is None, the cost is not known. `input_tokens` counts all
    input: new, written to the cache, read."""
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
    if price is None or not (_says(usage, "input_tokens") and _says(usage, "output_tokens")):
        return Usage(total, output, None, cache_read_tokens=read)
    cost = price.nano_usd(
        new,
        output,
        write_5m=written - written_1h,
        write_1h=written_1h,
        read=read,
        in_batch=usage.get("service_tier") == "batch",
    )
    return Usage(total, output, cost, cache_read_tokens=read)


def voyage_usage(price: Price | None, usage: Any) -> Usage:
    """Tokens and cost of one reply; as for Claude."""
    if not isinstance(usage, Mapping):
        return UNKNOWN
    tokens = _count(usage.get("total_tokens"))
    known = price is not None and _says(usage, "total_tokens")
    return Usage(tokens, 0, price.nano_usd(tokens) if price is not None and known else None)


def _says(usage: Mapping[str, Any], field: str) -> bool:
    value = usage.get(field)
    return type(value) is int and 0 <= value <= MAX_TOKENS


def _count(value: Any) -> int:
    """The number of tokens in a reply's field; 0 if the field is not a valid number."""
    return value if type(value) is int and 0 < value <= MAX_TOKENS else 0
