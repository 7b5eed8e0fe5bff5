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

from ..ir.builder import Builder
from ..ir.core import Atom, Literal
from ..ir.op import Cost, Elementwise, Op
from ..ir.ops.elementwise import add, divide, multiply, negative
from ..ir.ops.select import Where
from .facts import made, number


def _choice(builder: Builder, atom: Atom) -> tuple[Atom, Atom | None, Atom | None] | None:
    """Return the condition and branches of a choice between a value and 0.0, which is None here."""
    eqn = made(builder, atom)
    if eqn is None or not isinstance(eqn.op, Where):
        return None
    condition, left, right = eqn.operands
    if number(builder, right) == 0:
        return condition, left, None
    return (condition, None, right) if number(builder, left) == 0 else None


def chosen(builder: Builder, op: Elementwise, x: Atom, y: Atom) -> Atom | None:
    """Return `where(c, a, 0.0) op y` as `where(c, a op y, 0.0)`.

    Done where it saves a pass, or where y may be inf or nan that was not chosen.
    """
    found = _choice(builder, x)
    if found is None:
        return None
    condition, left, right = found
    kept = left if left is not None else right
    assert kept is not None
    is_constant = isinstance(kept, Literal) or (isinstance(y, Literal) and y.is_scalar)
    if op is multiply and not is_constant and not _is_risky(builder, y):
        return None
    value = builder.one(op, kept, y)
    zero = Literal(value.type.dtype.type(0))
    parts = (value, zero) if left is not None else (zero, value)
    return builder.one(Where(), condition, *parts)


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
    if left is not None and right is not None and left[0] == right[0]:
        for k in (1, 2):
            a, b = left[k], right[k]
            if a is not None and b is not None:
                both = builder.one(op, a, b)
                zero = Literal(both.type.dtype.type(0))
                return builder.one(Where(), left[0], *((both, zero) if k == 1 else (zero, both)))
    if op is add and left is not None and right is not None and left[0] == right[0]:
        if left[1] is not None and right[2] is not None:
            return builder.one(Where(), left[0], left[1], right[2])
        if left[2] is not None and right[1] is not None:
            return builder.one(Where(), left[0], right[1], left[2])
    return None


__all__ = ["chosen", "nested", "sum_of_choices"]
