"""Carries that only sum up: `batch` makes the sums after the loop, of stacks.

A carry goes altogether where each of its additions is done after the loop; where some have another
form, these stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.ops.elementwise import add, multiply
from ..ir.ops.index import IndexAdd
from ..ir.ops.matmul import MatMul
from ..ir.ops.reduce import Sum
from .chain import SWAPPED
from .facts import makes_zeros, outer_vectors
from .stacks import Stacks, flat

_PRODUCT = MatMul()
_CACHED = 1 << 18
"""Bytes of a stack that stays in the cache until the product after the loop reads it."""
_CALLS = 1 << 13
"""Bytes that are written into a stack, and read again, while NumPy is called twice."""


class _Addition(NamedTuple):
    """An addition of a term to what a carry is before it."""

    result: Value
    before: Value
    term: Atom


class CarriedSums:
    """Emits the sums of one loop into `after`; `producers` are the equations before the loop.

    `gone` are the carries that the loop needs no longer, `left_out` the additions that it does not
    do, by their results, with what is read in their place.
    """

    def __init__(self, stacks: Stacks, after: Builder, producers: Mapping[Atom, Eqn]) -> None:
        self.stacks = stacks
        self.after = after
        self.producers = producers
        self.readers: dict[Atom, Eqn] = {a: e for e in stacks.op.body.eqns for a in e.operands}
        self.gone: set[int] = set()
        self.left_out: dict[Atom, Value] = {}

    def run(self) -> dict[int, Atom]:
        """Return what replaces the results of carries."""
        replaced: dict[int, Atom] = {}
        carries = range(self.stacks.op.carries)
        for k in carries:
            stack = self._scattered(k)
            if stack is not None:
                replaced[k] = stack
        chains = [(k, self._additions(k)) for k in carries]
        totals = self._totals([addition for _, chain in chains for addition in chain])
        for k, chain in chains:
            taken = [addition for addition in chain if addition.result in totals]
            if not taken:
                continue
            whole: Atom = self.stacks.eqn.results[k]
            if len(taken) == len(chain):
                self.gone.add(k)
                whole = self._initial(k)
            for addition in taken:
                self.left_out[addition.result] = addition.before
                whole = self._plus(whole, totals[addition.result])
            replaced[k] = whole
        return replaced

    def kept(self, atom: Atom) -> Atom:
        """Return what the loop reads where it read a value."""
        while atom in self.left_out:
            atom = self.left_out[atom]
        return atom

    def _initial(self, k: int) -> Atom:
        return self.stacks.eqn.operands[self.stacks.op.head + k]

    def _is_zero(self, atom: Atom) -> bool:
        return makes_zeros(self.producers.get(atom))

    def _plus(self, init: Atom, total: Atom) -> Atom:
        return total if self._is_zero(init) else self.after.one(add, init, total)

    def _is_read_once(self, atom: Atom) -> bool:
        return self.stacks.counts.get(atom) == 1

    def _scattered(self, k: int) -> Atom | None:
        """Return the stack of rows of which iteration i adds the ith to zeros, a row of them."""
        body = self.stacks.op.body
        param, after = body.params[1 + k], body.results[k]
        eqn = self.stacks.made.get(after)
        if eqn is None or not isinstance(eqn.op, IndexAdd) or eqn.operands[0] is not param:
            return None
        if not (self._is_read_once(param) and self._is_read_once(after)):
            return None
        shape = param.type.shape
        _, value, *positions = eqn.operands
        is_row = self.stacks.is_row(eqn.op.index, positions, shape)
        if not is_row or value.type.shape != shape[1:] or not self._is_zero(self._initial(k)):
            return None
        stack = self.stacks.stack(value)
        if stack is not None:
            self.gone.add(k)
            self.left_out[after] = param
        return stack

    def _additions(self, k: int) -> list[_Addition]:
        """Return the additions that lead from a carry to what it becomes, if nothing else does."""
        body = self.stacks.op.body
        param, after = body.params[1 + k], body.results[k]
        additions: list[_Addition] = []
        running = param
        while running is not after:
            eqn = self.readers.get(running)
            if eqn is None or eqn.op is not add or not self._is_read_once(running):
                return []
            first, second = eqn.operands
            term = second if first is running else first
            additions.append(_Addition(eqn.result, running, term))
            running = eqn.result
            if running.type != param.type or term.type != param.type:
                return []
        return additions if self._is_read_once(after) else []

    def _totals(self, additions: Sequence[_Addition]) -> dict[Value, Atom]:
        """Return the sums of terms over all iterations, by the results of their additions."""
        totals: dict[Value, Atom] = {}
        for total_of in (self._of_products, self._of_outer, self._of_sums):
            for result, _, term in additions:
                if result not in totals and self._is_read_once(term):
                    total = self._scaled(total_of, term)
                    if total is not None:
                        totals[result] = total
        return totals

    def _scaled(self, total_of: Callable[[Eqn], Atom | None], term: Atom) -> Atom | None:
        """Return the sum of a term over all iterations, a constant factor applied to the sum."""
        eqn = self.stacks.made.get(term)
        if eqn is None:
            return None
        factor: Atom | None = None
        if eqn.op is multiply:
            for known, inner in (eqn.operands, eqn.operands[::-1]):
                made = self.stacks.made.get(inner)
                is_constant = isinstance(known, Literal) and known.is_scalar
                if is_constant and made is not None and self._is_read_once(inner):
                    eqn, factor = made, known
                    break
        self.after.provenance = eqn.provenance
        total = total_of(eqn)
        if total is None or factor is None:
            return total
        return self.after.one(multiply, factor, total)

    # Each returns the sum over all iterations of what an equation computes, after the loop.

    def _of_products(self, eqn: Eqn) -> Atom | None:
        if eqn.op != _PRODUCT or eqn.result.type.ndim != 2:
            return None
        left = self.stacks.made.get(eqn.operands[0])
        if left is None or left.op != SWAPPED:
            return None
        factors = (left.operands[0], eqn.operands[1])
        if not all(self._stackable(a, 2) for a in factors) or not self._pays(factors, eqn.result):
            return None
        stacks = [self.stacks.stack(a) for a in factors]
        a, b = (flat(self.after, s) for s in stacks if s is not None)
        return self.after.one(_PRODUCT, self.after.one(SWAPPED, a), b)

    def _of_outer(self, eqn: Eqn) -> Atom | None:
        """Sum the outer products of two vectors, `x.reshape(n, 1) * y`."""
        factors = outer_vectors(eqn, self.stacks.made)
        if factors is None or not all(self._stackable(a, 1) for a in factors):
            return None
        a, b = (self.stacks.stack(f) for f in factors)
        assert a is not None
        assert b is not None
        return self.after.one(_PRODUCT, self.after.one(SWAPPED, a), b)

    def _of_sums(self, eqn: Eqn) -> Atom | None:
        """Sum sums over rows, of what products have stacked and of what takes less memory."""
        if not isinstance(eqn.op, Sum) or eqn.op.keepdims:
            return None
        value, outputs = eqn.operands[0], self.stacks.outputs
        if value not in outputs and self.stacks.captured_stack(value) is None:
            stacked = sum(v.type.size for v in outputs)
            small = value.type.is_static and value.type.size <= stacked
            if not small or not self._pays((value,), eqn.result):
                return None
        stack = self.stacks.stack(value)
        axes = tuple(sorted({*eqn.op.axes, -value.type.ndim - 1}))
        return None if stack is None else self.after.one(Sum(axes), stack)

    def _stackable(self, atom: Atom, ndim: int) -> bool:
        if atom.type.ndim != ndim or not atom.type.is_static:
            return False
        return atom in self.stacks.made

    def _pays(self, factors: Sequence[Atom], product: Value) -> bool:
        """Whether stacking factors takes less time than a product and an addition in the loop."""
        stacks = self.stacks
        outputs = stacks.op.body.results[stacks.op.carries :]
        added = sum(
            a.type.nbytes
            for a in factors
            if stacks.captured_stack(a) is None and a not in stacks.outputs and a not in outputs
        )
        if isinstance(stacks.trips, int) and added * stacks.trips <= _CACHED:
            return True
        return added <= 3 * product.type.nbytes + _CALLS
