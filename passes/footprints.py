"""Which part of an array the equations of loops read and write, as intervals over loop indices.

An array that a loop carries has a version for each write. This follows the versions of one array
through a body and the loops in it, notes every read and write with the interval that it touches on
each axis, and proves, where it can, that no write before or after a read touches what is read. An
interval is between two symbolic integers, and a loop's index is known by its range, so that
`L[i, :j]` and a write of `L[i + 1, k]` are apart on the first axis. Nothing more than bounds of
sums of indices is used: what they do not decide counts as touching.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Dim, Size, Symbol, bounds, substitute
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.dynamic import Extent
from ..ir.ops.elementwise import add, multiply, subtract
from ..ir.ops.index import At, Index, IndexAdd, IndexUpdate, Span
from ..ir.ops.shape import Copy, Reshape

Interval = tuple[Size, Size] | None
"""The first and the last position, None for a whole axis."""


Order = tuple[tuple[int, ...], ...]


class Level(NamedTuple):
    """A loop around an access: its index symbol, and whether it counts up (None: not known)."""

    loop: Eqn
    symbol: Symbol | None
    ascends: bool | None


@dataclass
class Access:
    """One read or write: where it is (`path` and `order`) and what it touches.

    `path` are the loops around it, outermost first; `order` is its place in what is around the
    first, and in the body of each. A place in a branch is that of the branch, then that in it.
    """

    writes: bool
    part: tuple[Interval, ...] | None
    path: tuple[Level, ...]
    order: Order
    eqn: Eqn | None


@dataclass
class Tracker:
    """Follows one array: `accesses` are what was found; `is_lost` says that was not all."""

    accesses: list[Access] = field(default_factory=list)
    is_lost: bool = False

    def body(
        self,
        eqns: Sequence[Eqn],
        start: Value,
        path: tuple[Level, ...],
        order: Order,
        known: Mapping[Atom, Size],
        branch: tuple[int, ...] = (),
    ) -> set[Value]:
        """Follow the array through equations; return the values that are versions of it."""
        versions = {start}
        places: dict[Atom, Size] = dict(known)
        for number, eqn in enumerate(eqns):
            here = (*order, (*branch, number))
            place = _place(eqn, places)
            if place is not None:
                places[eqn.results[0]] = place
            if not any(a in versions for a in eqn.operands if isinstance(a, Value)):
                continue
            op = eqn.op
            if isinstance(op, IndexUpdate | IndexAdd) and eqn.operands[0] in versions:
                if any(a in versions for a in eqn.operands[1:]):
                    self.note(False, None, path, here, eqn)
                self.note(True, part_of(eqn, eqn.operands[2:], places), path, here, eqn)
                versions.add(eqn.results[0])
            elif isinstance(op, Index) and eqn.operands[0] in versions:
                self.note(False, part_of(eqn, eqn.operands[1:], places), path, here, eqn)
            elif isinstance(op, Copy):
                versions.add(eqn.results[0])
            elif isinstance(op, Loop):
                versions |= self.loop(eqn, op, versions, path, here, places)
            elif isinstance(op, Cond):
                versions |= self.cond(eqn, op, versions, path, here, places)
            else:
                self.is_lost |= isinstance(op, Reshape)  # which may be written into
                self.note(False, None, path, here, eqn)
        return versions

    def loop(
        self,
        eqn: Eqn,
        op: Loop,
        versions: set[Value],
        path: tuple[Level, ...],
        here: Order,
        places: Mapping[Atom, Size],
    ) -> set[Value]:
        """Follow the array through a loop, which carries or captures it; return its new version."""
        inner = (*path, level_of(eqn, op))
        head = 1 if op.ranged else 0
        if op.test is not None or not _keeps_names(op.body.dims[head:], op.dims):
            self.is_lost = True
        known = inside(op, eqn.operands[op.head :], inner[-1].symbol, places)
        found: set[Value] = set()
        for k, operand in enumerate(eqn.operands[op.head :]):
            if operand not in versions:
                continue
            own = self.body(op.body.eqns, op.body.params[head + k], inner, here, known)
            if k < op.carries:
                if op.body.results[k] not in own:
                    self.is_lost = True
                found.add(eqn.results[k])
            kept = [r for n, r in enumerate(op.body.results) if n != k or k >= op.carries]
            if any(r in own for r in kept):
                self.note(False, None, inner, (*here, (len(op.body.eqns),)), eqn)
        return found

    def cond(
        self,
        eqn: Eqn,
        op: Cond,
        versions: set[Value],
        path: tuple[Level, ...],
        here: Order,
        places: Mapping[Atom, Size],
    ) -> set[Value]:
        """Follow the array through branches; return the results that are its new version."""
        if not _keeps_names(op.branches[0].dims, op.dims) or eqn.operands[0] in versions:
            self.is_lost = True
        counts = [0] * len(eqn.results)
        for number, branch in enumerate(op.branches):
            known: dict[Atom, Size] = {
                p: place
                for p, a in zip(branch.params, eqn.operands[1:], strict=True)
                if (place := place_of(a, places)) is not None
            }
            found: set[Value] = set()
            for param, operand in zip(branch.params, eqn.operands[1:], strict=True):
                if operand in versions:
                    order, at = here[:-1], (*here[-1], number)
                    found |= self.body(branch.eqns, param, path, order, known, at)
            for k, result in enumerate(branch.results):
                counts[k] += result in found
        if any(n not in (0, len(op.branches)) for n in counts):
            self.is_lost = True
        return {r for r, n in zip(eqn.results, counts, strict=True) if n}

    def note(
        self,
        writes: bool,
        part: tuple[Interval, ...] | None,
        path: tuple[Level, ...],
        order: Order,
        eqn: Eqn,
    ) -> None:
        self.accesses.append(Access(writes, part, path, order, eqn))


def _keeps_names(own: Sequence[Symbol], outer: Sequence[Size]) -> bool:
    return all(d == Dim.of(s) for s, d in zip(own, outer, strict=True))


def level_of(eqn: Eqn, op: Loop) -> Level:
    """Return what is known of a loop around an access."""
    if not op.ranged or not op.body.dims:
        return Level(eqn, None, None)
    symbol = op.body.dims[0]
    ends = [int(a.value) for a in eqn.operands[:2] if isinstance(a, Literal)]
    if symbol.lower is not None and any(end < symbol.lower - 1 for end in ends):
        return Level(eqn, None, None)  # its limits are not those of the range
    step = eqn.operands[2]
    ascends = int(step.value) > 0 if isinstance(step, Literal) else None
    if ascends is not None and op.backward:
        ascends = not ascends
    return Level(eqn, symbol, ascends)


def inside(
    op: Loop, operands: Sequence[Atom], symbol: Symbol | None, places: Mapping[Atom, Size]
) -> dict[Atom, Size]:
    """Return the integers that are known in a loop's body: its index and what is passed to it."""
    head = 1 if op.ranged else 0
    known: dict[Atom, Size] = {}
    if symbol is not None:
        known[op.body.params[0]] = Dim.of(symbol)
    for k in range(op.carries, len(operands)):
        place = place_of(operands[k], places)
        if place is not None:
            known[op.body.params[head + k]] = place
    return known


