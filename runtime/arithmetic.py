"""Arithmetic on single numbers as Python writes it: on `float`, `int` and `bool`.

An operation on two Python floats takes 10 ns, on two of NumPy's scalars 35, and a NumPy function of
one scalar 120. The values are NumPy's: where Python raises (division by zero, overflow of a power,
the logarithm of 0) the formula has a guard that hands the operands to NumPy, which warns. In exact
mode the bits are NumPy's too, so that functions of the C library stand in for NumPy's own there
only where their bits agree. Overflow of a sum or product, and what becomes invalid in one, do not
warn (`docs/differences.md`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import Atom, Literal
from ..ir.op import Elementwise, Op
from ..ir.ops.check import Graft, Require
from ..ir.ops.select import Convert, Imag, MakeComplex, Real, StopGradient, Where
from ..ir.ops.share import Share

if TYPE_CHECKING:
    from .emit import Writer

FLOAT = np.dtype(np.float64)
INT = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)
COMPLEX = np.dtype(np.complex128)
KINDS: dict[np.dtype, type] = {FLOAT: float, INT: int, BOOL: bool, COMPLEX: complex}
VIEWED = (FLOAT, INT, BOOL)
"""What a memoryview reads as a Python number."""

Formula = Callable[["Writer", Sequence[str]], str]

LARGEST = 2**63 - 1

_TIES_GO_SECOND = bool(np.signbit(np.maximum(np.float64(0.0), np.float64(-0.0))))


def divided(left: float, right: float) -> float:
    """Return the quotient as NumPy has it, by zero too."""
    return float(np.float64(left) / right)


def powered(base: float, exponent: float) -> float:
    """Return the power as NumPy has it, where Python raises or turns complex."""
    return float(np.float64(base) ** exponent)


def modulus(value: complex) -> float:
    """Return the absolute value as NumPy has it, where it overflows too."""
    try:
        return abs(value)
    except OverflowError:
        return float(np.abs(np.complex128(value)))


def wrapped(value: int) -> int:
    """Return an integer as 64 bits hold it; it has overflown, which warns as NumPy does."""
    _ = np.int64(LARGEST) + np.int64(1)
    return (value + 2**63) % 2**64 - 2**63


def formula(op: Op, operands: Sequence[Atom], exact: bool) -> Formula | None:
    """Return how an op of numbers is written in Python, or None where it stays NumPy's."""
    if any(a.type.shape for a in operands):
        return None
    dtypes = [a.type.dtype for a in operands]
    if isinstance(op, Elementwise):
        if any(d is not dtypes[0] and d != dtypes[0] for d in dtypes):
            return None
        if dtypes[0] == FLOAT:
            return _of_floats(op, operands, exact)
        if dtypes[0] == INT:
            return _of_ints(op, operands)
        if dtypes[0] == COMPLEX:
            return _COMPLEX.get(op.name) if op.name != "square" or not exact else None
        return _BOOLS.get(op.name) if dtypes[0] == BOOL else None
    if isinstance(op, Where):
        return (lambda w, a: f"{a[1]} if {a[0]} else {a[2]}") if dtypes[1] in KINDS else None
    if isinstance(op, Share) and dtypes[0] == FLOAT:
        return lambda w, a: f"1.0 if {a[0]} > {a[1]} else 0.5 if {a[0]} == {a[1]} else 0.0"
    if isinstance(op, Real | Imag) and dtypes[0] == COMPLEX:
        return lambda w, a: f"{a[0]}.{op.name}"
    if isinstance(op, MakeComplex) and dtypes[0] == FLOAT:
        return lambda w, a: f"complex({a[0]}, {a[1]})"
    if isinstance(op, Convert):
        return _conversion(dtypes[0], op.dtype)
    if isinstance(op, StopGradient | Graft) and dtypes[0] in KINDS:
        return lambda w, a: a[0]
    if isinstance(op, Require) and dtypes[0] in KINDS:
        return lambda w, a: f"{a[0]} if {a[1]} else {w.bind(op.evaluate, op.name)}({a[0]}, {a[1]})"
    return None


def _infix(symbol: str) -> Formula:
    return lambda w, a: f"{a[0]} {symbol} {a[1]}"


_COMPARISONS: dict[str, Formula] = {
    name: _infix(symbol)
    for name, symbol in (
        ("equal", "=="),
        ("not_equal", "!="),
        ("less", "<"),
        ("less_equal", "<="),
        ("greater", ">"),
        ("greater_equal", ">="),
    )
}

