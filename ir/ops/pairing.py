"""The order in which several arrays are contracted, pair by pair, with the fewest operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

Order = int | tuple["Order", "Order"]
"""The position of an operand, or what two orders give, multiplied."""


def cheapest_order(
    labels: Sequence[str], into: str, sizes: Mapping[str, int], limit: int
) -> Order | None:
    """Return the cheapest order whose intermediates have at most `limit` entries, or None.

    A dynamic programme over the subsets of the operands: the labels of a subset's product are those
    that the other operands or the result have.
    """
    count = len(labels)
    whole = (1 << count) - 1
    kept: dict[int, frozenset[str]] = {}
    for subset in range(1, whole + 1):
        inside = {c for k in range(count) if subset >> k & 1 for c in labels[k]}
        outside = {c for k in range(count) if not subset >> k & 1 for c in labels[k]}
        single = subset & (subset - 1) == 0
        kept[subset] = frozenset(inside if single else inside & (outside | set(into)))
    best: dict[int, tuple[int, Order]] = {1 << k: (0, k) for k in range(count)}
    for subset in range(1, whole + 1):
        if subset in best:
            continue
        if subset != whole and prod(sizes[c] for c in kept[subset]) > limit:
            continue
        left = (subset - 1) & subset
        while left:
            right = subset ^ left
            if left > right and left in best and right in best:
                flops = prod(sizes[c] for c in kept[left] | kept[right])
                cost = flops + best[left][0] + best[right][0]
                if subset not in best or cost < best[subset][0]:
                    best[subset] = cost, (best[right][1], best[left][1])
            left = (left - 1) & subset
    return best[whole][1] if whole in best else None
