"""Chains: the layers and time steps of a program, along which cotangents grow or shrink.

A chain of layers is a name that one line binds again and again, each time from the last: the loop
over layers as it is unrolled. A chain of steps is what a loop carries from one iteration to the
next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Eqn, Function, Literal, Provenance, Value, walk
from ..ir.ops.control import Loop
from ..passes.observe import Site
from .jacobians import Step, between, body_step
from .measures import Measure
from .recording import Recording

FEWEST = 3
"""How often a line must bind its name to make a chain of layers."""
LINKS = 12
"""Layers or steps of a chain in the printed table; `Chain.links` has all."""


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
    def norms(self) -> list[float]:
        """The norms of the cotangents, nan where there is none."""
        return [math.nan if k.cotangent is None else k.cotangent.norm for k in self.links]

    @property
    def reference(self) -> Link | None:
        """The first occurrence that the backward pass comes to with a cotangent other than zero."""
        known = [k for k in self.links if k.cotangent is not None and k.cotangent.norm > 0]
        return known[-1] if known and math.isfinite(known[-1].cotangent.norm) else None  # type: ignore[union-attr]

    @property
    def ratio(self) -> float:
        """The norm of the first occurrence's cotangent over that of the reference."""
        return self.ratio_at(next((k for k in self.links if k.cotangent is not None), None))

    def ratio_at(self, link: Link | None) -> float:
        """Return the norm of a cotangent over that of the reference, nan where there is none."""
        reference = self.reference
        if link is None or link.cotangent is None or reference is None:
            return math.nan
        assert reference.cotangent is not None
        return link.cotangent.norm / reference.cotangent.norm

    def first(self, holds: Callable[[float], bool]) -> Link | None:
        """Return the first occurrence, as the backward pass comes to them, whose ratio is such."""
        reference = self.reference
        if reference is None:
            return None
        before = self.links[: self.links.index(reference)]
        return next((k for k in reversed(before) if holds(self.ratio_at(k))), None)

    @property
    def factor(self) -> float:
        """The mean amplification of a step, the geometric one."""
        reference = self.reference
        first = next((k for k in self.links if k.cotangent is not None), None)
        if reference is None or first is None or reference.number == first.number:
            return math.nan
        return float(self.ratio ** (1.0 / (reference.number - first.number)))


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
        groups: dict[Any, list[Eqn]] = {}
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
        latest: dict[Any, int] = {}
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

    def _figures(self, value: Value) -> tuple[Measure | None, Measure | None]:
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
        function, captured = found
        arguments = [self._kept(v) for v in (start, *captured)]
        return None if any(a is None for a in arguments) else Step(function, 0).norm(arguments)

    def _kept(self, atom: Any) -> Any:
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
        found: list[tuple[Eqn, Chain]] = []
        carries: dict[Eqn, list[tuple[int, Chain]]] = {}
        for site in self.recording.sites:
            if site.carry is None or site.is_use or not self.recording.cotangents(site):
                continue
            runs = [(site.carry, chain) for chain in self._runs(site)]
            carries.setdefault(site.loops[-1], []).extend(runs)
        for eqn, chains in carries.items():
            if chains:
                number, worst = max(chains, key=lambda pair: _orders(pair[1].ratio, 1.0))
                found.append((eqn, self._with_norms(worst, eqn, number)))
        return found

    def _runs(self, site: Site) -> list[Chain]:
        """Return a chain for each run of a loop, of one of its carries."""
        recording, eqn = self.recording, site.loops[-1]
        assert site.carry is not None
        assert isinstance(eqn.op, Loop)
        after = recording.site_of(eqn.results[site.carry])
        if after is None:
            return []
        values, cts = recording.values(site), recording.cotangents(site)
        last_values, last_cts = recording.values(after), recording.cotangents(after)
        if len(cts) != len(values):
            return []
        found: list[Chain] = []
        runs = recording.runs(site, after)
        for number, (start, end) in enumerate(runs):
            pairs: list[tuple[Measure | None, Measure | None]] = [
                *zip(values[start:end], cts[start:end], strict=True)
            ]
            final = last_cts[number] if number < len(last_cts) else None
            pairs.append((last_values[number], final))
            if len(pairs) > FEWEST:
                links = _links(pairs, [None] * len(pairs), 0)
                name = site.value.hint or eqn.results[site.carry].hint or "the carry"
                maker = _maker(eqn.op, site.carry) or eqn.provenance
                found.append(Chain("step", name, maker, links, number, len(runs)))
        return found

    def _with_norms(self, chain: Chain, eqn: Eqn, number: int) -> Chain:
        """Return the chain of a carry with the norms of its Jacobians; not in loops of loops."""
        op = eqn.op
        assert isinstance(op, Loop)
        head = 1 if op.ranged else 0
        series = [self._series(p) for p in op.body.params[head : head + op.carries]]
        captured = [self._kept(a) for a in eqn.operands[op.head + op.carries :]]
        bounds = [self._kept(a) for a in eqn.operands[: op.head]]
        is_known = all(a is not None for a in (*captured, *bounds))
        if chain.runs > 1 or not is_known or not all(series) or op.body.dims[head:]:
            return chain
        steps = len(chain.links) - 1
        step = body_step(op.body, head + number, number) if self._sampled(steps) else None
        if step is None:
            return chain
        links = list(chain.links)
        for k in self._sampled(steps):
            dims, index = {}, []
            if op.ranged:
                at = range(*map(int, bounds))[:: -1 if op.backward else 1][k]
                dims, index = {op.body.dims[0]: at}, [np.int64(at)]
            arguments = [*index, *[s[k] for s in series], *captured]
            links[k] = links[k]._replace(jacobian_norm=step.norm(arguments, dims))
        return Chain(chain.kind, chain.name, chain.provenance, tuple(links))

    def _series(self, param: Value) -> list[Any]:
        """Return what a carry was at each iteration."""
        site = self.recording.site_of(param)
        return [] if site is None else self.recording.kept.get(site.number, [])


def spread(count: int, most: int) -> list[int]:
    """Return at most so many positions of a list, spread evenly, the first and last among them."""
    return sorted({round(k * (count - 1) / max(most - 1, 1)) for k in range(most)})


def _maker(op: Loop, carry: int) -> Provenance | None:
    """Return where a loop's body makes what a carry becomes."""
    result = op.body.results[carry]
    return next((e.provenance for e in op.body.eqns if result in e.results), None)


def _links(
    figures: Sequence[tuple[Measure | None, Measure | None]],
    norms: Sequence[float | None],
    start: int,
) -> tuple[Link, ...]:
    found: list[Link] = []
    for k, (value, ct) in enumerate(figures):
        after = figures[k + 1][1] if k + 1 < len(figures) else None
        factor = None
        if ct is not None and after is not None and after.norm > 0:
            factor = ct.norm / after.norm
        found.append(Link(start + k, value, ct, factor, norms[k]))
    return tuple(found)


def _is_sum(chain: Chain) -> bool:
    """Whether cotangents go along a chain as they are, as where a total is added up."""
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
