"""What a task is made of, before it has topics: its codecs, limits and caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.codec.call_terms import CallTerms
from streams.codec.records import Decoder
from streams.codec.results import Encoder
from streams.core.account import Account
from streams.core.call_money import CallMoney
from streams.core.limits import Limits
from streams.core.rate_line import RateLine
from streams.model import Caller
from streams.running.pipeline_caller import PipelineCaller


@dataclass(frozen=True, slots=True)
class TaskParts:
    """The parts of a task. `timeout_s`: of a call, in seconds; None: as long as it takes.
    `fingerprint`: `codec/fingerprint.py`. `account`: the API's, shared by the tasks that use it;
    None: its own. `has_price`: whether its calls' price is known. `money`: what they may cost;
    None: anything. `call_bytes`: memory that each item takes besides its record, its result and
    its slot. `terms`: where items say with which others they share a call, and when they are to be
    back."""

    name: str
    source: str
    limits: Limits
    timeout_s: float | None
    decoder: Decoder
    encoder: Encoder
    caller: Caller
    fingerprint: str = ""
    account: Account | None = None
    has_price: bool = True
    money: CallMoney | None = None
    call_bytes: int = 0
    terms: CallTerms = field(default_factory=CallTerms)

    @property
    def pipeline(self) -> PipelineCaller | None:
        """The caller of a task whose items go through a pipeline."""
        return self.caller if isinstance(self.caller, PipelineCaller) else None

    @property
    def max_in_flight(self) -> int:
        """The limit of calls; of a pipeline, of those of all its stages."""
        return self.limits.max_in_flight if self.pipeline is None else self.pipeline.max_in_flight

    @property
    def rate_lines(self) -> Mapping[str, RateLine]:
        """The limits per minute that hold its calls back, by name; a pipeline's: of its stages."""
        if self.pipeline is not None:
            return self.pipeline.rate_lines
        line = None if self.account is None else self.account.rates
        return {} if line is None else {line.name or f"task/{self.name}": line}

    def calls_now(self, of_engine: int) -> int:
        """The same as things stand. `of_engine`: what its engine may have in flight now."""
        return of_engine if self.pipeline is None else self.pipeline.max_in_flight
