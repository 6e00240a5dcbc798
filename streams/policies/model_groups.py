"""Which models share one set of limits, so that their calls are counted together.

Anthropic documents combined limits for whole families:
https://platform.claude.com/docs/en/api/rate-limits. The longest row that a model's name begins
with counts; a model without a row has limits of its own, under its name without a date. Rows of
users (`[limit_groups]`) go before these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MODEL_GROUPS: Final[Mapping[str, str]] = {
    "claude-opus-4": "claude-opus-4.x",
    "claude-sonnet-4-5": "claude-sonnet-4.5-4.6",
    "claude-sonnet-4-6": "claude-sonnet-4.5-4.6",
}

_DATED: Final = re.compile(r"-\d{8}$")


def undated(model: str) -> str:
    """A model's name without the date at its end, under which limits and prices are listed."""
    return _DATED.sub("", model)


def model_group(model: str, overrides: Mapping[str, str] | None = None) -> str:
    """The name of the group. `overrides`: group by the beginning of a model's name; the longest
    beginning counts, and one of the overrides before any of ours."""
    for table in (overrides or {}, MODEL_GROUPS):
        rows = [start for start in table if model.startswith(start)]
        if rows:
            return table[max(rows, key=len)]
    return undated(model)
