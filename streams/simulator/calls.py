"""One request as the simulator sees it, from its arrival to its line in the journal; and the
message in the making that answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.simulator.prompt import PromptItem
from streams.simulator.rate_limits import Buckets
from streams.simulator.wire import Provider


class Call:
    """The facts of one request. Filled step by step; times in seconds.

    `n`: its number, from 1. `counted`: it stands for one of the model's calls (messages,
    embeddings, ...), so it counts in `concurrent`. `concurrent`: how many such calls were open when
    it came, itself included. `items`: those
    of its prompt, or the texts to embed. `answered`: how many of them its reply answers.
    `argument`: the id in its path. `delay_s`: what the script adds to its latency. `limit`: the
    limit that refused it, "" for none. `buckets`: those it was admitted to, while it is open.
    `limit_headers`: what they said then, for its reply.
    """

    __slots__ = (
        "answered",
        "argument",
        "arrived_at",
        "body",
        "buckets",
        "concurrent",
        "cost_nano_usd",
        "counted",
        "delay_s",
        "ended_at",
        "endpoint",
        "fault",
        "headers",
        "host",
        "input_tokens",
        "items",
        "limit",
        "limit_headers",
        "method",
        "model",
        "n",
        "output_tokens",
        "priced",
        "provider",
        "query",
        "request_id",
        "started",
        "status",
    )

    def __init__(
        self,
        n: int,
        endpoint: str,
        provider: Provider,
        counted: bool,
        headers: Mapping[str, str],
        request_id: str,
    ) -> None:
        self.n = n
        self.endpoint = endpoint
        self.provider: Provider = provider
        self.counted = counted
        self.headers = headers
        self.request_id = request_id
        self.query: Mapping[str, str] = {}
        self.argument = ""
        self.host = ""
        self.body: Mapping[str, Any] = {}
        self.method = ""
        self.model = ""
        self.items: Sequence[PromptItem] = ()
        self.arrived_at = 0.0
        self.started = 0.0
        self.ended_at = 0.0
        self.concurrent = 0
        self.status = 0
        self.fault = ""
        self.limit = ""
        self.buckets: Buckets | None = None
        self.limit_headers: Mapping[str, str] = {}
        self.answered = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_nano_usd = 0
        self.priced = True
        self.delay_s = 0.0


class Draft:
    """A message in the making. `text`: the answer's text; `answered`: items with a valid record in
    it; `thinking_tokens`: 0 for none; `before`: content blocks that come first."""

    def __init__(self, text: str, answered: int, thinking_tokens: int) -> None:
        self.text = text
        self.answered = answered
        self.thinking_tokens = thinking_tokens
        self.before: list[dict[str, Any]] = []
        self.stop_reason = "end_turn"
        self.stop_details: dict[str, Any] | None = None
