"""Functions of which some parameters are zero: what is zero with them is left out.

Cotangents and tangents of what nothing depends on are such parameters. A product with one is taken
for zero, whatever the other factor is.

Before::

    def f(x: f64[3], dy: f64[3], dz: f64[3]) -> f64[3]:
        a  : f64[3] = dy * x
        b  : f64[3] = dz * 3.0
        dx : f64[3] = a + b
        return dx

After, where `dz` is zero::

    def f(x: f64[3], dy: f64[3]) -> f64[3]:
        a : f64[3] = dy * x
        return a
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from .builder import Builder
from .core import Atom, Eqn, Function, Literal
from .op import Effect
from .ops.elementwise import add, divide, multiply, negative, subtract
from .ops.matmul import MatMul
from .ops.shape import Full
from .ops.tape import TapeNew
from .types import ArrayType, is_tape


def without_zeros(function: Function, zeros: Collection[int]) -> tuple[Function, list[bool]]:
    """Return a function without the parameters at `zeros`, and which of its results are zero.

    Those are left out of the function's results.
    """
    work = _Work(function, zeros)
    for eqn in function.eqns:
        work.equation(eqn)
    left = [k for k in range(len(function.params)) if k not in zeros]
    is_zero = [r in work.zero for r in function.results]
    kept = [k for k, gone in enumerate(is_zero) if not gone]
    made = function.replace(
        params=[function.params[k] for k in left],
        param_kinds=[function.param_kinds[k] for k in left],
        eqns=work.builder.eqns,
        results=[work.atom(function.results[k]) for k in kept],
        result_kinds=[function.result_kinds[k] for k in kept],
    )
    return made, is_zero


class _Work:
    """The equations so far; `scope` says what a value has become, `zero` are values that are."""

    def __init__(self, function: Function, zeros: Collection[int]) -> None:
        self.builder = Builder()
        self.zero: set[Atom] = {function.params[k] for k in zeros}
        self.scope: dict[Atom, Atom] = {}

    def equation(self, eqn: Eqn) -> None:
        """Write an equation, unless its results are zero, or one of its operands."""
        flags = [a in self.zero for a in eqn.operands]
        if True not in flags:
            self._add(eqn)
        elif self._is_zero(eqn, flags):
            self.zero.update(eqn.results)
        elif not self._is_other(eqn, flags):
            self._add(eqn)

    def _is_zero(self, eqn: Eqn, flags: Sequence[bool]) -> bool:
        op = eqn.op
        if op.effect is not Effect.PURE or op.regions or op.updates is not None:
            return False
        if op is multiply or isinstance(op, MatMul):
            return True
        if op is divide or op.is_view:
            return flags[0]
        if op in (add, subtract, negative) or op.is_linear:
            pairs = zip(eqn.operands, flags, strict=True)
            return all(is_zero for a, is_zero in pairs if a.type.is_inexact)
        return False

    def _is_other(self, eqn: Eqn, flags: Sequence[bool]) -> bool:
        """Whether a sum is its one operand that is not zero; it takes its place then."""
        if eqn.op not in (add, subtract) or flags[0] is flags[1]:
            return False
        other = eqn.operands[0 if flags[1] else 1]
        if other.type != eqn.result.type:
            return False
        atom = self.atom(other)
        if eqn.op is subtract and flags[0]:
            self.builder.provenance = eqn.provenance
            (atom,) = self.builder.emit(negative, (atom,))
        self.scope[eqn.result] = atom
        return True

    def _add(self, eqn: Eqn) -> None:
        operands = tuple([self.atom(a, eqn) for a in eqn.operands])
        self.builder.add(Eqn(eqn.op, operands, eqn.results, eqn.provenance))

    def atom(self, atom: Atom, eqn: Eqn | None = None) -> Atom:
        """Return what a value has become, zeros where it is zero and an equation needs them."""
        if atom in self.zero and eqn is not None:
            self.builder.provenance = eqn.provenance
            return zeros_like(self.builder, atom.type)
        return self.scope.get(atom, atom)


def zeros_like(builder: Builder, type: ArrayType) -> Atom:
    """Return zeros of a type, or a tape of zeros."""
    if is_tape(type):
        return builder.one(TapeNew(type.dtype, zeros=True))
    zero = Literal(np.zeros((), type.dtype)[()])
    return builder.one(Full(type.shape), zero) if type.shape else zero


__all__ = ["without_zeros", "zeros_like"]
