"""Chains: the layers and time steps of a program, along which cotangents grow or shrink.

A chain of layers is a name that one line binds again and again, each time from the last: the loop
over layers as it is unrolled. A chain of steps is what a loop carries from one iteration to the
next, all of it taken as one vector but for what it only adds to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Atom, Eqn, Function, Literal, Provenance, Value, walk
from ..ir.location import Location
from ..ir.ops.control import Loop
from ..passes.observe import Site
from .jacobians import between, body_step
from .measures import Measure, together
from .recording import Recording

FEWEST = 3
"""How often a line must bind its name to make a chain of layers."""
LINKS = 12
"""Layers or steps of a chain in the printed table; `Chain.links` has all."""

Figures = tuple[Measure | None, Measure | None]
"""Those of a value and of its cotangent."""


class Link(NamedTuple):
    """One occurrence of a chain's value: its layer, or the step before which it stands.

    `amplification` is the norm of its cotangent over that of the next occurrence, and
    `jacobian_norm` the estimated operator norm of the step to the next one; both None where they
    are not known.
    """

    number: int
    value: Measure | None
    cotangent: Measure | None
    amplification: float | None
    jacobian_norm: float | None


@dataclass(frozen=True)
class Chain:
    """A value that flows from layer to layer, or from step to step.

    `kind` is "layer" or "step", `run` which run of a loop inside others this is (the one that
    scales cotangents most), and `runs` how many there were.
    """

    kind: str
    name: str
    provenance: Provenance
    links: tuple[Link, ...]
    run: int = 0
    runs: int = 1

    @property
    def place(self) -> str:
        """The user's line, as `model.py:12`; empty where it is not known."""
        location = self.provenance.location
        return "" if location is None else location.place

    @property
    def norms(self) -> list[float]:
        """The norms of the cotangents, nan where there is none."""
        return [math.nan if k.cotangent is None else k.cotangent.norm for k in self.links]

    @property
    def reference(self) -> Link | None:
        """The first occurrence that the backward pass comes to with a cotangent other than zero."""
        known = [(k, norm) for k, norm in zip(self.links, self.norms, strict=True) if norm > 0]
        if not known:
            return None
        link, norm = known[-1]
        return link if math.isfinite(norm) else None

    @property
    def flowing(self) -> tuple[Link, ...]:
        """The occurrences from the reference back to where the chain begins, in program order.

        Steps end where a cotangent is zero: a carry was cut or replaced there, as is common.
        """
        reference = self.reference
        found: list[Link] = []
        for link in reversed(self.links if reference is not None else ()):
            if link.cotangent is None or (not found and link is not reference):
                continue
            if self.kind == "step" and link.cotangent.norm == 0:
                break
            found.append(link)
        return tuple(reversed(found))

    @property
    def ratio(self) -> float:
        """The norm of the first cotangent that flows over that of the reference."""
        return self.ratio_at(next(iter(self.flowing), None))

    def ratio_at(self, link: Link | None) -> float:
        """Return the norm of a cotangent over that of the reference, nan where there is none."""
        reference = self.reference
        if link is None or link.cotangent is None or reference is None:
            return math.nan
        assert reference.cotangent is not None
        return link.cotangent.norm / reference.cotangent.norm

    def first(self, holds: Callable[[float], bool]) -> Link | None:
        """Return the first occurrence, as the backward pass comes to them, whose ratio is such."""
        return next((k for k in reversed(self.flowing) if holds(self.ratio_at(k))), None)

    @property
    def factor(self) -> float:
        """The mean amplification of a step, the geometric one."""
        steps = len(self.flowing) - 1
        return float(self.ratio ** (1.0 / steps)) if steps > 0 else math.nan


