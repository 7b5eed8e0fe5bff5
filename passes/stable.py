"""Rules for cotangents: right where NumPy over- or underflows on the way, and as short as by hand.

They are of the class STABLE, and `Simplify` applies them to equations of cotangents alone: a primal
value keeps NumPy's infs and nans, and a cotangent is finite where the derivative is.

Before, the gradient of the sum of `np.log(1 + np.exp(x))`, nan at x = 1000::

    def f(x: f64[3]) -> f64[3]:
        a : f64[3] = exp(x)
        b : f64[3] = 1.0 + a
        c : f64[3] = 1.0 / b
        d : f64[3] = c * a
        return d

After, 1 there::

    def f(x: f64[3]) -> f64[3]:
        a : f64[3] = exp(x)
        b : f64[3] = 1.0 / a
        c : f64[3] = 1.0 + b
        d : f64[3] = 1.0 / c
        return d

What they know: a factor that is divided out again goes; what was divided by `d` is multiplied by a
reciprocal that is known, so that the slope of a sigmoid s is s (1 - s); what divides both terms of
a sum divides the sum, so that the slope of a softmax y is y (ct - sum(ct y)); a choice comes after
the product, so that what was not chosen may be inf or nan; what is multiplied by 0.0 is 0.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.op import Cost, Elementwise, Op
from ..ir.ops.elementwise import add, divide, exp, multiply, negative, square, subtract
from ..ir.ops.select import Where
from ..ir.ops.shape import BroadcastTo
from ..ir.types import ArrayType
from .rewrite import Class, Rule, rule


def _sigmoid_twice(a: Any, b: Any, s: Any, u: Any) -> Any:
    return ((a / s - b / u) * s) * u


RULES: tuple[Rule, ...] = tuple(
    rule(pattern, replacement, Class.STABLE, real=True)
    for pattern, replacement in (
        (lambda x, y: (-x) * y, lambda x, y: -(x * y)),
        (lambda x, y: (-x) / y, lambda x, y: -(x / y)),
        (lambda x, y: x / (-y), lambda x, y: -(x / y)),
        (lambda x, y: -(x - y), lambda x, y: y - x),
        (lambda x, c: c * x + x, lambda x, c: (c + 1.0) * x),
        (lambda x, c, c2: c * x + c2 * x, lambda x, c, c2: (c + c2) * x),
        (lambda x, y: x - x * y, lambda x, y: x * (1.0 - y)),
        (lambda x, d: (x / d) * d, lambda x, d: x),
        (lambda x, d: (x * d) / d, lambda x, d: x),
        # The slope of w log(s) + v log(1 - s), s a sigmoid.
        (_sigmoid_twice, lambda a, b, s, u: a * u - b * s),
        (lambda a, b, d: a / d + b / d, lambda a, b, d: (a + b) / d),
        (lambda a, b, d: a / d - b / d, lambda a, b, d: (a - b) / d),
        (lambda x: np.power(x, 0.5), np.sqrt),
        (lambda x: np.power(x, 1.5), lambda x: x * np.sqrt(x)),
        (lambda x: np.power(x, 2.5), lambda x: np.square(x) * np.sqrt(x)),
        (lambda x: np.power(x, -0.5), lambda x: 1.0 / np.sqrt(x)),
        (lambda x: np.power(x, -1.5), lambda x: 1.0 / (x * np.sqrt(x))),
        (lambda x, c: x / c, lambda x, c: (1.0 / c) * x),
    )
)

_index: dict[Op, list[Rule]] = {}


def stable_rules_for(op: Op) -> list[Rule]:
    """Return the rules with `op` at their root."""
    if not _index:
        for known in RULES:
            _index.setdefault(known.root, []).append(known)
    return _index.get(op, [])


def stable(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    """Return what an equation of a cotangent is replaced by, beyond the rules; None to keep it."""
    if not isinstance(op, Elementwise | Where):
        return None
    if any(a.type.dtype.kind == "c" for a in operands):
        return None
    found: Atom | None = None
    if op is multiply:
        found = _product(builder, operands)
    elif op is divide:
        found = _quotient(builder, *operands)
    elif op is add or op is subtract:
        found = _sum(builder, op, operands)
    elif op is negative:
        found = _negated(builder, operands[0])
    elif isinstance(op, Where):
        found = _nested(builder, operands)
    return (
        None
        if found is None or found.type != op.infer(*[a.type for a in operands])[0]
        else (found,)
    )


# -- what equations say ----------------------------------------------------------------------------


def made(builder: Builder, atom: Atom) -> Eqn | None:
    """Return the equation that makes a value."""
    return builder.producers.get(atom) if isinstance(atom, Value) else None


def number(builder: Builder, atom: Atom) -> float | None:
    """Return the real number that a value is everywhere, None where it is not known to be one."""
    eqn = made(builder, atom)
    if eqn is not None and isinstance(eqn.op, BroadcastTo):
        atom = eqn.operands[0]
    if isinstance(atom, Literal) and atom.type.size == 1 and atom.type.dtype.kind == "f":
        return float(np.asarray(atom.value).reshape(()))
    return None


def filled(builder: Builder, value: float, type: ArrayType) -> Atom:
    """Return a number as a value of a type."""
    scalar = Literal(type.dtype.type(value))
    if not type.shape:
        return scalar
    return builder.one(BroadcastTo(type.shape, 0), scalar)


def _result(op: Op, *operands: Atom) -> ArrayType:
    return op.infer(*[a.type for a in operands])[0]


def _known(builder: Builder, op: Op, *operands: Atom) -> Value | None:
    """Return the result of an equation that is there already."""
    eqn = builder.find((op, operands))
    return None if eqn is None else eqn.result


def _one(type: ArrayType) -> Literal:
    return Literal(type.dtype.type(1))


def _reciprocal(builder: Builder, d: Atom) -> Atom | None:
    """Return 1 / d where that is known: computed, or what d is the reciprocal of."""
    eqn = made(builder, d)
    if eqn is not None and eqn.op is divide and eqn.operands[0] == _one(d.type):
        return eqn.operands[1]
    return _known(builder, divide, _one(d.type), d)


# -- products and quotients ------------------------------------------------------------------------


def _product(builder: Builder, operands: tuple[Atom, ...]) -> Atom | None:
    for x, y in (operands, operands[::-1]):
        if number(builder, x) == 0:
            return filled(builder, 0.0, _result(multiply, x, y))
        found = _times_exp(builder, x, y) or _times_known(builder, x, y) or _scaled(builder, x, y)
        found = found or _gathered(builder, x, y)
        if found is None:
            found = _chosen(builder, multiply, x, y)
        if found is not None:
            return found
    return None


def _times_exp(builder: Builder, x: Atom, e: Atom) -> Atom | None:
    """Return x e where x has a factor a / (1 + e), which e = inf would make 0 inf.

    It is a (1 - s) where s = 1 / (1 + e) is a value of the user's, a sigmoid, a s where he computes
    s = e / (1 + e), else a / (1 + 1 / e).
    """
    eqn = made(builder, e)
    if eqn is None or eqn.op is not exp:
        return None
    one = _one(e.type)
    both = {_known(builder, add, one, e), _known(builder, add, e, one)} - {None}
    if not both:
        return None

    def without(factor: Atom, depth: int) -> Atom | None:
        inner = made(builder, factor)
        if inner is None:
            return None
        if inner.op is divide and inner.operands[1] in both:
            a, d = inner.operands
            whole = _known(builder, divide, e, d)
            if whole is not None:
                return builder.one(multiply, a, whole)
            if a == one and not inner.provenance.is_adjoint:
                return builder.one(subtract, one, factor)
            return builder.one(divide, a, builder.one(add, one, builder.one(divide, one, e)))
        if inner.op is multiply and depth:
            for k in (1, 0):
                rest = without(inner.operands[k], depth - 1)
                if rest is not None:
                    return builder.one(multiply, inner.operands[1 - k], rest)
        if inner.op is square:
            rest = without(inner.operands[0], 0)
            return None if rest is None else builder.one(multiply, inner.operands[0], rest)
        if inner.op is negative:
            rest = without(inner.operands[0], depth)
            return None if rest is None else builder.one(negative, rest)
        return None

    return without(x, 3)


def _times_known(builder: Builder, x: Atom, y: Atom) -> Atom | None:
    """Return (a / d) y as a (y / d) where y / d is known: a softmax, from its numerator."""
    eqn = made(builder, x)
    if eqn is None or eqn.op is not divide:
        return None
    a, d = eqn.operands
    quotient = builder.find((divide, (y, d)))
    if quotient is None or quotient.provenance.is_adjoint or not eqn.provenance.is_adjoint:
        return None
    return builder.one(multiply, a, quotient.result)


def _scaled(builder: Builder, c: Atom, y: Atom) -> Atom | None:
    """Return c (c2 / d) as (c c2) / d, for constants, where the quotient is of a cotangent."""
    eqn = made(builder, y)
    if eqn is None or eqn.op is not divide or not eqn.provenance.is_adjoint:
        return None
    c2, d = eqn.operands
    if not all(isinstance(a, Literal) and a.is_scalar for a in (c, c2)):
        return None
    both = builder.one(multiply, c, c2)
    return builder.one(divide, both, d) if isinstance(both, Literal) else None


def _gathered(builder: Builder, c: Atom, y: Atom) -> Atom | None:
    """Return c ((c2 x) y) as ((c c2) x) y, for constants and quotients too."""
    eqn = made(builder, y)
    if not isinstance(c, Literal) or not c.is_scalar or eqn is None:
        return None
    if eqn.op not in (multiply, divide) or not eqn.provenance.is_adjoint:
        return None
    for k in (0, 1) if eqn.op is multiply else (0,):
        inner = made(builder, eqn.operands[k])
        if inner is None or inner.op not in (multiply, divide) or not inner.provenance.is_adjoint:
            continue
        c2, x = inner.operands
        if isinstance(c2, Literal) and c2.is_scalar:
            both = builder.one(multiply, c, c2)
            if isinstance(both, Literal):
                parts = list(eqn.operands)
                parts[k] = builder.one(inner.op, both, x)
                return builder.one(eqn.op, *parts)
    return None


def _quotient(builder: Builder, x: Atom, d: Atom) -> Atom | None:
    if number(builder, x) == 0:
        return filled(builder, 0.0, _result(divide, x, d))
    if x == d and isinstance(x, Value):
        return filled(builder, 1.0, x.type)
    inverse = _reciprocal(builder, d)
    maker = None if inverse is None else made(builder, inverse)
    is_ours = maker is not None and maker.provenance.is_adjoint
    if inverse is not None and not (isinstance(x, Literal) and x != _one(d.type) and is_ours):
        if x == _one(d.type):
            return inverse
        if builder.find((divide, (_one(d.type), d))) is not None:
            return builder.one(multiply, x, inverse)
    return _chosen(builder, divide, x, d)


# -- sums ------------------------------------------------------------------------------------------


def _sum(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> Atom | None:
    x, y = operands
    if number(builder, y) == 0:
        return x
    if number(builder, x) == 0:
        return y if op is add else builder.one(negative, y)
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


def _negated(builder: Builder, x: Atom) -> Atom | None:
    value = number(builder, x)
    if value is not None and x.type.shape:
        return filled(builder, -value or 0.0, x.type)
    eqn = made(builder, x)
    if eqn is not None and eqn.op is multiply and eqn.provenance.is_adjoint:
        first, second = eqn.operands
        if isinstance(first, Literal) and first.is_scalar:
            return builder.one(multiply, builder.one(negative, first), second)
    return None


# -- choices ---------------------------------------------------------------------------------------


def _choice(builder: Builder, atom: Atom) -> tuple[Atom, Atom | None, Atom | None] | None:
    """Return the condition and branches of a choice between a value and 0.0, which is None here."""
    eqn = made(builder, atom)
    if eqn is None or not isinstance(eqn.op, Where):
        return None
    condition, left, right = eqn.operands
    if number(builder, right) == 0:
        return condition, left, None
    return (condition, None, right) if number(builder, left) == 0 else None


def _chosen(builder: Builder, op: Elementwise, x: Atom, y: Atom) -> Atom | None:
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


def _nested(builder: Builder, operands: tuple[Atom, ...]) -> Atom | None:
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


__all__ = ["RULES", "filled", "made", "number", "stable", "stable_rules_for"]
