"""Where Python's numbers raise and NumPy's warn: `1.0 / 0.0`, `0.0 ** -1`, `math.sqrt(-1.0)`.

The check is a `require` before the operation, in the program: its values are known only then.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Literal
from ..ir.op import ELEMENTWISE
from ..ir.ops.check import Require

_DIVISIONS: dict[np.ufunc, Callable[[Any, Any], Any]] = {
    np.divide: operator.truediv, np.floor_divide: operator.floordiv, np.remainder: operator.mod
}  # fmt: skip
_SAMPLES: dict[str, type] = {"f": float, "c": complex}
CHECKED = frozenset((*_DIVISIONS, np.power))
"""The operators that raise for some of Python's numbers."""


def checked(builder: Builder, ufunc: np.ufunc, atoms: Sequence[Atom]) -> list[Atom]:
    """Return the operands of an operator on Python's numbers, after the checks that it needs.

    Raises
    ------
    ZeroDivisionError
        For a divisor that is zero, and known to be while tracing.
    """
    first, second = atoms
    if ufunc is np.power:
        return [_base(builder, first, second), second]
    divide = _DIVISIONS[ufunc]
    of = _SAMPLES.get(second.type.dtype.kind, int)
    if isinstance(second, Literal):
        if not second.value:
            divide(of(1), of(0))
        return [first, second]
    try:
        message = str(divide(of(1), of(0)))
    except ZeroDivisionError as error:
        message = str(error)
    except TypeError:  # there is no such operator of complex numbers
        return [first, second]
    holds = _ask(builder, np.not_equal, second, 0)
    return [first, builder.one(Require("ZeroDivisionError", message), second, holds)]


def _base(builder: Builder, base: Atom, exponent: Atom) -> Atom:
    """Return the base of a power, checked: zero to no negative power, a negative one to integers.

    A negative number to a fraction is complex in Python: a type that only the run would know.
    """
    if base.type.dtype.kind != "f" or exponent.type.dtype.kind not in "fiu":
        return base
    known = exponent.value.item() if isinstance(exponent, Literal) else None
    is_positive = isinstance(base, Literal) and bool(base.value.item() > 0)
    if not is_positive and (known is None or known < 0):
        holds = _ask(builder, np.not_equal, base, 0)
        if known is None:
            is_negative = _ask(builder, np.less, exponent, 0)
            holds = _ask(builder, np.logical_or, holds, _ask(builder, np.logical_not, is_negative))
        message = "0.0 cannot be raised to a negative power"
        base = builder.one(Require("ZeroDivisionError", message), base, holds)
    if not is_positive and (known is None or known % 1):
        holds = _ask(builder, np.logical_not, _ask(builder, np.less, base, 0))
        if known is None:
            is_fraction = _ask(builder, np.greater, exponent, _ask(builder, np.floor, exponent))
            whole = _ask(builder, np.logical_not, is_fraction)
            holds = _ask(builder, np.logical_or, holds, whole)
        message = "a negative float to a fractional power is complex; write complex(x) ** y"
        base = builder.one(Require("UnsupportedError", message), base, holds)
    return base


def _ask(builder: Builder, ufunc: np.ufunc, x: Atom, *others: Any) -> Atom:
    operands = [Literal(x.type.dtype.type(o)) if isinstance(o, int) else o for o in others]
    return builder.one(ELEMENTWISE[ufunc], x, *operands)


Check = Callable[..., Any]

DOMAINS: dict[str, Check] = {
    **dict.fromkeys(("log", "log2", "log10"), lambda x: np.logical_not(x <= 0.0)),
    **dict.fromkeys(("sin", "cos", "tan"), lambda x: np.logical_not(np.isinf(x))),
    **dict.fromkeys(("asin", "acos"), lambda x: np.logical_not(np.abs(x) > 1.0)),
    "sqrt": lambda x: np.logical_not(x < 0.0),
    "log1p": lambda x: np.logical_not(x <= -1.0),
    "acosh": lambda x: np.logical_not(x < 1.0),
    "atanh": lambda x: np.logical_not(np.abs(x) >= 1.0),
    "fmod": lambda x, y: np.logical_or(
        np.logical_not(np.logical_or(np.isinf(x), y == 0.0)),
        np.logical_or(np.isnan(x), np.isnan(y)),
    ),
    "pow": lambda x, y: np.logical_not(
        np.logical_or(
            np.logical_and(x == 0.0, y < 0.0),
            np.logical_and(np.logical_and(x < 0.0, np.isfinite(x)), y > np.floor(y)),
        )
    ),
}
"""Of functions of `math`, where they are defined; ValueError elsewhere."""

OVERFLOWING = frozenset(("exp", "exp2", "expm1", "sinh", "cosh", "pow"))
"""Functions of `math` that raise OverflowError where NumPy's give inf."""
