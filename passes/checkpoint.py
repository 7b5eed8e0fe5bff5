"""A budget for what loops keep: a loop becomes a loop of segments, each of which runs twice.

Reverse mode keeps what the adjoint reads of every iteration. Here a loop of n iterations becomes a
loop over segments of k, whose body is a loop that runs again in the reversed loop
(`Loop.recompute`): only the state at the start of each segment is kept, and one segment's residuals
while it is reversed. A segment may be split again (`schedule` chooses). Of a loop whose length only
the run knows, states are kept on a tape.

The pass works on the primal function, and reverse mode does the rest. It measures by reversing a
loop alone: first as it is, then with two segments of two iterations, which tells the bytes of a
state and of an iteration. A loop that keeps nothing, or restores what it writes, costs nothing and
stays.

Before::

    def f(h0: f64[3], w: f64[3]) -> f64[3]:
        def body(i: i64, h: f64[3], w: f64[3], *, dims=(i,)) -> f64[3]:
            a : f64[3] = h * w
            b : f64[3] = tanh(a)
            return b
        r = loop(body, range(100), carry=(h0,), captured=(w,))
        return r

After, for a budget of 30 states::

    def f(h0: f64[3], w: f64[3]) -> f64[3]:
        def segment(s: i64, h: f64[3], w: f64[3], *, dims=(s,)) -> f64[3]:
            first = s * 10
            last  = first + 10
            def body(i: i64, h: f64[3], w: f64[3], *, dims=(i,)) -> f64[3]:
                a : f64[3] = h * w
                b : f64[3] = tanh(a)
                return b
            r = loop(body, range(first, last), carry=(h,), captured=(w,), trips=10, recompute=True)
            return r
        r = loop(segment, range(10), carry=(h0,), captured=(w,))
        return r
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite

from ..ir.closing import free_dims
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.dims import Symbol
from ..ir.errors import BudgetError
from ..ir.location import Location, excerpt
from ..ir.op import Effect, Op
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from .dce import Dce
from .held import Bytes, held, held_by, most_trips, per_iteration
from .reverse import active_values, reverse
from .reverse_loop import active_operands
from .schedule import Costs, Split, choose, fewest, shortest, smallest, tightest
from .segments import Chunks, is_fixed, split_loop, why_whole

_UNLIMITED = 2**40


@dataclass(frozen=True)
class Kept:
    """What was chosen for a loop, in bytes.

    `everything` is what it would keep without a budget, `state` the state of a segment, `step` what
    one iteration keeps, `kept` what it keeps now; `extra` is how often it runs more, in forward
    runs of its own, and `depth` says in how many loops it lies.
    """

    location: Location | None
    trips: int | None
    everything: Bytes
    kept: Bytes
    state: int = 0
    step: int = 0
    lengths: tuple[int, ...] = ()
    rest: int = 0
    rows: int = 0
    extra: float = 0.0
    depth: int = 0


class _Least(Exception):
    """A budget that cannot be met, and the least that could."""

    def __init__(self, least: Bytes) -> None:
        super().__init__(least)
        self.least = least


def checkpoint(
    function: Function, wrt: Sequence[int], budget: int, rows: dict[Symbol, int] | None = None
) -> tuple[Function, list[Kept]]:
    """Return a function whose loops keep at most so many bytes in reverse mode, and what was done.

    Parameters
    ----------
    rows
        Gets what `rewind` is to do after reverse mode; None where it will not be called.

    Raises
    ------
    BudgetError
        Where that cannot be met; it names the least that can.
    """
    try:
        return _within(function, [function.params[k] for k in wrt], budget, rows)
    except _Least as found:
        raise BudgetError(
            f"memory={budget:,} bytes is too little for the loops of {function.name}: they need "
            f"{_shown(found.least)}.\n  That is the least with a state kept here and there and "
            "the iterations between them run again."
        ) from None


def _shown(least: Bytes) -> str:
    return f"at least {int(least):,} bytes" if isfinite(least) else "more than any budget"


def _within(
    function: Function,
    wrt: Sequence[Value],
    budget: Bytes,
    rows: dict[Symbol, int] | None = None,
) -> tuple[Function, list[Kept]]:
    active = active_values(function, wrt)
    found = [
        _Part(eqn, [a in active for a in eqn.operands], rows)
        for eqn in function.eqns
        if eqn.op.regions and any(a in active for a in eqn.operands)
    ]
    parts = [p for p in found if p.everything]
    for part, share in zip(parts, _shares(parts, budget), strict=True):
        part.fit(share)
    changed = {p.eqn: p for p in parts if p.is_changed}
    kept = [k for p in parts for k in p.report]
    if not changed:
        return function, kept
    scope: dict[Atom, Atom] = {}
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        if eqn in changed:
            made, results = changed[eqn].write(operands)
            eqns += made
            scope.update(zip(eqn.results, results, strict=True))
        else:
            eqns.append(Eqn(eqn.op, operands, eqn.results, eqn.provenance))
    outs = [scope.get(r, r) for r in function.results]
    return function.replace(eqns=eqns, results=outs, result_kinds=function.result_kinds), kept


def _shares(parts: Sequence[_Part], budget: Bytes) -> list[Bytes]:
    """Divide a budget: who needs less than an even share leaves the rest to the others."""
    if sum(p.everything for p in parts) <= budget:
        return [p.everything for p in parts]
    shares: dict[int, Bytes] = {}
    while True:
        open = [k for k in range(len(parts)) if k not in shares]
        rest = budget - sum(shares.values())
        even = _poured([parts[k].everything for k in open], rest)
        short = [k for k, share in zip(open, even, strict=True) if parts[k].least > share]
        if not short:
            shares.update(zip(open, even, strict=True))
            return [shares[k] for k in range(len(parts))]
        shares.update((k, parts[k].least) for k in short)
        if sum(shares.values()) > budget:
            raise _Least(sum(p.least for p in parts))


def _poured(wanted: Sequence[Bytes], budget: Bytes) -> list[Bytes]:
    found: dict[int, Bytes] = {}
    for place, k in enumerate(sorted(range(len(wanted)), key=lambda k: wanted[k])):
        found[k] = min(wanted[k], budget / (len(wanted) - place))
        budget -= found[k]
    return [found[k] for k in range(len(wanted))]


class _Part:
    """A loop or branch of a function: what it keeps, and how that is made less."""

    def __init__(
        self, eqn: Eqn, needs: Sequence[bool], rows: dict[Symbol, int] | None = None
    ) -> None:
        self.eqn = eqn
        self.rows = rows
        self.needs = needs
        self.op: Op = eqn.op
        self.how: Split | Chunks | None = None
        self.everything = held(_joint(eqn, eqn.op, needs, None))
        self.report = [self._kept(self.everything)]

    @property
    def is_changed(self) -> bool:
        return self.how is not None or self.op is not self.eqn.op

    @cached_property
    def least(self) -> Bytes:
        """The least that it can keep."""
        try:
            _Part(self.eqn, self.needs, self.rows).fit(0)
        except _Least as found:
            return found.least
        return 0

    def write(self, operands: Sequence[Atom]) -> tuple[list[Eqn], Sequence[Atom]]:
        """Return the equations in its place, and what stands for its results."""
        if self.how is None or not isinstance(self.op, Loop):
            return [Eqn(self.op, tuple(operands), self.eqn.results, self.eqn.provenance)], (
                self.eqn.results
            )
        symbol = None
        if isinstance(self.how, Split) and self.how.rows and self.rows is not None:
            symbol = Symbol.between("s", 0, self.how.segments - 1)
            self.rows[symbol] = self.how.rows
        return split_loop(self.eqn, operands, self.how, self.op, symbol)

    def fit(self, share: Bytes) -> None:
        """Keep at most so many bytes.

        Raises
        ------
        _Least, BudgetError
        """
        op = self.eqn.op
        if self.everything <= share:
            return
        if op.effect is Effect.ORDERED:
            raise self._refused("what it draws, prints, stores or asserts happens once")
        if isinstance(op, Cond):
            self._fit_branches(op, share)
            return
        assert isinstance(op, Loop)
        why = why_whole(self.eqn, op)
        least = self.everything
        for candidate, report in self._candidates(op, share):
            self.op, self.report = candidate, report
            if candidate is not op:
                whole = held(_joint(self.eqn, candidate, self.needs, None))
                least = min(least, whole)
                if whole <= share:
                    self.report = [self._kept(whole), *report]
                    return
            if not why:
                smallest = self._split(candidate, share)
                if self.how is not None:
                    return
                least = min(least, smallest)
        if why and least == inf:
            raise self._refused(why)
        raise _Least(least)

    def _candidates(self, op: Loop, share: Bytes) -> Iterator[tuple[Loop, list[Kept]]]:
        """Yield the loop as it is, then with less and less kept by the loops in its body."""
        yield op, []
        carries, captured = active_operands(op, self.needs)
        head = 1 if op.ranged else 0
        wrt = [op.body.params[head + k] for k in (*carries, *captured)]
        budget = share
        for _ in range(3):
            budget /= 2
            try:
                body, report = _within(op.body, wrt, budget)
                report = _deeper(report)
            except _Least as found:
                if not isfinite(found.least):
                    return
                body, report = _within(op.body, wrt, found.least)
                yield replace(op, body=body), _deeper(report)
                return
            if body is not op.body:
                yield replace(op, body=body), report

    def _split(self, op: Loop, share: Bytes) -> Bytes:
        """Choose segments for a loop; return the least that it can keep so."""
        costs = _costs(self.eqn, op, self.needs)
        if not isfinite(costs.step + costs.fixed):
            return inf
        most = most_trips(self.eqn, op)
        if isinstance(op.trips, int) and is_fixed(op):
            split, least = self._scheduled(op.trips, costs, share)
            self.how = split
        elif isfinite(most):
            least = shortest(int(most), costs)
            split = least if least is not None and costs.of(least) <= share else None
            if split is not None:
                self.how = Chunks(split.length, -(-int(most) // split.length), is_checked=False)
        else:
            return self._open_ended(costs, share)
        if split is not None:
            chosen = replace(
                self._kept(costs.of(split)),
                state=int(costs.state),
                step=int(costs.step),
                lengths=split.lengths,
                rest=split.rest,
                rows=split.rows,
                extra=split.extra / split.trips,
            )
            self.report = [chosen, *self.report]
        return inf if least is None else costs.of(least)

    def _scheduled(
        self, trips: int, costs: Costs, share: Bytes
    ) -> tuple[Split | None, Split | None]:
        """Return the split for a share, and the one that keeps least."""
        nested, least = choose(trips, costs, share), smallest(trips, costs)
        if self.rows is None or (nested is not None and len(nested.lengths) == 2):
            return nested, least
        found = [s for s in (fewest(trips, costs, share), nested) if s is not None]
        smallest_found = [s for s in (tightest(trips, costs), least) if s is not None]
        return (
            min(found, key=lambda s: s.extra, default=None),
            min(smallest_found, key=costs.of, default=None),
        )

    def _open_ended(self, costs: Costs, share: Bytes) -> Bytes:
        """Choose segments for a loop that may run any number of times."""
        each = (share - costs.fixed) / 2
        length = int(each // costs.step) if costs.step else _UNLIMITED
        most = int(each // costs.state) if costs.state else _UNLIMITED
        if length > 0 and most > 0:
            self.how = Chunks(length, most)
            chosen = replace(
                self._kept(share),
                state=int(costs.state),
                step=int(costs.step),
                lengths=(most, length),
                extra=1.0,
            )
            self.report = [chosen, *self.report]
        return 2 * max(costs.state, costs.step) + costs.fixed

    def _fit_branches(self, op: Cond, share: Bytes) -> None:
        """Keep less in each branch; the memory of one is not that of another."""
        each = share / len(op.branches)
        branches, self.report, least = [], [], 0.0
        for branch in op.branches:
            wrt = [p for p, n in zip(branch.params, self.needs[1:], strict=True) if n]
            try:
                made, report = _within(branch, wrt, each)
            except _Least as found:
                least = max(least, found.least)
            else:
                branches.append(made)
                self.report += report
        if least:
            raise _Least(least * len(op.branches))
        self.op = op.with_regions(branches)

    def _kept(self, kept: Bytes) -> Kept:
        op = self.eqn.op
        trips = op.trips if isinstance(op, Loop) and isinstance(op.trips, int) else None
        return Kept(self.eqn.provenance.location, trips, self.everything, kept)

    def _refused(self, why: str) -> BudgetError:
        location = self.eqn.provenance.location
        where = f"\n\n{excerpt(location)}\n" if location is not None else ""
        return BudgetError(
            f"memory= is too little for a loop that cannot run again in segments: {why}.{where}"
        )


def _deeper(report: Sequence[Kept]) -> list[Kept]:
    return [replace(k, depth=k.depth + 1) for k in report]


def _joint(eqn: Eqn, op: Op, needs: Sequence[bool], how: Split | Chunks | None) -> Function:
    """Return an equation alone, forward and backward, without what only its results need."""
    scope: dict[Atom, Atom] = {
        a: Value(a.type, layout=a.layout) for a in eqn.operands if isinstance(a, Value)
    }
    operands = [scope.get(a, a) for a in eqn.operands]
    if how is not None and isinstance(op, Loop):
        eqns, results = split_loop(eqn, operands, how, op)
    else:
        results = [Value(r.type, layout=r.layout) for r in eqn.results]
        eqns = [Eqn(op, tuple(operands), tuple(results), eqn.provenance)]  # type: ignore[arg-type]
    params: list[Value] = [v for v in scope.values() if isinstance(v, Value)]
    wanted = {scope[a] for a, n in zip(eqn.operands, needs, strict=True) if n and a in scope}
    function = Function("measured", params, eqns, results)
    function = function.replace(dims=sorted(free_dims(function, ()), key=lambda s: s.number))
    joint = reverse(
        function,
        [k for k, p in enumerate(params) if p in wanted],
        seeds=[k for k, r in enumerate(results) if r.type.is_inexact],
        keep=[],
    )
    return Dce()(joint)


def _costs(eqn: Eqn, op: Loop, needs: Sequence[bool]) -> Costs:
    """Measure a loop with segments of two iterations."""
    joint = _joint(eqn, op, needs, Split(2, 2, 0) if is_fixed(op) else Chunks(2, 2))
    loops = [e for e in joint.eqns if isinstance(e.op, Loop)]
    forward, backward = loops[0], loops[-1]
    state = sum(per_iteration(forward).results.values())
    inner = [e for e in backward.op.regions[0].eqns if isinstance(e.op, Loop) and e.op.recompute]
    step = sum(per_iteration(inner[0]).results.values()) if inner else 0
    return Costs(state, step, held_by(backward).total - 2 * step)


__all__ = ["Kept", "checkpoint"]
