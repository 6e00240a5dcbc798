"""Which runs are too large to begin without a yes."""

from __future__ import annotations

from typing import Final

CONFIRM_USD: Final = 10.0


def needs_yes(items: int, cost_usd: float | None, confirm_items: int) -> bool:
    """`cost_usd`: estimated; None: not known. `confirm_items`: so many need no yes."""
    return items > confirm_items or (cost_usd is not None and cost_usd > CONFIRM_USD)
