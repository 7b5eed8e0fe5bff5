"""How often a loop saves its state: the lengths of segments for a budget.

A loop of n iterations that runs as `segments` of `length` iterations keeps one state for each
segment, and what one segment keeps for its adjoint while that is reversed; each segment runs twice.
Where 2 sqrt(n) states and steps do, that is all.

With less, only some of the states are kept, in `rows`, by the binomial schedule (`binomial`), which
needs the fewest extra runs. Where that cannot be (in a loop of a loop, and where the derivative is
itself differentiated), a segment is split again: on a levels, s states do for (s / a)^a iterations
at a - 1 extra runs, where the binomial schedule has binomial(s + a - 1, a - 1). The number of extra
runs is the same or one more, until the budget comes near 3 ln n states, the least that a nest of
loops can do with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil

import numpy as np

from .binomial import runs

_TABLES = 56
"""Bytes of the tables of a binomial schedule, for each segment."""
_MANY_SEGMENTS = 20_000
"""More segments than that are scheduled only where nothing else does: it takes a second."""
_CANDIDATES = 384
"""Numbers of segments that are tried on each level but the innermost."""


@dataclass(frozen=True)
class Split:
    """Iterations run as `segments` of `length`, then `rest` more that are kept whole.

    `inner` splits a segment; None: a segment is kept whole while it is reversed. With `rows`, only
    so many states are kept, one of them for a moment, and segments run again to have the others.
    """

    segments: int
    length: int
    rest: int
    inner: Split | None = None
    rows: int = 0

    @property
    def trips(self) -> int:
        return self.segments * self.length + self.rest

    @property
    def lengths(self) -> tuple[int, ...]:
        """The numbers of segments on each level, and the length of the innermost."""
        inner = (self.length,) if self.inner is None else self.inner.lengths
        return (self.segments, *inner)

    @property
    def states(self) -> int:
        """How many states are kept at once."""
        if self.rows:
            return self.rows
        return self.segments + (0 if self.inner is None else self.inner.states)

    @property
    def steps(self) -> int:
        """For how many iterations what the adjoint reads is kept at once."""
        return self.rest + (self.length if self.inner is None else self.inner.steps)

    @property
    def extra(self) -> int:
        """How many iterations run again in all."""
        inner = 0 if self.inner is None else self.inner.extra
        again = runs(self.segments, self.rows - 2) - self.segments + 1 if self.rows else 0
        return self.segments * (self.length + inner) + again * self.length


@dataclass(frozen=True)
class Costs:
    """Bytes: of one state, of what one iteration keeps, and of what is kept besides."""

    state: float
    step: float
    fixed: float = 0

    def of(self, split: Split) -> float:
        """Return the bytes that a split keeps."""
        tables = _TABLES * split.segments if split.rows else 0
        return split.states * self.state + split.steps * self.step + self.fixed + tables


def choose(trips: int, costs: Costs, budget: float) -> Split | None:
    """Return the split of fewest levels that a budget allows, None where there is none."""
    for levels in range(1, max(2, trips.bit_length())):
        split = _least(trips, levels, costs.state, costs.step)
        if split is not None and costs.of(split) <= budget:
            return split
    return None


def smallest(trips: int, costs: Costs) -> Split | None:
    """Return the split that keeps least."""
    found = [
        s
        for levels in range(1, max(2, trips.bit_length()))
        if (s := _least(trips, levels, costs.state, costs.step)) is not None
    ]
    return min(found, key=costs.of, default=None)


def fewest(trips: int, costs: Costs, budget: float) -> Split | None:
    """Return the split by the binomial schedule that runs least again within a budget."""
    lengths = sorted({int(n) for n in np.geomspace(1, max(1, trips // 2), 200)})
    usual = [n for n in lengths if trips // n <= _MANY_SEGMENTS]
    return _fewest(trips, usual, costs, budget) or _fewest(trips, lengths, costs, budget)


def _fewest(trips: int, lengths: Sequence[int], costs: Costs, budget: float) -> Split | None:
    found: Split | None = None
    for length in lengths:
        split = Split(trips // length, length, trips % length, rows=2)
        spare = (budget - costs.of(split)) // costs.state if costs.state else split.segments
        if spare < 0 or split.segments < 2:
            continue
        split = replace(split, rows=min(2 + int(spare), split.segments + 1))
        if found is None or split.extra < found.extra:
            found = split
    return found


def tightest(trips: int, costs: Costs) -> Split | None:
    """Return the split by the binomial schedule that keeps least."""
    splits = [Split(trips // n, n, trips % n, rows=2) for n in range(1, min(trips // 2, 512) + 1)]
    return min(splits, key=costs.of, default=None)


def shortest(trips: int, costs: Costs) -> Split | None:
    """Return the split on one level that keeps least."""
    return _least(trips, 1, costs.state, costs.step)


@cache
def _least(trips: int, levels: int, state: float, step: float) -> Split | None:
    """Return the split on so many levels that keeps least; None: there are too few iterations."""
    if trips < 2**levels * 2:
        return None
    if levels == 1:
        numbers = np.arange(2, trips // 2 + 1)
        length = trips // numbers
        total = numbers * state + (length + trips - numbers * length) * step
        best = int(numbers[np.argmin(total)])
        return Split(best, trips // best, trips % best)
    costs, found = Costs(state, step), None
    for segments in _candidates(trips, levels):
        inner = _least(trips // segments, levels - 1, state, step)
        if inner is None:
            continue
        split = Split(segments, trips // segments, trips % segments, inner)
        if found is None or costs.of(split) < costs.of(found):
            found = split
    return found


def _candidates(trips: int, levels: int) -> Sequence[int]:
    """Return numbers of segments to try, around that which makes all levels equal."""
    even = ceil(trips ** (1 / (levels + 1)))
    return range(2, min(trips // 2 ** (levels + 1), 4 * even + 8, _CANDIDATES) + 1)


__all__ = ["Costs", "Split", "choose", "fewest", "shortest", "smallest", "tightest"]
