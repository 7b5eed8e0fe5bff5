"""Chains of matrix products in the order that takes the fewest operations.

`A @ B @ v` is a product of matrices as NumPy reads it, and two of a matrix and a vector from the
right. Chains are as long as they can be: through transposes, and through outer products `u[:, None]
* v`, which reverse mode makes. What is read elsewhere too is not taken apart. The order is found by
the dynamic programme of matrix chain multiplication. The transpose of a product is the product of
the transposes, the other way round, which lies in memory in C order.

Before::

    def f(A: f64[50, 60], B: f64[60, 70], v: f64[70]) -> f64[50]:
        p : f64[50, 70] = A @ B
        y : f64[50]     = p @ v
        return y

After::

    def f(A: f64[50, 60], B: f64[60, 70], v: f64[70]) -> f64[50]:
        t : f64[60] = B @ v
        y : f64[50] = A @ t
        return y
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Provenance, uses, walk
from ..ir.ops.elementwise import multiply
from ..ir.ops.matmul import MatMul
from ..ir.ops.shape import Reshape, Transpose
from .facts import outer_vectors
from .order import leaving, rebuilt

SWAPPED = Transpose((-1, -2))
CLEARLY = 0.9
"""Another order is taken where it needs at most this part of the operations."""
LONGEST = 30
"""Products in a chain; longer ones are cut, as the search takes the cube of the length."""


class Leaf(NamedTuple):
    """A factor: a matrix, or with `is_flipped` its transpose; a column, or a row."""

    atom: Atom
    is_flipped: bool
    reader: Provenance

    def flipped(self) -> Leaf:
        """Return the transpose."""
        return self._replace(is_flipped=not self.is_flipped)

    def sides(self) -> tuple[Side, Side]:
        """Return its rows and columns."""
        shape = self.atom.type.shape
        sizes = [Side(d if isinstance(d, int) else 1, False) for d in shape]
        first, second = sizes if len(sizes) == 2 else (*sizes, Side(1, True))
        return (second, first) if self.is_flipped else (first, second)


class Factors(NamedTuple):
    """A chain: its leaves, where each product between two of them comes from, what it takes now.

    `largest` is the size of the largest value in it as it stands.
    """

    leaves: list[Leaf]
    joints: list[Provenance]
    flops: int
    largest: int


class Side(NamedTuple):
    """A boundary of a chain: its size, and whether it is the axis that a vector lacks."""

    size: int
    is_missing: bool


@dataclass(frozen=True)
class Chain:
    """Reorder the products of chains."""

    name = "chain"

    def __call__(self, function: Function) -> Function:
        if not any(map(_is_product, walk(function))):
            return function
        return _Rewriter(self, function).run()


def _is_product(eqn: Eqn) -> bool:
    op = eqn.op
    return (
        isinstance(op, MatMul)
        and [a.type.ndim for a in eqn.operands] == [op.left, op.right]
        and eqn.operands[0].type.dtype.char in "fdFD"
        and all(a.type.is_static and a.type.size for a in eqn.operands)
    )


def _is_swap(eqn: Eqn) -> bool:
    return eqn.op == SWAPPED and eqn.result.type.ndim == 2


class _Rewriter:
    """Rewrites the products of one function."""

    def __init__(self, step: Chain, function: Function) -> None:
        self.step = step
        self.function = function
        self.producers: dict[Atom, Eqn] = {r: e for e in function.eqns for r in e.results}
        self.counts = uses(function)
        self.plans: dict[Eqn, _Plan] = {}

    def run(self) -> Function:
        """Return the function with better orders, itself where there are none."""
        absorbed: set[Eqn] = set()
        swaps = self._swaps()
        for eqn in reversed(self.function.eqns):
            if eqn in absorbed or not (_is_product(eqn) or eqn in swaps):
                continue
            inside: list[Eqn] = []
            found = self._factors_of(eqn, False, inside)
            absorbed.update(inside)
            if len(found.leaves) < 3 and eqn not in swaps:
                continue
            plan = _Plan(found)
            if plan.flops <= (found.flops if eqn in swaps else CLEARLY * found.flops):
                self.plans[eqn] = plan
        if not self.plans and not any(e.op.regions for e in self.function.eqns):
            return self.function

        def replace(builder: Builder, eqn: Eqn, scope: dict[Atom, Atom]) -> tuple[Atom, ...] | None:
            plan = self.plans.get(eqn)
            return None if plan is None else (plan.emit(builder, scope),)

        return rebuilt(self.function, self.step, replace)

    def _swaps(self) -> set[Eqn]:
        """Return the transposes of products that are read by other than products."""
        kept = leaving(self.function)
        found: set[Eqn] = set()
        for eqn in self.function.eqns:
            if isinstance(eqn.op, MatMul) or eqn.op == SWAPPED:
                continue
            for operand in eqn.operands:
                swap = self.producers.get(operand)
                if swap is None or not _is_swap(swap) or operand in kept:
                    continue
                product = self.producers.get(swap.operands[0])
                if product is not None and _is_product(product) and self._is_read_once(product):
                    found.add(swap)
        return found

    def _is_read_once(self, eqn: Eqn) -> bool:
        return self.counts.get(eqn.results[0]) == 1

    # Each returns the factors of a value as a matrix (a vector as a column), or with `flip` of its
    # transpose; `reader` is where the value is read.

    def _factors(self, atom: Atom, flip: bool, inside: list[Eqn], reader: Provenance) -> Factors:
        eqn = self.producers.get(atom)
        if eqn is not None and len(inside) < LONGEST:
            through = _is_product(eqn) and self._is_read_once(eqn)
            if _is_swap(eqn):
                product = self.producers.get(eqn.operands[0])
                through = self._is_read_once(eqn) or product is None or not _is_product(product)
            if through or _outer(eqn, self.producers) is not None:
                return self._factors_of(eqn, flip, inside)
        return Factors([Leaf(atom, flip, reader)], [], 0, atom.type.size)

    def _factors_of(self, eqn: Eqn, flip: bool, inside: list[Eqn]) -> Factors:
        inside.append(eqn)
        reader = eqn.provenance
        if _is_swap(eqn):
            return self._factors(eqn.operands[0], not flip, inside, reader)
        outer = _outer(eqn, self.producers)
        result = eqn.result.type
        if outer is not None:
            (a, b), flops = outer, result.size if self._is_read_once(eqn) else 0
            turned = False, True
        else:
            a, b = eqn.operands
            flops = eqn.op.flops([a.type, b.type], [result])
            turned = a.type.ndim == 1, False
            if result.ndim == 1:  # it is a row as it stands, or a column
                flip = flip != (a.type.ndim == 1)
        left = self._factors(a, turned[0], inside, reader)
        right = self._factors(b, turned[1], inside, reader)
        leaves = [*left.leaves, *right.leaves]
        joints = [*left.joints, reader, *right.joints]
        if flip:
            leaves = [leaf.flipped() for leaf in reversed(leaves)]
            joints.reverse()
        largest = max(left.largest, right.largest, result.size)
        return Factors(leaves, joints, left.flops + flops + right.flops, largest)


def _outer(eqn: Eqn, producers: Mapping[Atom, Eqn]) -> tuple[Atom, Atom] | None:
    """Return the vectors of an outer product that may be part of a chain, else None."""
    found = outer_vectors(eqn, producers)
    if found is None:
        return None
    type = eqn.result.type
    is_plain = type.is_static and type.size and type.dtype.char in "fdFD"
    return found if is_plain else None


class _Plan:
    """The cheapest order of a chain, by dynamic programming over its parts."""

    def __init__(self, chain: Factors) -> None:
        self.chain = chain
        leaves = chain.leaves
        pairs = [leaf.sides() for leaf in leaves]
        self.sides = [pairs[0][0], *[last for _, last in pairs]]
        self.factor = 4 if leaves[0].atom.type.dtype.kind == "c" else 1
        self.best: dict[tuple[int, int], tuple[int, int]] = {
            (k, k + 1): (0, k) for k in range(len(leaves))
        }
        count = len(leaves)
        for length in range(2, count + 1):
            for i in range(count - length + 1):
                j = i + length
                if self.sides[i].size * self.sides[j].size > chain.largest:
                    continue
                found = [
                    (self.best[i, k][0] + self.best[k, j][0] + self._work(i, k, j), k)
                    for k in range(i + 1, j)
                    if (i, k) in self.best and (k, j) in self.best
                ]
                if found:
                    self.best[i, j] = min(found)
        self.flops = self.best[0, count][0]

    def _work(self, i: int, k: int, j: int) -> int:
        rows, inner, columns = (self.sides[n] for n in (i, k, j))
        if inner.is_missing:
            return rows.size * columns.size
        return 2 * self.factor * rows.size * inner.size * columns.size

    def emit(self, builder: Builder, scope: Mapping[Atom, Atom]) -> Atom:
        """Emit the products; `scope` holds what the leaves are by now."""

        def value(i: int, j: int) -> Atom:
            if j == i + 1:
                atom, is_flipped, builder.provenance = self.chain.leaves[i]
                atom = scope.get(atom, atom)
                return builder.one(SWAPPED, atom) if is_flipped and atom.type.ndim == 2 else atom
            k = self.best[i, j][1]
            left, right = value(i, k), value(k, j)
            builder.provenance = self.chain.joints[k - 1]
            rows, inner, columns = (self.sides[n].is_missing for n in (i, k, j))
            if not inner:
                return builder.one(MatMul(2 - rows, 2 - columns), left, right)
            if not rows and not columns:
                left = builder.one(Reshape((self.sides[i].size, 1), 1), left)
            return builder.one(multiply, left, right)

        return value(0, len(self.chain.leaves))
