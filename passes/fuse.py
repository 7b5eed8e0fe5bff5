"""Fusion: elementwise equations and the reductions of their results become a region.

In a region a part of every value can be computed from parts of the others: all are cut along one
axis. Its equations need not be neighbours; what lies between them moves in front of the region or
behind it. A large region is tiled (`passes.tiling`): it runs part by part, with what is only needed
inside in scratch memory that stays in the cache, and threads share the parts.

Before::

    def f(x: f32[8388608], y: f32[8388608]) -> f32:
        a : f32[8388608] = x * y
        b : f32[8388608] = tanh(a)
        s : f32          = sum(b, axes=(-1,))
        return s

After::

    def f(x: f32[8388608], y: f32[8388608]) -> f32:
        with fused(reads=(x, y), writes="s", tile=65536, cuts=(-1, -1), threads=True):
            a = x * y
            b = tanh(a)
            s = sum(b, axes=(-1,))
        return s
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..ir.binding import mentioned, symbols_of
from ..ir.core import Atom, Eqn, Function, Value, uses
from ..ir.dims import Dim, Size
from ..ir.machine import Machine, machine
from ..ir.op import Effect
from ..ir.ops.control import Fused
from ..ir.ops.reduce import Reduction
from .tiling import Candidate, Tiling, choose, is_long, part_bytes

PATIENCE = 24
"""How many equations may be moved behind a region."""
SIGHT = 1000
"""How many equations may be moved in front of a region, to be looked at again."""
LARGE = 1 << 16
"""Bytes of a value from which a region may be tiled, and equations are moved for it."""
PARTIAL = 4
"""How many times larger than a partial reduction a part must be: each part stores one."""
SMALL = 4
"""How many times smaller than the widest value of a region is too small to change how it is cut."""


@dataclass(frozen=True)
class Fuse:
    """Make regions of what pays to be tiled; with `exact` no sum is split into partial ones."""

    exact: bool = False
    machine: Machine | None = None
    name = "fuse"

    def __call__(self, function: Function) -> Function:
        counts = uses(function)
        found = self.machine or machine()
        out: list[Eqn] = []
        waiting = [self._inner(eqn) for eqn in reversed(function.eqns)]
        if not any(r.type.nbytes >= LARGE for eqn in waiting for r in eqn.results):
            same = tuple(reversed(waiting))
            return function if same == function.eqns else function.replace(eqns=same)
        blas = False
        while waiting:
            eqn = waiting.pop()
            region = _Region(self.exact, found)
            if not region.takes(eqn):
                out.append(eqn)
                blas = _after_blas(eqn, blas)
                continue
            taken, before, after = self._grow(region, waiting)
            waits = blas
            for inner in before:
                waits = _after_blas(inner, waits)
            made = region.close(counts, waits) if region.is_large else None
            if made is not None:
                # What stands in front has not been tried as the start of a region of its own.
                waiting += reversed([*before, *made, *region.lone, *after])
            else:
                # As it was, up to the first equation that would have moved behind.
                kept = taken.index(after[0]) if after else len(taken)
                out += [eqn, *taken[:kept]]
                waiting += reversed(taken[kept:])
        return function.replace(eqns=out)

    def _inner(self, eqn: Eqn) -> Eqn:
        op = eqn.op
        if not op.regions or isinstance(op, Fused):
            return eqn
        op = op.with_regions([self(r) for r in op.regions])
        return Eqn(op, eqn.operands, eqn.results, eqn.provenance)

    def _grow(self, region: _Region, waiting: list[Eqn]) -> tuple[list[Eqn], list[Eqn], list[Eqn]]:
        """Take equations into a region while that is possible.

        Returns all equations that were looked at, and of these the ones in front and behind.
        """
        taken: list[Eqn] = []
        before: list[Eqn] = []
        after: list[Eqn] = []
        behind: set[Value] = set()
        while waiting and len(after) < PATIENCE and len(before) < SIGHT:
            eqn = waiting[-1]
            op = eqn.op
            if op.effect is not Effect.PURE or op.binds:
                break
            waits = any(isinstance(a, Value) and a in behind for a in eqn.operands)
            if waits or not region.takes(eqn):
                waits = waits or region.feeds(eqn)
                # What writes into its operand's memory must not come before what reads it.
                may_move = not (op.regions or op.updates is not None)
                cheap = op.is_view or not any(r.type.shape for r in eqn.results)
                if not waits and may_move and (cheap or region.is_large):
                    before.append(eqn)
                elif region.is_large:
                    after.append(eqn)
                    behind.update(eqn.results)
                else:
                    break
            taken.append(waiting.pop())
        return taken, before, after


def _after_blas(eqn: Eqn, before: bool) -> bool:
    """Whether BLAS's threads may still be waiting after an equation."""
    if eqn.op.runs_blas_threads([a.type for a in eqn.operands], [r.type for r in eqn.results]):
        return True
    return before and not eqn.op.regions