_BOOLS: dict[str, Formula] = {
    **{n: _COMPARISONS[n] for n in ("equal", "not_equal")},
    "logical_and": _infix("and"),
    "logical_or": _infix("or"),
    "logical_xor": _infix("!="),
    "logical_not": lambda w, a: f"not {a[0]}",
    "bitwise_and": _infix("and"),
    "bitwise_or": _infix("or"),
    "bitwise_xor": _infix("!="),
    "invert": lambda w, a: f"not {a[0]}",
}


_COMPLEX: dict[str, Formula] = {
    "add": _infix("+"),
    "subtract": _infix("-"),
    "multiply": _infix("*"),
    "square": lambda w, a: f"{a[0]} * {a[0]}",
    "negative": lambda w, a: f"-{a[0]}",
    "positive": lambda w, a: a[0],
    "conjugate": lambda w, a: f"{a[0]}.conjugate()",
    "absolute": lambda w, a: f"{w.bind(modulus, 'modulus')}({a[0]})",
    "equal": _infix("=="),
    "not_equal": _infix("!="),
}

_CONVERSIONS = (
    *((INT, FLOAT), (BOOL, FLOAT), (BOOL, INT)),
    *((FLOAT, COMPLEX), (INT, COMPLEX), (BOOL, COMPLEX)),
)


def _conversion(source: np.dtype, target: np.dtype) -> Formula | None:
    if source == target and source in KINDS:
        return lambda w, a: a[0]
    if target == BOOL and source in (FLOAT, INT):
        return lambda w, a: f"{a[0]} != 0"
    if (source, target) in _CONVERSIONS:
        return lambda w, a: f"{KINDS[target].__name__}({a[0]})"
    return None


# -- floats ----------------------------------------------------------------------------------------


def _fallback(function: Any, plain: Any, test: str) -> Formula:
    def write(w: Writer, a: Sequence[str]) -> str:
        fast, slow = w.bind(function, function.__name__), w.bind(plain, plain.__name__)
        return f"{fast}({a[0]}) if {test.format(a[0])} else float({slow}({a[0]}))"

    return write


def _call(function: Any) -> Formula:
    return lambda w, a: f"{w.bind(function, function.__name__)}({', '.join(a)})"


_LIBRARY: dict[str, Formula] = {
    name: _fallback(function, plain, test)
    for name, function, plain, test in (
        ("exp", math.exp, np.exp, "{} < 709.0"),
        ("exp2", math.exp2, np.exp2, "{} < 1023.0"),
        ("expm1", math.expm1, np.expm1, "{} < 709.0"),
        ("log", math.log, np.log, "{} > 0.0"),
        ("log2", math.log2, np.log2, "{} > 0.0"),
        ("log10", math.log10, np.log10, "{} > 0.0"),
        ("log1p", math.log1p, np.log1p, "{} > -1.0"),
        ("sin", math.sin, np.sin, "-1e15 < {} < 1e15"),
        ("cos", math.cos, np.cos, "-1e15 < {} < 1e15"),
        ("tan", math.tan, np.tan, "-1e15 < {} < 1e15"),
        ("arcsin", math.asin, np.arcsin, "-1.0 <= {} <= 1.0"),
        ("arccos", math.acos, np.arccos, "-1.0 <= {} <= 1.0"),
        ("sinh", math.sinh, np.sinh, "-700.0 < {} < 700.0"),
        ("cosh", math.cosh, np.cosh, "-700.0 < {} < 700.0"),
        ("arccosh", math.acosh, np.arccosh, "{} >= 1.0"),
        ("arctanh", math.atanh, np.arctanh, "-1.0 < {} < 1.0"),
    )
} | {
    "arctan": _call(math.atan),
    "arctan2": _call(math.atan2),
    "tanh": _call(math.tanh),
    "arcsinh": _call(math.asinh),
}
"""Functions of the C library; their last bits may differ from NumPy's."""


def _extreme(symbol: str) -> Formula:
    sign = symbol if _TIES_GO_SECOND else f"{symbol}="
    return lambda w, a: f"{a[0]} if {a[0]} {sign} {a[1]} or {a[0]} != {a[0]} else {a[1]}"