class Chains:
    """Finds the chains of a function that has been run.

    `jacobians` is the number of steps of a chain whose Jacobians are estimated.
    """

    def __init__(self, function: Function, recording: Recording, jacobians: int) -> None:
        self.function = function
        self.recording = recording
        self.jacobians = jacobians

    def find(self) -> list[Chain]:
        """Return the chains of steps and layers, in the order of the program."""
        place = {id(e): k for k, e in enumerate(walk(self.function))}
        found = [(place[id(eqn)], chain) for eqn, chain in [*self._steps(), *self._layers()]]
        chains = [chain for _, chain in sorted(found, key=lambda pair: pair[0])]
        return [c for c in chains if not _is_sum(c)]

    # -- layers ------------------------------------------------------------------------------------

    def _layers(self) -> list[tuple[Eqn, Chain]]:
        groups: dict[tuple[tuple[Location, ...], str], list[Eqn]] = {}
        for eqn in self.function.eqns:
            for result in eqn.results:
                if result.hint and self.recording.cotangent(result) is not None:
                    groups.setdefault((eqn.provenance.frames, result.hint), []).append(eqn)
        place = {e: k for k, e in enumerate(self.function.eqns)}
        chosen: list[list[Eqn]] = []
        for group in groups.values():
            if len(group) < FEWEST or not self._is_chain(group):
                continue
            rivals = [g for g in chosen if len(g) == len(group) and _overlap(g, group, place)]
            if not rivals:
                chosen.append(group)
            elif max(map(self._strength, rivals)) <= self._strength(group):
                chosen = [g for g in chosen if g not in rivals] + [group]
        return [(g[-1], self._layer_chain(g)) for g in chosen]

    def _value(self, eqn: Eqn) -> Value:
        return next(r for r in eqn.results if r.hint)

    def _is_chain(self, group: Sequence[Eqn]) -> bool:
        """Whether each occurrence depends on the one before."""
        wanted = {e: k for k, e in enumerate(group)}
        latest: dict[Atom, int] = {}
        for eqn in self.function.eqns:
            reach = max((latest.get(a, -1) for a in eqn.operands), default=-1)
            number = wanted.get(eqn)
            if number is not None:
                if number and reach != number - 1:
                    return False
                reach = number
            if reach >= 0:
                latest.update(dict.fromkeys(eqn.results, reach))
        return True

    def _strength(self, group: Sequence[Eqn]) -> float:
        """Return by how many orders cotangents differ along a chain."""
        norms = [self._figures(self._value(e))[1] for e in group]
        sizes = [m.norm for m in norms if m is not None]
        return _orders(sizes[0], sizes[-1])

    def _figures(self, value: Value) -> Figures:
        site = self.recording.site_of(value)
        figures = [] if site is None else self.recording.values(site)
        return (figures[0] if figures else None), self.recording.cotangent(value)

    def _layer_chain(self, group: Sequence[Eqn]) -> Chain:
        values = [self._value(e) for e in group]
        norms: list[float | None] = [None] * len(group)
        for k in self._sampled(len(group) - 1):
            norms[k] = self._layer_norm(values[k], values[k + 1])
        links = _links([self._figures(v) for v in values], norms, 1)
        return Chain("layer", values[0].hint or "", group[-1].provenance, links)

    def _layer_norm(self, start: Value, end: Value) -> float | None:
        found = between(self.function, start, end)
        if found is None:
            return None
        step, captured = found
        arguments = [self._kept(v) for v in (start, *captured)]
        return None if any(a is None for a in arguments) else step.norm(arguments)

    def _kept(self, atom: Atom) -> Any:
        """Return what a value outside of loops was."""
        if isinstance(atom, Literal):
            return atom.value
        site = self.recording.site_of(atom)
        kept = None if site is None else self.recording.kept.get(site.number)
        return kept[0] if kept else None

    def _sampled(self, steps: int) -> list[int]:
        """Return the steps whose Jacobians are estimated, spread evenly."""
        if steps <= 0 or self.jacobians <= 0:
            return []
        shown = {k for k in spread(steps + 1, LINKS) if k < steps}
        if len(shown) >= self.jacobians:
            return spread(steps, min(steps, self.jacobians))
        more = min(steps, self.jacobians - len(shown))
        return sorted(shown.union(spread(steps, more)))

    # -- steps -------------------------------------------------------------------------------------

    def _steps(self) -> list[tuple[Eqn, Chain]]:
        carries: dict[Eqn, list[Site]] = {}
        for site in self.recording.sites:
            if site.carry is not None and not site.is_use and self.recording.cotangents(site):
                carries.setdefault(site.loops[-1], []).append(site)
        found: list[tuple[Eqn, Chain]] = []
        for eqn, sites in carries.items():
            # What is only added to is passed on as it is, whatever becomes of the rest.
            flowing = [s for s in sites if not all(map(_is_sum, self._runs(eqn, [s])))] or sites
            chains = self._runs(eqn, flowing)
            if chains:
                worst = max(chains, key=lambda c: _orders(c.ratio, 1.0))
                found.append((eqn, self._with_norms(worst, eqn, flowing)))
        return found

    def _runs(self, eqn: Eqn, sites: Sequence[Site]) -> list[Chain]:
        """Return a chain for each run of a loop, of some of its carries taken as one."""
        parts = [p for s in sites if (p := self._series(eqn, s))]
        names = ", ".join(_carry_name(eqn, s) for s in sites)
        found: list[Chain] = []
        for number, of_run in enumerate(zip(*parts, strict=True)):
            figures = [
                (_taken_as_one([v for v, _ in of_step]), _taken_as_one([ct for _, ct in of_step]))
                for of_step in zip(*of_run, strict=True)
            ]
            if len(figures) > FEWEST:
                links = _links(figures, [None] * len(figures), 0)
                found.append(
                    Chain("step", names, _made_at(eqn, sites), links, number, len(parts[0]))
                )
        return found

    def _series(self, eqn: Eqn, site: Site) -> list[list[Figures]]:
        """Return for each run of a loop the figures of a carry at each step, and after the last."""
        recording = self.recording
        assert site.carry is not None
        after = recording.site_of(eqn.results[site.carry])
        values, cts = recording.values(site), recording.cotangents(site)
        if after is None or len(cts) != len(values):
            return []
        last_values, last_cts = recording.values(after), recording.cotangents(after)
        found: list[list[Figures]] = []
        for number, (start, end) in enumerate(recording.runs(site, after)):
            final = last_cts[number] if number < len(last_cts) else None
            steps: list[Figures] = [*zip(values[start:end], cts[start:end], strict=True)]
            found.append([*steps, (last_values[number], final)])
        return found

    def _with_norms(self, chain: Chain, eqn: Eqn, sites: Sequence[Site]) -> Chain:
        """Return the chain of carries with the norms of its Jacobians; not in loops of loops."""
        op = eqn.op
        assert isinstance(op, Loop)
        head = 1 if op.ranged else 0
        series = [self._all_kept(p) for p in op.body.params[head : head + op.carries]]
        captured = [self._kept(a) for a in eqn.operands[op.head + op.carries :]]
        bounds = [self._kept(a) for a in eqn.operands[: op.head]]
        is_known = all(a is not None for a in (*captured, *bounds))
        sampled = self._sampled(len(chain.links) - 1)
        if chain.runs > 1 or not is_known or not all(series) or not sampled:
            return chain
        indices = range(*map(int, bounds))[:: -1 if op.backward else 1] if op.ranged else None
        if indices and min(indices) < 0:
            return chain
        step = body_step(op.body, op.ranged, [s.carry for s in sites if s.carry is not None])
        if step is None:
            return chain
        links = list(chain.links)
        for k in sampled:
            index = [] if indices is None else [np.int64(indices[k])]
            norm = step.norm([*index, *[s[k] for s in series], *captured])
            links[k] = links[k]._replace(jacobian_norm=norm)
        return replace(chain, links=tuple(links))

    def _all_kept(self, param: Value) -> list[Any]:
        """Return what a carry was at each iteration."""
        site = self.recording.site_of(param)
        return [] if site is None else self.recording.kept.get(site.number, [])


