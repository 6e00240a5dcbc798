"""The script of faults: which call meets which fault.

A script is a list of rules. The first rule that applies to a call gives it its fault; `delay` and
the faults of a Message Batch as a whole let the rules after them apply too. A rule counts the calls
that fit its `endpoint`, `model` and `text`, from 1, whether or not an earlier rule takes them:
`calls`, `every` and `probability` speak of that number, so that the same calls in the same order
meet the same faults.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import orjson

from streams.errors import UsageError
from streams.simulator.calls import Call
from streams.simulator.encoder import digest
from streams.simulator.fault_names import BATCHES, ENDPOINTS, FAULTS, MODEL_CALLS
from streams.simulator.prompt import PromptItem


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Every condition that is given must hold; none given: every model call.

    Conditions: `calls` (a number, "3-7", or [3, 7]), `every` (each k-th), `probability` (0 to 1,
    drawn from the seed), `text` (some item contains it), `endpoint`, `method` (of HTTP), `model`,
    `times` (at most so often).
    What the fault takes: `retry_after_s`, `retry_after_ms` (headers of error replies; None: not
    sent), `should_retry` (header x-should-retry), `status`, `body`, `content_type`, `message`,
    `error_code` (of error replies), `location` (where `redirect` leads), `delay_ms`, `count` (how
    many items; with `text`, those that contain it), `tokens` (where `max_tokens` cuts; None: at
    half), `partial` (a refusal after half of the answer), `billed` (`hang`, `reset` and error
    replies come after the work was done and is charged), `share` (of a batch's requests).
    """

    fault: str
    calls: tuple[int, int] | None = None
    every: int | None = None
    probability: float | None = None
    text: str | None = None
    endpoint: str | None = None
    method: str | None = None
    model: str | None = None
    times: int | None = None
    retry_after_s: float | None = None
    retry_after_ms: float | None = None
    should_retry: bool | None = None
    status: int | None = None
    body: str | None = None
    content_type: str | None = None
    message: str | None = None
    error_code: str | None = None
    location: str | None = None
    delay_ms: float = 0.0
    count: int = 1
    tokens: int | None = None
    partial: bool = False
    billed: bool = False
    share: float = 1.0

    def fits(self, call: Call) -> bool:
        """Whether this rule counts the call at all."""
        if self.endpoint is None:
            if call.endpoint not in MODEL_CALLS and call.endpoint != "batch_request":
                return False
        elif self.endpoint not in (call.endpoint, "*"):
            return False
        if self.method not in (None, call.method):
            return False
        if self.model is not None and self.model != call.model:
            return False
        text = self.text
        return text is None or any(text in item.text for item in call.items)

    def tokens_of(self, output: int) -> int:
        """How many of `output` tokens a cut at `max_tokens` leaves."""
        return output // 2 if self.tokens is None else self.tokens

    def chosen(self, items: Sequence[PromptItem], n: int) -> list[int]:
        """The places of the items that the fault applies to: those with the text, else `count` of
        them from place `n mod len(items)` on."""
        if self.text is not None:
            return [place for place, item in enumerate(items) if self.text in item.text]
        many = len(items)
        return [(n + step) % many for step in range(min(self.count, many))]


class Script:
    """Rules with two counts each: the calls that match, and those that get the fault."""

    def __init__(self, rules: Iterable[Rule], seed: int) -> None:
        self.rules = tuple(rules)
        self._seed = seed
        self._call_counts = [0] * len(self.rules)
        self._play_counts = [0] * len(self.rules)

    def match(self, call: Call) -> Rule | None:
        """The fault rule for this call; adds the delays of rules that only delay."""
        matched: Rule | None = None
        for place, rule in enumerate(self.rules):
            if rule.fault in BATCHES or not rule.fits(call):
                continue
            # Every rule counts the call, even if an earlier rule gives it its fault.
            self._call_counts[place] += 1
            if matched is not None or not self._due(place, rule):
                continue
            self._play(place, rule, call)
            call.delay_s += rule.delay_ms / 1000
            if rule.fault != "delay":
                matched = rule
        return matched

    def match_batch(self, call: Call) -> list[Rule]:
        """The rules for the batch that this call creates."""
        matched = []
        for place, rule in enumerate(self.rules):
            if rule.fault in BATCHES and rule.fits(call):
                self._call_counts[place] += 1
                if self._due(place, rule):
                    self._play(place, rule, call)
                    matched.append(rule)
        return matched

    def _play(self, place: int, rule: Rule, call: Call) -> None:
        self._play_counts[place] += 1
        call.fault = rule.fault

    def restart(self) -> None:
        """Counts every rule from 1 again."""
        self._call_counts = [0] * len(self.rules)
        self._play_counts = [0] * len(self.rules)

    def played(self) -> list[dict[str, Any]]:
        """For `/state`: each rule's fault, how many calls match it and how many got it."""
        rows = zip(self.rules, self._call_counts, self._play_counts, strict=True)
        return [
            {"fault": rule.fault, "seen": seen, "played": played} for rule, seen, played in rows
        ]

    def _due(self, place: int, rule: Rule) -> bool:
        number = self._call_counts[place]
        if rule.times is not None and self._play_counts[place] >= rule.times:
            return False
        if rule.calls is not None and not rule.calls[0] <= number <= rule.calls[1]:
            return False
        if rule.every is not None and number % rule.every:
            return False
        if rule.probability is None:
            return True
        drawn = digest(self._seed, "rule", str(place), str(number)) / 2**64
        return drawn < rule.probability


