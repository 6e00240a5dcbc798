"""One short name for everything that decides what a result says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from streams.codec.numbers import Number, near


def fingerprint(
    *,
    provider: str,
    model: str | None = None,
    prompt: str | None = None,
    schema: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    version: str | None = None,
) -> str:
    """16 hexadecimal digits: equal ones mean comparable results, from any run or worker.

    They are the first 64 bits of the SHA-256 of the arguments as JSON with sorted keys, without
    whitespace, in UTF-8. `prompt`: all constant text of the prompt. `schema`: of the answer.
    `settings`: everything else that changes an answer (labels in their order, dimension,
    temperature), and nothing that does not, such as the size of a microbatch's window. `version`: a
    custom function's own. The order of a mapping's keys does not count, a list's does. Raises
    TypeError or ValueError for values that JSON cannot hold.
    """
    facts = {
        "provider": provider,
        "model": model,
        "prompt": prompt,
        "schema": schema,
        "settings": settings,
        "version": version,
    }
    text = json.dumps(
        _in_digits(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _in_digits(value: Any) -> Any:
    """A number that no float is, as its digits."""
    if isinstance(value, Mapping):
        return {name: _in_digits(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in_digits(inner) for inner in value]
    value = near(value) if isinstance(value, Number) else value
    return value.digits if isinstance(value, Number) else value