def _carry_name(eqn: Eqn, site: Site) -> str:
    assert site.carry is not None
    assert isinstance(eqn.op, Loop)
    after = eqn.op.body.results[site.carry]
    hints = (site.value.hint, after.hint, eqn.results[site.carry].hint)
    return next((h for h in hints if h), "a carry")


def _made_at(eqn: Eqn, sites: Sequence[Site]) -> Provenance:
    """Return where the body of a loop makes what its carries become, the loop if in many places."""
    assert isinstance(eqn.op, Loop)
    body = eqn.op.body
    results = {body.results[s.carry] for s in sites if s.carry is not None}
    makers = [e.provenance for e in body.eqns if not results.isdisjoint(e.results)]
    lines = {p.location.line for p in makers if p.location is not None}
    return makers[-1] if len(lines) == 1 else eqn.provenance


def _taken_as_one(parts: Sequence[Measure | None]) -> Measure | None:
    known = [p for p in parts if p is not None]
    return together(known) if known else None


def spread(count: int, most: int) -> list[int]:
    """Return at most so many positions of a list, spread evenly, the first and last among them."""
    return sorted({round(k * (count - 1) / max(most - 1, 1)) for k in range(most)})


def _links(
    figures: Sequence[Figures],
    norms: Sequence[float | None],
    start: int,
) -> tuple[Link, ...]:
    found: list[Link] = []
    for k, (value, ct) in enumerate(figures):
        after = figures[k + 1][1] if k + 1 < len(figures) else None
        factor = None
        if ct is not None and after is not None and after.norm > 0:
            ratio = ct.norm / after.norm
            factor = ratio if math.isfinite(ratio) else None
        found.append(Link(start + k, value, ct, factor, norms[k]))
    return tuple(found)


def _is_sum(chain: Chain) -> bool:
    """Whether cotangents go along a chain as they are, as where a total is added up."""
    if any(k.cotangent is not None and k.cotangent.bad for k in chain.links):
        return False
    return all(k.amplification in (None, 1.0) for k in chain.links)


def _orders(first: float, last: float) -> float:
    """Return by how many orders of magnitude two norms differ."""
    if not (math.isfinite(first) and math.isfinite(last)):
        return math.inf
    if first == last:
        return 0.0
    return math.inf if first == 0 or last == 0 else abs(math.log10(first) - math.log10(last))


def _overlap(a: Sequence[Eqn], b: Sequence[Eqn], place: dict[Eqn, int]) -> bool:
    return place[a[0]] <= place[b[-1]] and place[b[0]] <= place[a[-1]]


__all__ = ["LINKS", "Chain", "Chains", "Link", "spread"]
