"""Dividing a call's usage among its items, so that the shares add up exactly.

The largest-remainder method (Hamilton's apportionment): each item gets the whole part of its quota;
the rest goes, one each, to the largest fractions; equal fractions in the order of the items.
"""

from __future__ import annotations

from collections.abc import Sequence


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` divided in proportion to `weights`; `sum(shares(t, w)) == t`, always.

    No share is off its exact quota by a whole unit or more. Weights that are all 0 count as equal.
    `weights` must not be empty and must not be negative; `total` must not be negative.
    """
    whole = sum(weights)
    if whole == 0:
        weights = [1] * len(weights)
        whole = len(weights)
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    if left:
        # Sorting is stable, so equal remainders keep their order: the result is deterministic.
        remainders = [total * weight % whole for weight in weights]
        by_remainder = sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)
        for i in by_remainder[:left]:
            parts[i] += 1
    return parts
