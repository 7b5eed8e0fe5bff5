"""Tiling: whether a region runs part by part, along which axis, in parts of what size.

A part is small enough for its scratch to stay in the second-level cache, and large enough that
Python's cost for each call is small beside the work, also where two threads take turns at the
interpreter: measured on arrays of 2**20 and 2**23 entries, parts of 128 to 512 KiB are fastest on
one thread and on two; of 32 KiB they are slower on two threads than on one.

The model estimates the time of a region run whole and run in parts. Its constants are nanoseconds
on one machine; only their ratios matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.dims import Dim, Size, Symbol
from ..ir.layout import splits_last_axis
from ..ir.machine import Machine
from ..ir.ops.control import Fused
from ..ir.ops.reduce import Reduction
from ..ir.plan import Part, Parts
from ..ir.types import ArrayType

CACHED = 0.01
"""Nanoseconds for a byte in a cache: `multiply` of float64 takes 0.25 for 24 bytes."""
MEMORY = 0.025
"""Nanoseconds for a byte in memory: the same `multiply` takes 0.64."""
WORK = 0.0075
"""Nanoseconds for a byte and unit of an op's cost: `exp` takes 0.8 to 1.2 for 8 bytes, cost 20."""
CALL = 500.0
"""Nanoseconds for one call of a ufunc and the slice of an operand."""
SHORT_LOOP = 10.0
"""Nanoseconds between two inner loops: `multiply` of (5000, 16, 8) and (5000, 16, 1), 0.8 ms."""
HAND_OVER = 40_000.0
"""Nanoseconds until another thread has taken up its parts, and is waited for."""
GAIN = 0.85
"""Parts must promise this much of the time at most."""
NARROW = 64
"""Entries of an axis that lies behind others are taken in parts of so many at least.

A row of a part should be a run of memory; with one entry, NumPy would sum the axes in front of it
in another order.
"""
FEW = 8
"""Up to so many parts for each core, every core gets as many."""


A = TypeVar("A")


@dataclass(frozen=True)
class Tiling(Generic[A]):
    """How a region is cut: see `ir.ops.control.Fused`."""

    axis: A
    tile: int
    threads: bool


@dataclass(frozen=True)
class Candidate(Generic[A]):
    """One axis along which a region can be cut.

    `extent` entries, `row` bytes of the widest value for each entry, and whether something is
    summed along it; `position` counts the axes in front of it.
    """

    axis: A
    extent: int
    row: int
    sums: bool
    position: int


def part_bytes(machine: Machine) -> int:
    """Return the bytes that a part of a value should have."""
    return machine.l2 // 4


def is_long(extent: Size, position: int) -> bool:
    """Whether an axis with `position` axes in front of it has enough entries for several parts."""
    return isinstance(extent, int) and extent >= (2 if position == 0 else 2 * NARROW)