_FLOATS: dict[str, Formula] = {
    **_COMPARISONS,
    "add": _infix("+"),
    "subtract": _infix("-"),
    "multiply": _infix("*"),
    "negative": lambda w, a: f"-{a[0]}",
    "positive": lambda w, a: a[0],
    "conjugate": lambda w, a: a[0],
    "absolute": lambda w, a: f"abs({a[0]})",
    "fabs": lambda w, a: f"abs({a[0]})",
    "square": lambda w, a: f"{a[0]} * {a[0]}",
    "sqrt": _fallback(math.sqrt, np.sqrt, "{} >= 0.0"),
    "maximum": _extreme(">"),
    "minimum": _extreme("<"),
    "sign": lambda w, a: (
        f"1.0 if {a[0]} > 0.0 else -1.0 if {a[0]} < 0.0 else {a[0]} if {a[0]} != {a[0]} else 0.0"
    ),
    "isnan": lambda w, a: f"{a[0]} != {a[0]}",
    "isfinite": _call(math.isfinite),
    "isinf": _call(math.isinf),
    "copysign": _call(math.copysign),
}


def _of_floats(op: Elementwise, operands: Sequence[Atom], exact: bool) -> Formula | None:
    if op.name == "divide":
        return _division(operands[1])
    if op.name == "reciprocal":
        return lambda w, a: _division(operands[0])(w, ("1.0", a[0]))
    if op.name == "power":
        return _power(operands[1], exact)
    found = _FLOATS.get(op.name)
    return found if found is not None or exact else _LIBRARY.get(op.name)


def _division(divisor: Atom) -> Formula:
    if isinstance(divisor, Literal):
        if float(divisor.value) != 0.0:
            return _infix("/")
        return lambda w, a: f"{w.bind(divided, 'divided')}({a[0]}, {a[1]})"
    return lambda w, a: (
        f"{a[0]} / {a[1]} if {a[1]} else {w.bind(divided, 'divided')}({a[0]}, {a[1]})"
    )


def _power(exponent: Atom, exact: bool) -> Formula:
    if isinstance(exponent, Literal) and not exact:
        value = float(exponent.value)
        if value in (1.0, 2.0, 3.0):
            return lambda w, a: " * ".join([a[0]] * int(value))
        if value == 0.0:
            return lambda w, a: "1.0"
        if value == -1.0:
            return lambda w, a: (
                f"1.0 / {a[0]} if {a[0]} else {w.bind(divided, 'divided')}(1.0, {a[0]})"
            )
    # NumPy's scalars take the power of the C library, as Python does.
    return lambda w, a: (
        f"{a[0]} ** {a[1]} if 1e-6 < {a[0]} < 1e6 and -40.0 < {a[1]} < 40.0 "
        f"else {w.bind(powered, 'powered')}({a[0]}, {a[1]})"
    )


# -- integers --------------------------------------------------------------------------------------


def _checked(text: Callable[[Sequence[str]], str]) -> Formula:
    """Write integer arithmetic that wraps around as 64 bits do."""

    def write(w: Writer, a: Sequence[str]) -> str:
        name = w.fresh("t")
        wrap = w.bind(wrapped, "wrapped")
        return f"{name} if -{LARGEST} <= ({name} := {text(a)}) <= {LARGEST} else {wrap}({name})"

    return write


_INTS: dict[str, Formula] = {
    **_COMPARISONS,
    "add": _checked(lambda a: f"{a[0]} + {a[1]}"),
    "subtract": _checked(lambda a: f"{a[0]} - {a[1]}"),
    "multiply": _checked(lambda a: f"{a[0]} * {a[1]}"),
    "negative": _checked(lambda a: f"-{a[0]}"),
    "absolute": _checked(lambda a: f"abs({a[0]})"),
    "positive": lambda w, a: a[0],
    "maximum": lambda w, a: f"{a[0]} if {a[0]} >= {a[1]} else {a[1]}",
    "minimum": lambda w, a: f"{a[0]} if {a[0]} <= {a[1]} else {a[1]}",
    "bitwise_and": _infix("&"),
    "bitwise_or": _infix("|"),
    "bitwise_xor": _infix("^"),
    "invert": lambda w, a: f"~{a[0]}",
    "logical_not": lambda w, a: f"not {a[0]}",
}


def _of_ints(op: Elementwise, operands: Sequence[Atom]) -> Formula | None:
    if op.name in ("floor_divide", "remainder"):
        divisor = operands[1]
        if isinstance(divisor, Literal) and int(divisor.value) > 0:
            return _infix("//" if op.name == "floor_divide" else "%")
        return None
    if op.name == "right_shift":
        places = operands[1]
        fits = isinstance(places, Literal) and 0 <= int(places.value) < 64
        return _infix(">>") if fits else None
    return _INTS.get(op.name)


__all__ = ["BOOL", "FLOAT", "INT", "KINDS", "divided", "formula", "powered", "wrapped"]