def place_of(atom: Atom, places: Mapping[Atom, Size]) -> Size | None:
    """Return the integer that an atom is, where it is known over the loop indices."""
    if isinstance(atom, Literal):
        is_integer = not atom.type.shape and atom.type.dtype.kind in "iu"
        return int(atom.value) if is_integer else None
    return places.get(atom)


def _place(eqn: Eqn, places: Mapping[Atom, Size]) -> Size | None:
    if isinstance(eqn.op, Extent):
        return eqn.op.dim
    if eqn.op not in (add, subtract, multiply):
        return None
    if eqn.results[0].type.shape or eqn.results[0].type.dtype.kind not in "iu":
        return None
    left, right = (place_of(a, places) for a in eqn.operands)
    if left is None or right is None:
        return None
    if eqn.op is multiply:
        return left * right
    return left + right if eqn.op is add else left - right


def part_of(
    eqn: Eqn, positions: Sequence[Atom], places: Mapping[Atom, Size]
) -> tuple[Interval, ...] | None:
    """Return the interval that an index touches on each axis; None: it may be anything."""
    op = eqn.op
    assert isinstance(op, Index | IndexUpdate | IndexAdd)
    shape = eqn.operands[0].type.shape
    lead = len(shape) - sum(item is not None for item in op.index)
    rest = iter(positions)
    found: list[Interval] = [None] * lead
    for item in op.index:
        if item is None:
            continue
        size = shape[len(found)]
        if isinstance(item, Span):
            last = item.start + (item.length - 1) * item.step
            found.append((item.start, last) if item.step > 0 else (last, item.start))
            continue
        place = place_of(next(rest), places) if isinstance(item, At) else item
        place = None if place is None else _wrapped(place, size)
        found.append(None if place is None else (place, place))
    return tuple(found)


