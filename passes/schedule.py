"""How often a loop saves its state: the lengths of segments for a budget.

A loop of n iterations that runs as `segments` of `length` iterations keeps one state for each
segment, and what one segment keeps for its adjoint while that is reversed; each segment runs twice.
A segment may be split again. With a levels of splitting, a state of one unit and nothing more to
keep for an iteration than that, s units do for about (s / (a + 1))^(a + 1) iterations, at a extra
forward runs; the optimum, which no schedule exceeds (Griewank and Walther 2000, "Algorithm 799:
Revolve"), is binomial(s + a, a). To first order both grow as s^(a + 1) or s^a times s kept at the
end, so that the number of extra runs for a budget is the optimal one or one more, until the budget
comes near 3 ln n states, where a nest of loops of three iterations is the least there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np

_CANDIDATES = 384
"""Numbers of segments that are tried on each level but the innermost."""


@dataclass(frozen=True)
class Split:
    """Iterations run as `segments` of `length`, then `rest` more that are kept whole.

    `inner` splits a segment; None: a segment is kept whole while it is reversed.
    """

    segments: int
    length: int
    rest: int
    inner: Split | None = None

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
        return self.segments + (0 if self.inner is None else self.inner.states)

    @property
    def steps(self) -> int:
        """For how many iterations what the adjoint reads is kept at once."""
        return self.rest + (self.length if self.inner is None else self.inner.steps)

    @property
    def extra(self) -> int:
        """How many iterations run again in all."""
        inner = 0 if self.inner is None else self.inner.extra
        return self.segments * (self.length + inner)


@dataclass(frozen=True)
class Costs:
    """Bytes: of one state, of what one iteration keeps, and of what is kept besides."""

    state: float
    step: float
    fixed: float = 0

    def of(self, split: Split) -> float:
        """Return the bytes that a split keeps."""
        return split.states * self.state + split.steps * self.step + self.fixed


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


__all__ = ["Costs", "Split", "choose", "shortest", "smallest"]
