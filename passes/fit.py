"""A budget for a straight line: which residuals are kept, so that the planned peak fits.

The peak is that of the memory plan of the program as it will run, results included. Two families of
choices are tried (`passes.mincut`): minimum cuts at rising prices for a byte, which first recompute
what is cheap, then transcendental functions, then products; and segments, of which a first part of
the line may be made, the rest being kept. Of all that fit, the one that computes least again is
taken.

Before::

    def f(x: f64[1000]) -> (f64, f64[1000]):
        a  : f64[1000] = sin(x)
        b  : f64[1000] = sin(a)
        s  : f64       = sum(b, axes=(-1,))
        db : f64[1000] = cos(a)
        da : f64[1000] = cos(x)
        dx : f64[1000] = db * da
        return s, dx

After, where `a` is not kept: `a2 = sin(x)` stands before `db`, which reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..ir.core import Function, Value
from .mincut import cheapest, in_segments
from .straight_line import Line, total_seconds

PRICES = tuple(10.0**k for k in (-12, -11, -10.5, -10, -9.5, -9, -8.5, -8, -7, -6))
"""Seconds for a byte. A byte is read or written in 1e-10; a tanh of 8 bytes takes 1e-8."""
SEGMENTS = (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256)
STEPS = 5
"""How often the part of the line that is cut into segments is halved."""
LARGE = 4000
"""Equations of a program from which fewer choices are tried: planning one takes half a second."""
_NOTHING: frozenset[Value] = frozenset()


@dataclass(frozen=True)
class Choice:
    """What is computed again, how long that takes, and the peak; `segments` is 0 for a cut."""

    dropped: frozenset[Value]
    function: Function
    seconds: float
    peak: int
    segments: int = 0
    borders: frozenset[Value] = frozenset()
    """What is kept where segments start."""


class _Search:
    def __init__(self, line: Line, budget: int, peak: Callable[[Function], int]) -> None:
        self.line = line
        self.budget = budget
        self.peak = peak
        self.is_large = len(line.function.eqns) > LARGE
        self.tried: dict[frozenset[Value], Choice] = {}

    def choice(
        self, dropped: frozenset[Value], segments: int = 0, border: Iterable[Value] = ()
    ) -> Choice:
        """Plan the program in which values are computed again."""
        found = self.tried.get(dropped)
        if found is None:
            line = self.line
            function = line.drop(dropped) if dropped else line.function
            time = total_seconds(line.again(dropped)) if dropped else 0.0
            peak = self.peak(function)
            found = Choice(dropped, function, time, peak, segments, frozenset(border))
            self.tried[dropped] = found
        return found

    def best(self) -> Choice | None:
        """Return the cheapest choice that fits."""
        fitting = [c for c in self.tried.values() if c.peak <= self.budget]
        return min(fitting, key=lambda c: (c.seconds, c.peak), default=None)

    def by_price(self) -> None:
        """Find the lowest price at which a cut fits."""
        low, high = 0, len(PRICES)
        while low < high:
            middle = (low + high) // 2
            if self.choice(cheapest(self.line, PRICES[middle])).peak <= self.budget:
                high = middle
            else:
                low = middle + 1

    def by_segments(self) -> None:
        """Cut the line into segments: all of it, then as little of it as fits."""
        end = len(self.line.forward)
        for count in self.counts():
            self.segmented(count, end)
        cheap = cheapest(self.line, PRICES[2])
        fitting = [c for c in self.tried.values() if c.segments and c.peak <= self.budget]
        count = 1 if self.is_large else 2
        for whole in sorted(fitting, key=lambda c: c.peak)[:count]:
            for others in (_NOTHING, cheap):
                self.first_part(whole.segments, others)

    def segmented(self, count: int, end: int, others: frozenset[Value] = _NOTHING) -> Choice:
        """Cut the first `end` equations into segments."""
        inside, border = in_segments(self.line, count, end)
        rest = {v for v in others if self.line.place[v] >= end}
        return self.choice((inside | rest) - border, count, border)

    def first_part(self, count: int, others: frozenset[Value]) -> None:
        """Halve the part of the line that is cut; of the rest, `others` are computed again."""
        low, high = 0, len(self.line.forward)
        for _ in range(STEPS // 2 if self.is_large else STEPS):
            middle = (low + high) // 2
            if self.segmented(count, middle, others).peak <= self.budget:
                high = middle
            else:
                low = middle + 1

    def counts(self) -> Iterator[int]:
        """Yield numbers of segments while these shrink the peak, then those near the best."""
        end = len(self.line.forward)
        peaks: dict[int, int] = {}
        for count in SEGMENTS[:: 2 if self.is_large else 1]:
            if count > end:
                break
            peaks[count] = self.segmented(count, end).peak
            yield count
            if len(peaks) > 3 and min(list(peaks.values())[-3:]) > min(peaks.values()):
                break
        if peaks:
            at = min(peaks, key=peaks.__getitem__)
            yield from (c for c in (at - 1, at + 1, round(at * 1.2)) if 1 < c <= end)


def fit(function: Function, forward: int, budget: int, peak: Callable[[Function], int]) -> Choice:
    """Return what to compute again so that the peak is within a budget.

    Parameters
    ----------
    forward
        How many equations the forward part has.
    peak
        The planned peak of a function.

    Raises
    ------
    Least
        Where nothing that was tried fits.
    """
    search = _Search(Line(function, forward), budget, peak)
    if search.choice(_NOTHING).peak <= budget:
        return search.choice(_NOTHING)
    search.by_price()
    found = search.best()
    total = total_seconds(search.line.forward)
    if found is None or found.seconds > 0.1 * total:
        search.by_segments()
        found = search.best()
    if found is None:
        raise Least(min(search.tried.values(), key=lambda c: (c.peak, c.seconds)))
    return found


class Least(Exception):
    """A budget that cannot be met, and the choice that needs least."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(choice.peak)
        self.choice = choice


__all__ = ["Choice", "Least", "fit"]