def load_script(source: Any, seed: int) -> Script:
    """A script from a file (`.json`, else TOML), or from what such a file holds: a list of rules,
    or an object with the list under "rule" or "rules". Raises UsageError with every problem."""
    if isinstance(source, str | Path):
        source = _read(Path(source))
    if isinstance(source, Mapping):
        unknown = [name for name in source if name not in ("rule", "rules")]
        if unknown:
            raise UsageError(f"script: unknown key {unknown[0]!r}; rules stand under [[rule]]")
        source = [*source.get("rule", ()), *source.get("rules", ())]
    if not isinstance(source, list | tuple):
        raise UsageError("script: a list of rules is expected")
    rules, problems = [], []
    for number, entry in enumerate(source, 1):
        try:
            rules.append(_rule(entry))
        except (TypeError, ValueError) as error:
            problems.append(f"script: rule {number}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
    return Script(rules, seed)


def _read(path: Path) -> Any:
    try:
        content = path.read_bytes()
        if path.suffix == ".json":
            return orjson.loads(content)
        return tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"script {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"script {path}: {error}") from None


_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "every": int,
    "probability": (int, float),
    "times": int,
    "retry_after_s": (int, float),
    "retry_after_ms": (int, float),
    "should_retry": bool,
    "status": int,
    "delay_ms": (int, float),
    "count": int,
    "tokens": int,
    "partial": bool,
    "billed": bool,
    "share": (int, float),
    "calls": tuple,
}


def _rule(entry: Any) -> Rule:
    if not isinstance(entry, Mapping):
        raise TypeError(f"an object is expected, not {entry!r}")
    names = {field.name for field in fields(Rule)}
    unknown = [name for name in entry if name not in names]
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    if entry.get("fault") not in FAULTS:
        raise ValueError(
            f"unknown fault {entry.get('fault')!r}; known: {', '.join(sorted(FAULTS))}"
        )
    if entry.get("endpoint") is not None and entry["endpoint"] not in ENDPOINTS:
        allowed = ", ".join(sorted(ENDPOINTS))
        raise ValueError(f"unknown endpoint {entry['endpoint']!r}; known: {allowed}")
    values = {name: value for name, value in entry.items() if value is not None}
    if values["fault"] in BATCHES:
        values = {"endpoint": "batches", **values}
    if "calls" in values:
        values["calls"] = _range(values["calls"])
    for name, value in values.items():
        expected = _TYPES.get(name, str)
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise TypeError(f"{name}: {value!r} is of the wrong type")
    if values["fault"] == "status" and "status" not in values:
        raise ValueError('fault "status" needs a `status`')
    if values.get("every", 1) < 1 or values.get("count", 1) < 1:
        raise ValueError("every and count start at 1")
    if not 0 <= values.get("share", 0) <= 1:
        raise ValueError("share lies between 0 and 1")
    return Rule(**values)


def _range(calls: Any) -> tuple[int, int]:
    """3, "3", "3-7", "3-" or [3, 7]; both ends belong to it."""
    if isinstance(calls, int) and not isinstance(calls, bool):
        return calls, calls
    if isinstance(calls, str):
        first, dash, last = calls.partition("-")
        return int(first), (int(last) if last else 2**63) if dash else int(first)
    if isinstance(calls, list | tuple) and len(calls) == 2:
        return int(calls[0]), int(calls[1])
    raise ValueError(f'calls: 3, "3-7" or [3, 7] is expected, not {calls!r}')