def choose(
    eqns: Sequence[Eqn],
    outside: int,
    candidates: Sequence[Candidate[A]],
    machine: Machine,
    after_blas: bool,
) -> Tiling[A] | None:
    """Return the best way to cut a region, None where it should run whole.

    `outside` are the bytes of what it reads from and writes to memory.
    """
    target = part_bytes(machine)
    wide = [c for c in candidates if is_long(c.extent, c.position)]
    fitting = [c for c in wide if c.row <= target and c.extent * c.row >= 2 * target]
    if not fitting:
        fitting = [c for c in wide if c.extent >= 2 * machine.cores and c.row > target]
    if not fitting:
        return None
    best = min(fitting, key=lambda c: (c.position, c.sums))
    tile = _rows(best, target, machine.cores)
    parts = -(-best.extent // tile)
    cached, memory = _times(eqns, outside, machine)
    whole = memory + CALL * len(eqns)
    split = cached + CALL * (len(eqns) + 1) * parts
    both = split / min(machine.cores, parts) * 1.1 + HAND_OVER
    threads = machine.cores > 1 and both < split and not (after_blas and split < machine.blas_wait)
    if min(split, both if threads else split) > GAIN * whole:
        return None
    return Tiling(best.axis, tile, threads)


def _rows(candidate: Candidate[A], target: int, cores: int) -> int:
    """Return entries in a part: as many parts for each core, where there are few."""
    parts = max(1, -(-candidate.extent * candidate.row // target))
    if parts < FEW * cores:
        parts = -(-parts // cores) * cores
    rows = max(1 if candidate.position == 0 else NARROW, -(-candidate.extent // parts))
    if rows >= 64:  # whole cache lines, so that no two threads write into one
        rows = -(-rows // 64) * 64
    if rows > 1 and candidate.extent % rows == 1:
        # A part of one entry would let NumPy sum the other axes in another order.
        rows += 1
    return rows


def _times(eqns: Sequence[Eqn], outside: int, machine: Machine) -> tuple[float, float]:
    """Return nanoseconds with all temporaries in a cache, and with them where they come to be."""
    touched, least = 0.0, 0.0
    for eqn in eqns:
        types = [a.type for a in (*eqn.operands, *eqn.results)]
        nbytes = sum(t.nbytes for t in types)
        widest = max(t.nbytes for t in types)
        work = WORK * int(eqn.op.cost) * widest + SHORT_LOOP * _short_loops(types)
        least += max(CACHED * nbytes, work)
        touched += max(MEMORY * nbytes, work)
    if outside <= machine.l3 // 2:
        return least, least
    return max(least, MEMORY * outside), touched


def _short_loops(types: Sequence[ArrayType]) -> int:
    """Return how often NumPy's inner loop runs, where it cannot merge the last axis with others."""
    whole = max(types, key=lambda t: t.nbytes)
    if whole.ndim < 2 or not whole.is_static or not any(splits_last_axis(t, whole) for t in types):
        return 0
    last = whole.shape[-1]
    assert isinstance(last, int)
    return whole.size // max(last, 1)


def parts_of(op: Fused) -> Parts:
    """Return what a tiled region computes for each part."""
    size = Symbol("m", 1, op.tile)
    extent = 0
    scope: dict[Atom, Atom] = {}
    axes: dict[Atom, int | None] = {}
    reductions: dict[Atom, Reduction] = {}
    params: list[Value] = []
    for param, axis in zip(op.body.params, op.cuts, strict=True):
        axes[param] = axis
        if axis is not None:
            found = param.type.shape[axis]
            assert isinstance(found, int)
            extent = found
        params.append(_renewed(param, _resized(param.type, axis, size)))
        scope[param] = params[-1]
    eqns: list[Eqn] = []
    for eqn in op.body.eqns:
        cut = [axes.get(a) for a in eqn.operands]
        types = [a.type for a in eqn.operands]
        found_op = eqn.op.cut(types, cut, Dim.of(size))
        if found_op is None:
            assert isinstance(eqn.op, Reduction)
            reductions[eqn.result] = eqn.op
        inner, axis = found_op or (eqn.op, None)
        axes[eqn.result] = axis
        result = _renewed(eqn.result, _resized(eqn.result.type, axis, size))
        scope[eqn.result] = result
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        eqns.append(Eqn(inner, operands, (result,), eqn.provenance))
    results = [scope[r] for r in op.body.results]
    body = Function("part", params, eqns, results, dims=[size, *op.body.dims])
    made = tuple([Part(axes[r], reductions.get(r)) for r in op.body.results])
    return Parts(body, size, extent, op.tile, made)


def _renewed(value: Value, type: ArrayType) -> Value:
    return Value(type, value.hint, value.cotangent_of)


def _resized(type: ArrayType, axis: int | None, size: Symbol) -> ArrayType:
    if axis is None:
        return type
    shape = [*type.shape]
    shape[axis] = Dim.of(size)
    return type.with_shape(shape)


__all__ = ["Candidate", "Tiling", "choose", "is_long", "part_bytes", "parts_of"]
