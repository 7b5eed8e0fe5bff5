"""What one observed run told: figures of each value and each cotangent, in order."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from ..ir.core import Value
from ..ir.ops.observe import Observe
from ..passes.observe import Site
from .measures import Measure, measure, together


class Recording:
    """The observer of one run.

    `kept` holds values themselves: those outside of loops, and the carries of outer loops at each
    iteration. `bad_values` are those that are not finite, in order, each site the first time, which
    time that was beside it; `bad_cotangent` is the first, cotangents counted as they come.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self.sites = sites
        self.kept: dict[int, list[Any]] = {}
        self.bad_values: dict[Site, int] = {}
        self.bad_cotangent: tuple[Site, int] | None = None
        self._values: dict[int, list[Measure]] = {}
        self._cotangents: dict[int, list[Measure]] = {}
        self._times: dict[int, list[int]] = {}
        self._time = 0
        self._by_value = {s.value: s for s in sites if not s.is_use}

    def __call__(self, op: Observe, value: Any) -> None:
        site = self.sites[op.site]
        self._time += 1
        if op.cotangent:
            self._note(site, value, self._cotangents)
        elif not site.is_use:
            if len(site.loops) < 2 and (not site.loops or site.carry is not None):
                self.kept.setdefault(site.number, []).append(value)
            if site.value.type.is_inexact:
                self._times.setdefault(site.number, []).append(self._time)
                self._note(site, value, self._values)

    def _note(self, site: Site, value: Any, found: dict[int, list[Measure]]) -> None:
        figures = measure(value)
        series = found.setdefault(site.number, [])
        if figures.bad and found is self._values:
            self.bad_values.setdefault(site, len(series))
        if figures.bad and found is self._cotangents and self.bad_cotangent is None:
            self.bad_cotangent = site, len(series)
        series.append(figures)

    def site_of(self, value: Value) -> Site | None:
        """Return where a value is observed."""
        return self._by_value.get(value)

    def values(self, site: Site) -> list[Measure]:
        """Return the figures of a value, each time that it was computed."""
        return self._values.get(site.number, [])

    def cotangents(self, site: Site) -> list[Measure]:
        """Return the figures of its cotangents, in the order in which the values were computed."""
        return self._cotangents.get(site.number, [])[::-1]

    def cotangent(self, value: Value) -> Measure | None:
        """Return the figures of all cotangents of a value taken as one, None if it has none."""
        site = self.site_of(value)
        series = [] if site is None else self.cotangents(site)
        return together(series) if series else None

    def runs(self, carry: Site, after: Site) -> list[tuple[int, int]]:
        """Return for each run of a loop where the series of its carry starts and ends.

        `after` is the site of the carry's last value, which is observed when the loop has run.
        """
        times = self._times.get(carry.number, [])
        ends = [bisect.bisect(times, t) for t in self._times.get(after.number, [])]
        return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []


__all__ = ["Recording"]
