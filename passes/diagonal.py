"""Diagonal matrices are kept as their diagonals: the identity of a Jacobian is never multiplied.

The rows of an identity matrix are what a derivative is applied to. As long as it is scaled entry by
entry, it is a diagonal matrix, of which the diagonal alone is computed; in a product it scales the
rows or columns of the other matrix. Where anything else reads it, it is written out.

Before, where `e` is known to be the identity::

    def f(e: f64[3, 3], d: f64[3], W: f64[3, 4]) -> f64[3, 4]:
        a : f64[3, 3] = e * d
        b : f64[3, 4] = a @ W
        return b

After::

    def f(e: f64[3, 3], d: f64[3], W: f64[3, 4]) -> f64[3, 4]:
        c : f64[3, 1] = reshape(d, shape=(3, 1), rank=1)
        b : f64[3, 4] = W * c
        return b

An infinite factor gives no nan beside the diagonal then, where 0 times it would be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..ir.builder import inherit
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.op import Op
from ..ir.ops.elementwise import add, divide, multiply, negative, subtract
from ..ir.ops.index import IndexUpdate
from ..ir.ops.indices import Span
from ..ir.ops.matmul import MatMul
from ..ir.ops.select import Where
from ..ir.ops.shape import Full, Reshape, Transpose
from ..ir.types import ArrayType
from .deferred import Deferring

_SWAPPED = Transpose((-1, -2))
_MATRICES = MatMul()


def diagonal(function: Function, identities: Iterable[int]) -> Function:
    """Return a function that does not multiply with the parameters that are identity matrices."""
    found = _Diagonals(function)
    for k in identities:
        param = function.params[k]
        if param.type.is_static and param.type.ndim == 2:
            found.diagonals[param] = None
            found.identities.setdefault(param.type, param)
    return found.rewritten() if found.diagonals else function


class _Diagonals(Deferring):
    """A function under way.

    `diagonals` has the diagonal of each diagonal matrix, a vector or the scalar that all entries
    are; None for ones.
    """

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.diagonals: dict[Atom, Atom | None] = {}
        self.identities: dict[ArrayType, Value] = {}

    def defers(self, eqn: Eqn) -> bool:
        return self._scaled(eqn) or self._multiplied(eqn)

    def written(self, atom: Atom) -> Atom | None:
        if atom not in self.diagonals:
            return None
        entries = self.diagonals[atom]
        return self.identities[atom.type] if entries is None else self._matrix(entries, atom)

    def _matrix(self, entries: Atom, matrix: Atom) -> Atom:
        """Return a diagonal matrix: zeros, with its diagonal written into them."""
        (size, _), dtype = matrix.type.shape, matrix.type.dtype
        assert isinstance(size, int)
        flat = self.builder.one(Full((size * size,)), Literal(np.zeros((), dtype)[()]))
        flat = self.builder.one(IndexUpdate((Span(0, size, size + 1),)), flat, entries)
        return self.builder.one(Reshape((size, size), 1), flat)

    def _scaled(self, eqn: Eqn) -> bool:
        """Keep the diagonal alone of a result that is diagonal as well."""
        op, operands = eqn.op, eqn.operands
        if not any(a in self.diagonals for a in operands):
            return False
        result = eqn.result if len(eqn.results) == 1 else None
        if result is None or result.type not in self.identities:
            return False
        if op == _SWAPPED:
            self.diagonals[result] = self.diagonals[operands[0]]
            return True
        entries = self._combined(op, operands)
        if entries is not None:
            self.diagonals[result] = entries
        return entries is not None

    def _combined(self, op: Op, operands: Sequence[Atom]) -> Atom | None:
        """Return the diagonal of what an op makes of diagonal matrices, None if it is no such."""
        are_diagonal = [a in self.diagonals for a in operands]
        if op is negative or (op in (add, subtract) and all(are_diagonal)):
            return self.builder.one(op, *[self._entries(a) for a in operands])
        if op is multiply or (op is divide and not are_diagonal[1]):
            left, right = [self._along(a) for a in operands]
            if left is None or right is None:
                return None
            for known, other in zip(operands, (right, left), strict=True):
                if op is multiply and known in self.diagonals and self.diagonals[known] is None:
                    return other
            return self.builder.one(op, left, right)
        if isinstance(op, Where):
            condition = self._along(operands[0])
            sides = [a for a in operands[1:] if a in self.diagonals or _is_zero(a)]
            if condition is not None and len(sides) == 2:
                chosen = [a if _is_zero(a) else self._entries(a) for a in sides]
                return self.builder.one(op, condition, *chosen)
        return None

    def _entries(self, matrix: Atom) -> Atom:
        """Return the diagonal of a diagonal matrix."""
        found = self.diagonals[matrix]
        return Literal(np.ones((), matrix.type.dtype)[()]) if found is None else found

    def _along(self, atom: Atom) -> Atom | None:
        """Return by what an operand scales a diagonal: a scalar, a vector, or None."""
        if atom in self.diagonals:
            return self._entries(atom)
        shape = atom.type.shape
        if len(shape) < 2:
            return self.read(atom)
        if len(shape) == 2 and 1 in shape:
            size = shape[0] if shape[1] == 1 else shape[1]
            return self.builder.one(Reshape((size,), 2), self.read(atom))
        return None

    def _multiplied(self, eqn: Eqn) -> bool:
        """Scale rows or columns where a matrix is multiplied with a diagonal one."""
        if eqn.op != _MATRICES or any(a.type.ndim != 2 for a in eqn.operands):
            return False
        left, right = eqn.operands
        if left not in self.diagonals and right not in self.diagonals:
            return False
        matrix, other = (left, right) if left in self.diagonals else (right, left)
        entries, made = self.diagonals[matrix], self.read(other)
        if entries is not None:
            if matrix is left and entries.type.shape:
                entries = self.builder.one(Reshape((*entries.type.shape, 1), 1), entries)
            made = self.builder.one(multiply, made, entries)
        inherit(eqn.result, made)
        self.scope[eqn.result] = made
        return True


def _is_zero(atom: Atom) -> bool:
    return isinstance(atom, Literal) and atom.is_scalar and atom.value == 0


__all__ = ["diagonal"]