@dataclass(eq=False)
class _Axis:
    """A way to cut a region: along an axis of `extent`, which is the `first` one of its seed's."""

    extent: Size
    first: int
    places: dict[Value, int] = field(default_factory=dict[Value, int])
    """The axis (negative) at which each value that the region makes is cut."""
    reads: dict[tuple[Atom, int | None], None] = field(
        default_factory=dict[tuple[Atom, int | None], None]
    )
    """What is read from outside, and along which axis it is cut."""
    cuts: list[tuple[int | None, ...]] = field(default_factory=list[tuple[int | None, ...]])
    """For each equation the axes of its operands."""
    sums: bool = False


class _Region:
    """A region that grows."""

    def __init__(self, exact: bool, machine: Machine) -> None:
        self.exact = exact
        self.machine = machine
        self.part = part_bytes(machine)
        self.eqns: list[Eqn] = []
        self.made: set[Value] = set()
        self.read: set[Atom] = set()
        self.axes: list[_Axis] = []
        self.seed: tuple[Size, ...] = ()
        self.is_large = False
        self.widest = 0
        self.lone: list[Eqn] = []
        """What was taken and is better computed behind the region, where it is read."""

    def feeds(self, eqn: Eqn) -> bool:
        return any(isinstance(a, Value) and a in self.made for a in eqn.operands)

    def takes(self, eqn: Eqn) -> bool:
        """Add an equation if the region can still be cut along some axis."""
        op = eqn.op
        if op.effect is not Effect.PURE or len(eqn.results) != 1 or op.binds:
            return False
        shape = eqn.result.type.shape
        if not self.eqns:
            if op.is_view or not (op.is_elementwise or op.is_reduction):
                return False
            self.seed = shape if op.is_elementwise else eqn.operands[0].type.shape
            axes = [_Axis(n, k) for k, n in enumerate(self.seed) if n != 1]
        elif self.feeds(eqn) if op.is_view else op.is_elementwise or op.is_reduction:
            axes = self.axes
        else:
            return False
        kept: list[tuple[_Axis, tuple[int | None, ...], int | None]] = []
        for axis in axes:
            found = self.along(axis, eqn)
            if found is not None:
                kept.append((axis, *found))
        if not kept or (self.is_large and self._spoils(eqn, [axis for axis, *_ in kept])):
            return False
        for axis, cut, place in kept:
            axis.cuts.append(cut)
            for a, at in zip(eqn.operands, cut, strict=True):
                if a not in axis.places and (isinstance(a, Value) or a.type.shape):
                    axis.reads[a, at] = None
            if place is None:
                axis.sums = True
            else:
                axis.places[eqn.result] = place
        self.axes = [axis for axis, *_ in kept]
        self.eqns.append(eqn)
        self.made.add(eqn.result)
        self.read.update(eqn.operands)
        self.widest = max(self.widest, eqn.result.type.nbytes)
        self.is_large = self.widest >= LARGE
        return True

    def _spoils(self, eqn: Eqn, kept: Sequence[_Axis]) -> bool:
        """Whether an equation leaves no axis that is worth cutting, or is small and costs one."""
        worth = [axis for axis in self.axes if self._is_worth_it(axis)]
        if not worth or worth[0] in kept:
            return False
        small = SMALL * eqn.result.type.nbytes < self.widest
        return small or not any(axis in kept for axis in worth)

    def _is_worth_it(self, axis: _Axis) -> bool:
        """Whether an axis is long, and what belongs to one of its entries fits into the cache."""
        if not is_long(axis.extent, axis.first):
            return False
        assert isinstance(axis.extent, int)
        return self.widest <= 2 * self.part * axis.extent

    def along(self, axis: _Axis, eqn: Eqn) -> tuple[tuple[int | None, ...], int | None] | None:
        """Return the axes at which operands and result are cut; None: the result is a partial sum.

        Nothing is returned where parts of the operands do not make a part of the result.
        """
        places = {
            axis.places.get(a) for a in eqn.operands if isinstance(a, Value) and a in self.made
        }
        if None in places or len(places) > 1:
            return None
        shape = (eqn.operands[0] if eqn.op.is_reduction else eqn.result).type.shape
        if places:
            (place,) = places
        elif shape == self.seed or self._broadcasts(axis, eqn, shape):
            place = axis.first - len(self.seed)
        elif axis.first == 0 and shape and shape[0] == axis.extent:
            place = -len(shape)
        else:
            return None
        assert place is not None
        if eqn.op.is_view:
            # The operand is made in the region; positions of an index are scalars.
            cut = tuple(
                [axis.places.get(a) if isinstance(a, Value) else None for a in eqn.operands]
            )
        else:
            cut = tuple(
                [
                    place if len(t) >= -place and t[place] == axis.extent else None
                    for t in [a.type.shape for a in eqn.operands]
                ]
            )
            if len(shape) < -place or shape[place] != axis.extent or cut.count(None) == len(cut):
                return None
        found = eqn.op.cut([a.type for a in eqn.operands], cut, axis.extent)
        if found is not None:
            return cut, found[1]
        op = eqn.op
        if not isinstance(op, Reduction) or place not in op.axes:
            return None
        if self.exact and op.rounds(eqn.operands[0].type.dtype):
            return None
        if self.is_large and PARTIAL * eqn.result.type.nbytes > self.part:
            return None
        return cut, None

    def _broadcasts(self, axis: _Axis, eqn: Eqn, shape: tuple[Size, ...]) -> bool:
        """Whether an equation reads what the region does, and is as long from an axis on."""
        if not self.is_large or eqn.op.is_reduction:
            return False
        last = min(len(shape), len(self.seed))
        if last < len(self.seed) - axis.first or shape[-last:] != self.seed[-last:]:
            return False
        return any(isinstance(a, Value) and a.type.shape and a in self.read for a in eqn.operands)

    # -- the end -----------------------------------------------------------------------------------

    def close(self, counts: dict[Value, int], after_blas: bool) -> Sequence[Eqn] | None:
        """Return the region as one equation and views of what it makes, None: it is not tiled."""
        count = len(self.eqns)
        self._arrange()
        inside: dict[Value, int] = {}
        for eqn in self.eqns:
            for a in eqn.operands:
                if isinstance(a, Value):
                    inside[a] = inside.get(a, 0) + 1
        outs = [e.result for e in self.eqns if counts.get(e.result, 0) > inside.get(e.result, 0)]
        if not outs:
            return None
        outs, views = self._without_views(outs)
        if len(self.eqns) < count and not self._renew():
            return None
        tiling = self._tiling(outs, after_blas)
        return None if tiling is None else [self._region(outs, tiling), *views]

    def _arrange(self) -> None:
        """Put equations together that share operands or results, so that little is alive at once.

        An elementwise equation that shares neither with any other is taken out: it is better
        computed behind the region, where it is read.
        """
        groups = _groups(self.eqns)
        left = [g[0] for g in groups if len(g) == 1 and self.eqns[g[0]].op.is_elementwise]
        if len(left) == len(groups):
            del left[0]
        self.lone = [self.eqns[k] for k in left]
        self._keep([k for group in groups for k in group if k not in left])

    def _renew(self) -> bool:
        """Find the axes again; what has been taken out may have cost some."""
        region = _Region(self.exact, self.machine)
        if not all(region.takes(eqn) for eqn in self.eqns):
            return False
        self.axes, self.widest, self.seed = region.axes, region.widest, region.seed
        return region.is_large

    def _keep(self, kept: Sequence[int]) -> None:
        """Keep some equations, in this order, and of what is read only what they read."""
        self.eqns = [self.eqns[k] for k in kept]
        for axis in self.axes:
            axis.cuts = [axis.cuts[k] for k in kept]
            read = {
                (a, at)
                for eqn, cut in zip(self.eqns, axis.cuts, strict=True)
                for a, at in zip(eqn.operands, cut, strict=True)
            }
            axis.reads = {key: None for key in axis.reads if key in read}

    def _without_views(self, outs: Sequence[Value]) -> tuple[list[Value], list[Eqn]]:
        """Take views of what the region computes behind it: they have no memory of their own."""
        makers = {e.result: e for e in self.eqns if e.op.is_view}
        found = dict.fromkeys(outs)
        views: list[Eqn] = []
        while taken := [v for v in found if v in makers]:
            for value in taken:
                del found[value]
                maker = makers.pop(value)
                views.insert(0, maker)
                base = maker.operands[0]
                assert isinstance(base, Value)
                found[base] = None
        read = set(found)
        kept: list[int] = []
        for k in range(len(self.eqns) - 1, -1, -1):
            eqn = self.eqns[k]
            if eqn.result in read or not eqn.op.is_view:
                kept.insert(0, k)
                read.update(a for a in eqn.operands if isinstance(a, Value))
        self._keep(kept)
        return list(found), views

    def _tiling(self, outs: Sequence[Value], after_blas: bool) -> Tiling[_Axis] | None:
        types = [t.type for e in self.eqns for t in (*e.operands, *e.results)]
        if not all(t.is_static and 0 not in t.shape for t in types):
            return None
        if any(e.result.layout is not None for e in self.eqns):
            return None
        widest = max(e.result.type.nbytes for e in self.eqns)
        candidates: list[Candidate[_Axis]] = []
        for axis in self.axes:
            assert isinstance(axis.extent, int)
            row = -(-widest // axis.extent)
            candidates.append(Candidate(axis, axis.extent, row, axis.sums, axis.first))
        reads = {a for a, _ in self.axes[0].reads}
        outside = sum(v.type.nbytes for v in (*reads, *outs))
        return choose(self.eqns, outside, candidates, self.machine, after_blas)

    def _region(self, outs: Sequence[Value], tiling: Tiling[_Axis]) -> Eqn:
        """Return the equation that holds the region."""
        axis = tiling.axis
        params: dict[tuple[Atom, int | None], Value] = {}
        for key in axis.reads:
            name = key[0] if isinstance(key[0], Value) else Value(key[0].type)
            params[key] = Value(name.type, name.hint, name.cotangent_of, name.layout)
        scope: dict[Atom, Atom] = {}
        body: list[Eqn] = []
        for eqn, cut in zip(self.eqns, axis.cuts, strict=True):
            operands: list[Atom] = []
            for a, at in zip(eqn.operands, cut, strict=True):
                known = scope.get(a)
                operands.append(params.get((a, at), a) if known is None else known)
            old = eqn.result
            result = Value(old.type, old.hint, old.cotangent_of, old.layout)
            scope[old] = result
            body.append(Eqn(eqn.op, tuple(operands), (result,), eqn.provenance))
        free = {s for e in body for s in mentioned(e)}
        free |= {s for p in params.values() for s in symbols_of(p.type)}
        dims = sorted(free, key=lambda s: s.number)
        results = [scope[o] for o in outs]
        region = Function("region", list(params.values()), body, results, dims=dims)
        cuts = tuple([at for _, at in params])
        fused = Fused(region, tuple(map(Dim.of, dims)), tiling.tile, cuts, tiling.threads)
        read = tuple([atom for atom, _ in params])
        return Eqn(fused, read, tuple(outs), self.eqns[0].provenance)


def _groups(eqns: Sequence[Eqn]) -> list[list[int]]:
    """Return the numbers of equations by what they share: results, and operands with axes."""
    leader = list(range(len(eqns)))

    def first(k: int) -> int:
        while leader[k] != k:
            leader[k] = k = leader[leader[k]]
        return k

    made = {r for eqn in eqns for r in eqn.results}
    owner: dict[Value, int] = {}
    for k, eqn in enumerate(eqns):
        for a in (*eqn.operands, *eqn.results):
            if isinstance(a, Value) and (a.type.shape or a in made):
                low, high = sorted((first(k), first(owner.setdefault(a, k))))
                leader[high] = low
    groups: dict[int, list[int]] = {}
    for k in range(len(eqns)):
        groups.setdefault(first(k), []).append(k)
    return list(groups.values())
