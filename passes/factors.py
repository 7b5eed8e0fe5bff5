"""Factors that vary along fewer axes than a matrix are joined before they meet it.

A derivative of all rows of an identity matrix scales a matrix again and again, by what the
elementwise operations of the function have for derivatives: vectors, each of which the matrix would
be read and written for. As long as it is scaled, selected from or added to another multiple of the
same matrix, the vectors alone are worked on. Where anything else reads it, one product is taken.

Before::

    def f(x: f64[100, 1000], u: f64[1000], c: bool[1000], v: f64[1000]) -> f64[100, 1000]:
        a : f64[100, 1000] = x * u
        b : f64[100, 1000] = x - a
        d : f64[100, 1000] = where(c, 0.0, b)
        e : f64[100, 1000] = d * v
        return e

After::

    def f(x: f64[100, 1000], u: f64[1000], c: bool[1000], v: f64[1000]) -> f64[100, 1000]:
        a : f64[1000]       = 1.0 - u
        d : f64[1000]       = a * v
        b : f64[1000]       = 0.0 * v
        g : f64[100, 1000]  = x * d
        e : f64[100, 1000]  = where(c, b, g)
        return e

What is selected stays selected: an infinite entry of the matrix that was left out gives no nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from ..ir.core import Atom, Eqn, Function, Literal, Provenance
from ..ir.op import broadcast
from ..ir.ops.elementwise import add, divide, multiply, negative, subtract
from ..ir.ops.select import Where
from .deferred import Deferring


class Scaled(NamedTuple):
    """`base * factor`, without a factor the base itself, and `other` where a condition selects it.

    `other` is read where `condition` is equal to `selects`.
    """

    base: Atom
    factor: Atom | None = None
    condition: Atom | None = None
    other: Atom | None = None
    selects: bool = True


def joined(function: Function) -> Function:
    """Return a function that works on factors before it multiplies a matrix with them."""
    return _Factors(function).rewritten()


class _Factors(Deferring):
    """A function under way; `known` has what is not written out as long as nothing reads it."""

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.known: dict[Atom, Scaled] = {}
        self.origins: dict[Atom, Provenance] = {}

    def defers(self, eqn: Eqn) -> bool:
        found = self._scaled(eqn)
        if found is None:
            return False
        self.known[eqn.result] = found
        self.origins[eqn.result] = eqn.provenance
        return True

    def written(self, atom: Atom) -> Atom | None:
        if atom not in self.known:
            return None
        base, factor, condition, other, selects = self.known[atom]
        reader, self.builder.provenance = self.builder.provenance, self.origins[atom]
        made = base if factor is None else self.builder.one(multiply, base, factor)
        if condition is not None and other is not None:
            sides = (other, made) if selects else (made, other)
            made = self.builder.one(Where(), condition, *sides)
        self.builder.provenance = reader
        return made

    def _scaled(self, eqn: Eqn) -> Scaled | None:
        """Return a result as a multiple of a matrix, None where it is none."""
        if len(eqn.results) != 1:
            return None
        type, op, operands = eqn.result.type, eqn.op, eqn.operands
        if type.dtype.char not in "fd" or not type.is_static or type.ndim < 2:
            return None
        if op is multiply:
            for large, small in (operands, operands[::-1]):
                if large.type == type and self._is_small(eqn, large, small):
                    return self._times(self._of(large), small)
        elif op is divide and self._is_small(eqn, *operands) and operands[0].type == type:
            return self._over(self._of(operands[0]), operands[1])
        elif op is negative and operands[0] in self.known:
            minus = Literal(np.asarray(-1, type.dtype)[()])
            return self._times(self._of(operands[0]), minus)
        elif op in (add, subtract):
            return self._sum(eqn)
        elif isinstance(op, Where):
            return self._selected(eqn)
        return None

    def _of(self, atom: Atom) -> Scaled:
        return self.known[atom] if atom in self.known else Scaled(self.scope.get(atom, atom))

    def _is_small(self, eqn: Eqn, large: Atom, small: Atom) -> bool:
        """Whether an operand together with the factors of another is at most half of the result."""
        scaled = self._of(large)
        found = [small, scaled.factor, scaled.condition]
        return _fits(eqn, [a for a in found if a is not None])

    def _times(self, scaled: Scaled, small: Atom) -> Scaled:
        small, one = self.read(small), self.builder.one
        factor = small if scaled.factor is None else one(multiply, scaled.factor, small)
        other = None if scaled.other is None else one(multiply, scaled.other, small)
        return scaled._replace(factor=factor, other=other)

    def _over(self, scaled: Scaled, small: Atom) -> Scaled | None:
        if scaled.factor is None:  # x / s and x * (1 / s) round differently
            return None
        small, one = self.read(small), self.builder.one
        other = None if scaled.other is None else one(divide, scaled.other, small)
        return scaled._replace(factor=one(divide, scaled.factor, small), other=other)

    def _sum(self, eqn: Eqn) -> Scaled | None:
        """Add two multiples of one matrix."""
        left, right = (self._of(a) for a in eqn.operands)
        if left.base is not right.base or left.base.type != eqn.result.type:
            return None
        if left.condition is not None or right.condition is not None:
            return None
        factors = [a for a in (left.factor, right.factor) if a is not None]
        if not factors or not _fits(eqn, factors):
            return None
        one = Literal(np.ones((), eqn.result.type.dtype)[()])
        pair = [one if a is None else a for a in (left.factor, right.factor)]
        return Scaled(left.base, self.builder.one(eqn.op, *pair))

    def _selected(self, eqn: Eqn) -> Scaled | None:
        """Select between a multiple of a matrix and something small."""
        condition, *sides = eqn.operands
        for k in (0, 1):
            scaled = self._of(sides[1 - k])
            if sides[1 - k] not in self.known or scaled.condition is not None:
                continue
            parts = [condition, sides[k], *([] if scaled.factor is None else [scaled.factor])]
            if sides[k].type.dtype == eqn.result.type.dtype and _fits(eqn, parts):
                return scaled._replace(
                    condition=self.read(condition), other=self.read(sides[k]), selects=k == 0
                )
        return None


def _fits(eqn: Eqn, parts: Sequence[Atom]) -> bool:
    """Whether values broadcast to at most half of the result."""
    shapes = [a.type.shape for a in parts]
    if not all(isinstance(d, int) for shape in shapes for d in shape):
        return False
    together = prod(d for d in broadcast(shapes) if isinstance(d, int))
    return 0 < 2 * together <= eqn.result.type.size


__all__ = ["joined"]
