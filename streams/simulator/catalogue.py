"""The models that the simulator knows: limits, prices, and what each does not allow.

Sources: the vendors' model pages and the SDK's model literals as of 2026-11. Prices are in
nano-dollars for one token (1 USD per million tokens = 1,000).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

NANO_USD: Final = 1_000_000_000
LONG_PROMPT: Final = 100_000
"""Prompts above this many tokens cost `long_factor` times as much, the whole request."""


class Model(NamedTuple):
    """One Claude model.

    `input_price`, `output_price`: nano-dollars for one token; None: the price is not known here.
    `read_percent`: the price of a token read from the cache, in percent of `input_price`.
    `cache_minimum`: the shortest prefix in tokens that is cached; shorter ones silently are not.
    `thinks`: thinks by default. `quiet`: the `thinking.type` that stops it; None: nothing does.
    `forced_tools`: accepts a `tool_choice` that forces a tool.
    """

    name: str
    display_name: str
    input_price: int | None = None
    output_price: int | None = None
    long_factor: int = 1
    read_percent: int = 10
    max_input: int = 1_000_000
    max_output: int = 128_000
    cache_minimum: int = 1024
    thinks: bool = True
    quiet: str | None = "disabled"
    forced_tools: bool = True


_CLAUDE: Final = (
    Model("claude-haiku-5-5", "Claude Haiku 5.5", 100, 500, long_factor=5, cache_minimum=512),
    Model(
        "claude-haiku-4-5",
        "Claude Haiku 4.5",
        1_000,
        5_000,
        max_input=200_000,
        max_output=64_000,
        cache_minimum=4096,
        thinks=False,
    ),
    Model(
        "claude-sonnet-5-5",
        "Claude Sonnet 5.5",
        2_000,
        10_000,
        read_percent=5,
        quiet="between_tools",
        forced_tools=False,
    ),
    Model("claude-sonnet-5", "Claude Sonnet 5", 2_000, 10_000),
    Model("claude-sonnet-4-6", "Claude Sonnet 4.6", thinks=False),
    Model("claude-sonnet-4-5", "Claude Sonnet 4.5", thinks=False),
    Model("claude-opus-5-5", "Claude Opus 5.5", 4_000, 20_000, cache_minimum=512, quiet=None),
    Model("claude-opus-5", "Claude Opus 5", 5_000, 25_000, cache_minimum=512),
    Model("claude-opus-4-8", "Claude Opus 4.8", thinks=False),
    Model("claude-opus-4-7", "Claude Opus 4.7", thinks=False),
    Model("claude-opus-4-6", "Claude Opus 4.6", thinks=False),
    Model("claude-opus-4-5", "Claude Opus 4.5", thinks=False),
    Model("claude-fable-5-2", "Claude Fable 5.2", quiet=None),
    Model("claude-fable-5-1", "Claude Fable 5.1", 10_000, 50_000, cache_minimum=512, quiet=None),
    Model("claude-fable-5", "Claude Fable 5", quiet=None),
)

CLAUDE: Final[Mapping[str, Model]] = {model.name: model for model in _CLAUDE}


class Tokens(NamedTuple):
    """The tokens of one call as they are billed. `read`, `written_5m`, `written_1h`: the part of
    the prompt that came from the cache or went into it; `input`: the rest of the prompt."""

    input: int
    output: int
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.read + self.written_5m + self.written_1h


def cost_nano_usd(model: Model, tokens: Tokens) -> int:
    """What a call costs, in nano-dollars; 0 where the model's price is not known here."""
    if model.input_price is None or model.output_price is None:
        return 0
    weighted_tokens = (
        tokens.input * 100
        + tokens.read * model.read_percent
        + tokens.written_5m * 125
        + tokens.written_1h * 200
    )
    cost = model.input_price * weighted_tokens // 100 + model.output_price * tokens.output
    return cost * model.long_factor if tokens.prompt > LONG_PROMPT else cost


class VoyageModel(NamedTuple):
    """One Voyage model. `price`: nano-dollars for one token. `request_tokens`: the most tokens of
    one request; `context`: of one text. `dimensions`: the sizes on offer, the default first."""

    name: str
    price: int
    request_tokens: int
    context: int = 32_000
    dimensions: tuple[int, ...] = (1024, 256, 512, 2048)


_VOYAGE: Final = (
    VoyageModel("voyage-4-lite", 20, 1_000_000),
    VoyageModel("voyage-4", 60, 320_000),
    VoyageModel("voyage-4-large", 120, 120_000),
    VoyageModel("voyage-3.5-lite", 20, 1_000_000),
    VoyageModel("voyage-3.5", 60, 320_000),
    VoyageModel("voyage-3-large", 180, 120_000),
    VoyageModel("voyage-code-3", 180, 120_000),
    VoyageModel("voyage-finance-2", 120, 120_000, dimensions=(1024,)),
    VoyageModel("voyage-law-2", 120, 120_000, 16_000, dimensions=(1024,)),
)

VOYAGE: Final[Mapping[str, VoyageModel]] = {model.name: model for model in _VOYAGE}

CONTEXTUALIZED: Final[Mapping[str, VoyageModel]] = {
    name: VoyageModel(name, 180, 120_000) for name in ("voyage-context-3", "voyage-context-4")
}

MULTIMODAL: Final[Mapping[str, VoyageModel]] = {
    name: VoyageModel(name, 120, 320_000) for name in ("voyage-multimodal-3.5",)
}

RERANKERS: Final[Mapping[str, VoyageModel]] = {
    "rerank-2.5": VoyageModel("rerank-2.5", 50, 600_000),
    "rerank-2.5-lite": VoyageModel("rerank-2.5-lite", 20, 600_000),
    "rerank-3-lite": VoyageModel("rerank-3-lite", 20, 600_000),
}
