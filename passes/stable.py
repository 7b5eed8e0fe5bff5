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

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Literal, Value
from ..ir.op import Elementwise, Op
from ..ir.ops.elementwise import add, divide, exp, multiply, negative, square, subtract
from ..ir.ops.select import Where
from ..ir.ops.shape import BroadcastTo, Reshape
from ..ir.types import ArrayType
from ..tracer.state import constant
from .choices import chosen, nested, sum_of_choices
from .facts import filled, made, number
from .rewrite import Class, Rule, rule


def _sigmoid_twice(a: Any, b: Any, s: Any, u: Any) -> Any:
    return ((a / s - b / u) * s) * u


RULES: tuple[Rule, ...] = tuple(
    rule(pattern, replacement, Class.STABLE, real=True)
    for pattern, replacement in (
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


def stable(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    """Return what an equation of a cotangent is replaced by, beyond the rules; None to keep it."""
    rule_of = _BY_OP.get(op) if op.__class__ is Elementwise else None
    if rule_of is None and op.__class__ is not Where:
        return None
    if rule_of is not None and rule_of is not _quotient and _is_plain(builder, operands):
        return None
    if "c" in [a.type.dtype.kind for a in operands]:
        return None
    found = nested(builder, operands) if rule_of is None else rule_of(builder, op, operands)
    return (
        None
        if found is None or found.type != op.infer(*[a.type for a in operands])[0]
        else (found,)
    )


def _is_plain(builder: Builder, operands: tuple[Atom, ...]) -> bool:
    """Whether no rule can say anything of a product, a sum or what is negated: a quick answer.

    The rules are about numbers and about what is made in one of a few ways.
    """
    producers = builder.producers
    for a in operands:
        if a.__class__ is Literal:
            return False
        eqn = producers.get(a)  # type: ignore[arg-type]
        if eqn is None:
            continue
        op = eqn.op
        if op in _SAYING if op.__class__ is Elementwise else op.__class__ in _SHOWING:
            return False
        # A product with a number in it is negated by its number, one with a small factor by that.
        if len(operands) == 1 and op is multiply:
            return False
    return True


# -- what equations say ----------------------------------------------------------------------------


def _result(op: Op, *operands: Atom) -> ArrayType:
    return op.infer(*[a.type for a in operands])[0]


def _known(builder: Builder, op: Op, *operands: Atom) -> Value | None:
    """Return the result of an equation that is there already."""
    eqn = builder.find((op, operands))
    return None if eqn is None else eqn.result


def _reciprocal(builder: Builder, d: Atom) -> Atom | None:
    """Return 1 / d where that is known: computed, or what d is the reciprocal of."""
    eqn, one = made(builder, d), constant(1, d.type.dtype)
    if eqn is not None and eqn.op is divide and eqn.operands[0] == one:
        return eqn.operands[1]
    return _known(builder, divide, one, d)


# -- products and quotients ------------------------------------------------------------------------


def _product(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> Atom | None:
    outside = _outside(builder, multiply, *operands)
    if outside is not None:
        return outside
    for x, y in (operands, operands[::-1]):
        if number(builder, x) == 0:
            return filled(builder, 0.0, _result(multiply, x, y))
        found = (
            _reshaped(builder, x, y)
            or _times_exp(builder, x, y)
            or _times_known(builder, x, y)
            or _scaled(builder, x, y)
            or _gathered(builder, x, y)
            or chosen(builder, multiply, x, y)
        )
        if found is not None:
            return found
    return None


def _is_small(atom: Atom, whole: Atom) -> bool:
    """Whether a value is broadcast to the whole, so that work on it costs little."""
    return atom.type.is_static and whole.type.is_static and atom.type.size < whole.type.size


def _outside(builder: Builder, op: Elementwise, x: Atom, y: Atom) -> Atom | None:
    """Return (-x) op y as -(x op y), and x / (-y); not where what is negated is small."""
    for k, a in enumerate((x, y)):
        eqn = made(builder, a)
        if eqn is not None and eqn.op is negative and a.type == _result(op, x, y):
            pair = (eqn.operands[0], y) if k == 0 else (x, eqn.operands[0])
            return builder.one(negative, builder.one(op, *pair))
    return None


def _reshaped(builder: Builder, x: Atom, y: Atom) -> Atom | None:
    """Return the product of two values that are reshaped alike as a product that is."""
    left, right = made(builder, x), made(builder, y)
    if left is None or right is None or left.op != right.op or not isinstance(left.op, Reshape):
        return None
    (a,), (b,) = left.operands, right.operands
    if a.type != b.type or a == b:
        return None
    return builder.one(left.op, builder.one(multiply, a, b))


def _times_exp(builder: Builder, x: Atom, e: Atom) -> Atom | None:
    """Return x e where x has a factor a / (1 + e), which e = inf would make 0 inf.

    It is a (1 - s) where s = 1 / (1 + e) is a value of the user's, a sigmoid, a s where he computes
    s = e / (1 + e), else a / (1 + 1 / e).
    """
    eqn = made(builder, e)
    if eqn is None or eqn.op is not exp:
        return None
    one = constant(1, e.type.dtype)
    both = {_known(builder, add, one, e), _known(builder, add, e, one)} - {None}
    return _without(builder, x, e, both, 3) if both else None


def _without(
    builder: Builder, factor: Atom, e: Atom, both: set[Value | None], depth: int
) -> Atom | None:
    """Return e times a factor that has an a / (1 + e) in it; `both` are the known 1 + e."""
    inner = made(builder, factor)
    if inner is None:
        return None
    if inner.op is divide and inner.operands[1] in both:
        a, d = inner.operands
        one = constant(1, e.type.dtype)
        whole = _known(builder, divide, e, d)
        if whole is not None:  # (e / d) e is what it would become
            return None if a == e else builder.one(multiply, a, whole)
        if a == one and not inner.provenance.is_adjoint:
            return builder.one(subtract, one, factor)
        return builder.one(divide, a, builder.one(add, one, builder.one(divide, one, e)))
    if inner.op is multiply and depth:
        for k in (1, 0):
            rest = _without(builder, inner.operands[k], e, both, depth - 1)
            if rest is not None:
                return builder.one(multiply, inner.operands[1 - k], rest)
    if inner.op is square:
        rest = _without(builder, inner.operands[0], e, both, 0)
        return None if rest is None else builder.one(multiply, inner.operands[0], rest)
    if inner.op is negative:
        rest = _without(builder, inner.operands[0], e, both, depth)
        return None if rest is None else builder.one(negative, rest)
    return None


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


def _quotient(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> Atom | None:
    x, d = operands
    if number(builder, x) == 0:
        return filled(builder, 0.0, _result(divide, x, d))
    if x == d and isinstance(x, Value):
        return filled(builder, 1.0, x.type)
    outside = _outside(builder, divide, x, d)
    if outside is not None:
        return outside
    inverse, one = _reciprocal(builder, d), constant(1, d.type.dtype)
    if inverse is not None:
        if x == one:
            return inverse
        maker = made(builder, inverse)
        is_ours = maker is not None and maker.provenance.is_adjoint
        is_computed = _known(builder, divide, one, d) is not None
        if is_computed and not (isinstance(x, Literal) and is_ours):
            return builder.one(multiply, x, inverse)
    return chosen(builder, divide, x, d)


# -- sums ------------------------------------------------------------------------------------------


def _sum(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> Atom | None:
    x, y = operands
    if number(builder, y) == 0:
        return x
    if number(builder, x) == 0:
        return y if op is add else builder.one(negative, y)
    return sum_of_choices(builder, op, x, y)


def _negated(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> Atom | None:
    (x,) = operands
    value = number(builder, x)
    if value is not None and x.type.shape:
        return filled(builder, -value or 0.0, x.type)
    eqn = made(builder, x)
    if eqn is not None and eqn.provenance.is_adjoint:
        first, second = eqn.operands[0], eqn.operands[-1]
        # A quotient that something else may read stays, and is negated.
        is_alone = eqn.op is divide and eqn is builder.eqns[-1]
        if isinstance(first, Literal) and first.is_scalar and (eqn.op is multiply or is_alone):
            return builder.one(eqn.op, builder.one(negative, first), second)
        for small, large in (eqn.operands, eqn.operands[::-1]) if eqn.op is multiply else ():
            if _is_small(small, x):
                return builder.one(multiply, builder.one(negative, small), large)
    return None


_BY_OP: dict[Op, Callable[[Builder, Op, tuple[Atom, ...]], Atom | None]] = {
    multiply: _product,
    divide: _quotient,
    add: _sum,
    subtract: _sum,
    negative: _negated,
}
_SAYING = frozenset({negative, exp, divide})
_SHOWING: frozenset[type[Op]] = frozenset({BroadcastTo, Reshape, Where})


__all__ = ["RULES", "stable"]