def _wrapped(place: Size, size: Size) -> Size | None:
    """Return a position counted from the start of its axis."""
    low, high = bounds(place)
    if low is not None and low >= 0:
        return place
    return place + size if high is not None and high < 0 else None


# ---- proofs --------------------------------------------------------------------------------------


def is_untouched(read: Access, writes: Sequence[Access], *, before: bool) -> bool:
    """Whether no write that runs before a read (or else: after it) touches what is read."""
    return not any(_may_touch(read, w, before) for w in writes)


def _may_touch(read: Access, write: Access, before: bool) -> bool:
    if read.part is None or write.part is None:
        return True
    common = 0
    while (
        common < min(len(read.path), len(write.path))
        and read.path[common].loop is write.path[common].loop
        and read.order[common] == write.order[common]
    ):
        common += 1
    first, other = read.order[common:], write.order[common:]
    levels = list(range(common))
    if (other < first) if before else (other > first):
        levels.append(common)  # in one iteration of all loops that are around both
    return any(_meet(read, write, level, before, level < common) for level in levels)


def _meet(read: Access, write: Access, level: int, before: bool, is_shared: bool) -> bool:
    """Whether they may meet where the loops outside of `level` are in one iteration.

    The write's iteration of the loop at `level`, if that `is_shared`, is an earlier or later one;
    that of the loops inside of it is any.
    """
    mine: dict[Symbol, Size] = {}
    theirs: dict[Symbol, Size] = {}
    for depth, around in enumerate(read.path):
        if around.symbol is not None:
            mine[around.symbol] = Dim.of(_instance(around.symbol, mine))
            if depth < level:
                theirs[around.symbol] = mine[around.symbol]
    for depth, around in enumerate(write.path):
        if around.symbol is None or depth < level:
            continue
        least = greatest = None
        if depth == level and is_shared and around.ascends is not None:
            if around.ascends is before:
                greatest = mine[around.symbol] - 1
            else:
                least = mine[around.symbol] + 1
        theirs[around.symbol] = Dim.of(_instance(around.symbol, theirs, least, greatest))
    assert read.part is not None
    assert write.part is not None
    for one, other in zip(read.part, write.part, strict=True):
        if one is None or other is None:
            continue
        low, high = (substitute(d, mine) for d in one)
        first, last = (substitute(d, theirs) for d in other)
        if _is_positive(first - high) or _is_positive(low - last):
            return False
    return True


def _instance(
    symbol: Symbol,
    known: Mapping[Symbol, Size],
    least: Size | None = None,
    greatest: Size | None = None,
) -> Symbol:
    """Return a symbol for the index of one iteration, with the limits that the others give it."""
    low: Size | None = symbol.lower if symbol.least is None else symbol.least
    high: Size | None = symbol.upper if symbol.greatest is None else symbol.greatest
    if least is None and low is not None:
        least = substitute(low, known)
    if greatest is None and high is not None:
        greatest = substitute(high, known)
    return Symbol.between(symbol.name, least, greatest)


def _is_positive(dim: Size) -> bool:
    low, _ = bounds(dim)
    return low is not None and low > 0


__all__ = [
    "Access",
    "Level",
    "Tracker",
    "inside",
    "is_untouched",
    "level_of",
    "part_of",
    "place_of",
]
