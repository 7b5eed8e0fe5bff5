"""Choices between cotangents: made late, so that what is not chosen may be inf or nan, and once.

The gradient of `np.where(x > 0, np.sqrt(x), 0)` divides by `np.sqrt(x)`, which is nan where x < 0:
0.0 over nan would be the slope there, were the choice made first.

Before::

    def f(c: bool[3], x: f64[3], y: f64[3]) -> f64[3]:
        a : f64[3] = where(c, x, 0.0)
        b : f64[3] = a / y
        return b

After::

    def f(c: bool[3], x: f64[3], y: f64[3]) -> f64[3]:
        a : f64[3] = x / y
        b : f64[3] = where(c, a, 0.0)
        return b
"""

from __future__ import annotations

from typing import NamedTuple

from ..ir.builder import Builder
from ..ir.core import Atom, Literal
from ..ir.op import Cost, Elementwise, Op
from ..ir.ops.elementwise import add, divide, multiply, negative
from ..ir.ops.select import Where
from ..tracer.state import constant
from .facts import made, number


class _Choice(NamedTuple):
    """A choice between a value, in branch 0 or 1, and 0.0 in the other one."""

    condition: Atom
    branch: int
    value: Atom

    def of(self, builder: Builder, value: Atom, other: Atom | None = None) -> Atom:
        """Emit this choice of another value, and of `other` in place of 0.0."""
        other = constant(0, value.type.dtype) if other is None else other
        branches = (value, other) if self.branch == 0 else (other, value)
        return builder.one(Where(), self.condition, *branches)


def _choice(builder: Builder, atom: Atom) -> _Choice | None:
    eqn = made(builder, atom)
    if eqn is None or not isinstance(eqn.op, Where):
        return None
    condition, left, right = eqn.operands
    if number(builder, right) == 0:
        return _Choice(condition, 0, left)
    return _Choice(condition, 1, right) if number(builder, left) == 0 else None


def chosen(builder: Builder, op: Elementwise, x: Atom, y: Atom) -> Atom | None:
    """Return `where(c, a, 0.0) op y` as `where(c, a op y, 0.0)`.

    Done where it saves a pass, or where y may be inf or nan that was not chosen.
    """
    found = _choice(builder, x)
    if found is None:
        return None
    is_constant = isinstance(found.value, Literal) or (isinstance(y, Literal) and y.is_scalar)
    if op is multiply and not is_constant and not _is_risky(builder, y):
        return None
    return found.of(builder, builder.one(op, found.value, y))


def _is_risky(builder: Builder, y: Atom, depth: int = 2) -> bool:
    """Whether a value comes from a division or a function that may be inf or nan."""
    eqn = made(builder, y)
    if eqn is None or not isinstance(eqn.op, Elementwise):
        return False
    return eqn.op.cost >= Cost.DIVISION or (
        depth > 0 and any(_is_risky(builder, a, depth - 1) for a in eqn.operands)
    )


def nested(builder: Builder, operands: tuple[Atom, ...]) -> Atom | None:
    """Drop a choice by the same condition inside a branch."""
    condition, *branches = operands
    for k in (0, 1):
        eqn = made(builder, branches[k])
        if eqn is None:
            continue
        if isinstance(eqn.op, Where) and eqn.operands[0] == condition:
            branches[k] = eqn.operands[1 + k]
            return builder.one(Where(), condition, *branches)
        if eqn.op not in (multiply, divide, negative):
            continue
        plain = list(eqn.operands)
        for j, a in enumerate(plain):
            choice = made(builder, a)
            if choice is None or not isinstance(choice.op, Where):
                continue
            taken = choice.operands[1 + k]
            if choice.operands[0] == condition and taken.type == branches[k].type:
                plain[j] = taken
                branches[k] = builder.one(eqn.op, *plain)
                return builder.one(Where(), condition, *branches)
    return None


def sum_of_choices(builder: Builder, op: Op, x: Atom, y: Atom) -> Atom | None:
    """Return the sum or difference of two choices by one condition as one choice."""
    left, right = _choice(builder, x), _choice(builder, y)
    if left is None or right is None or left.condition != right.condition:
        return None
    if left.branch == right.branch:
        return left.of(builder, builder.one(op, left.value, right.value))
    return left.of(builder, left.value, right.value) if op is add else None


__all__ = ["chosen", "nested", "sum_of_choices"]
