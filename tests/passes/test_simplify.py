"""Rewrite rules: both sides on nasty numbers, and that each fires; the clean-ups beside them."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Eqn, Function, Provenance
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.control import function_flops
from pullback.ir.parser import parse_function
from pullback.passes.dce import Dce
from pullback.passes.rewrite import Class, Rule
from pullback.passes.simplify import RULES, Simplify

TINY = {np.float64: 5e-324, np.float32: 1e-45}
REALS = [0.0, -0.0, 1.0, -1.0, 0.1, -3.7, 1e30, -1e-30, np.inf, -np.inf, np.nan]
CONSTANTS = [2.0, -0.5, 0.1]
PRECISIONS = [np.float64, np.float32, np.complex128, np.complex64]


def nasty(dtype: Any) -> np.ndarray:
    real = np.empty(0, dtype).real.dtype.type
    numbers = [
        *REALS,
        TINY[real],
        -TINY[real],
        np.finfo(real).max,
        np.finfo(real).tiny,
        np.nextafter(real(1), real(2)),
    ]
    if np.dtype(dtype).kind == "f":
        return np.array(numbers, dtype)
    return np.array([complex(a, b) for a, b in itertools.product(numbers, repeat=2)], dtype)


def arguments(rule: Rule, dtype: Any) -> list[tuple[Any, ...]]:
    """Return arguments: values as arrays of all combinations, constants as numbers."""
    values = [n for n in rule.names if not n.startswith("c")]
    constants = len(rule.names) - len(values)
    grid = np.meshgrid(*[nasty(dtype)] * len(values)) if len(values) > 1 else [nasty(dtype)]
    arrays = iter(np.ravel(g) for g in grid)
    fixed = {n: next(arrays) for n in values}
    found = []
    for chosen in itertools.product(CONSTANTS, repeat=constants):
        rest = iter(chosen)
        found.append(
            tuple(fixed[n] if n in fixed else np.dtype(dtype).type(next(rest)) for n in rule.names)
        )
    return found


def same_numbers(left: Any, right: Any) -> bool:
    """Whether two arrays hold the same bits, whatever the payload and sign of a nan."""
    a, b = (np.asarray(v) for v in (left, right))
    parts = [(a.real, b.real), (a.imag, b.imag)] if a.dtype.kind == "c" else [(a, b)]
    return a.dtype == b.dtype and all(
        np.array_equal(np.isnan(p), np.isnan(q))
        and bool(np.all((p == q) & (np.signbit(p) == np.signbit(q)) | np.isnan(p)))
        for p, q in parts
    )


def label(rule: Rule) -> str:
    return inspect.getsource(rule.pattern).strip()


def numbered(rules: list[Rule]) -> Any:
    return pytest.mark.parametrize("rule", rules, ids=[str(RULES.index(r)) for r in rules])


@numbered([r for r in RULES if r.kind is Class.EXACT])
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_what_an_exact_rule_makes_has_the_same_bits(rule: Rule, dtype: Any) -> None:
    for args in arguments(rule, dtype):
        _, simplified = fired(rule, args)
        if simplified is None:  # the rule knows that it does not hold for this dtype
            assert np.dtype(dtype).kind == "c"
            continue
        with np.errstate(all="ignore"):
            left = rule.pattern(*args)
            right = evaluate(simplified, *[a for a in args if np.ndim(a)])[0]
        assert same_numbers(left, right), label(rule)


@numbered([r for r in RULES if r.kind is Class.REASSOCIATE])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_reassociating_rule_differs_by_rounding(rule: Rule, dtype: Any) -> None:
    for args in arguments(rule, dtype):
        with np.errstate(all="ignore"):
            left, right = rule.pattern(*args), rule.replacement(*args)
        x = np.abs(args[0])
        tiny, large = np.finfo(dtype).tiny * 1e3, np.finfo(dtype).max / 1e3
        normal = ~np.isfinite(x) | (x == 0) | ((x > tiny) & (x < large))
        np.testing.assert_allclose(left[normal], right[normal], rtol=4 * float(np.finfo(dtype).eps))


def fired(rule: Rule, args: tuple[Any, ...]) -> tuple[Function, Function | None]:
    """Return the traced pattern and what `Simplify` makes of it, None where it stays."""
    fixed = {n: a for n, a in zip(rule.names, args, strict=True) if n.startswith("c")}

    def f(*values: Any) -> Any:
        rest = iter(values)
        return rule.pattern(*[fixed[n] if n in fixed else next(rest) for n in rule.names])

    arrays = [a for n, a in zip(rule.names, args, strict=True) if n not in fixed]
    traced = pb.compile(f).inspect(*arrays).forward
    simplified = Dce()(Simplify(rule.kind)(traced))
    before = [eqn.op.name for eqn in traced.eqns]
    return traced, simplified if [e.op.name for e in simplified.eqns] != before else None


@numbered(list(RULES))
def test_each_rule_fires(rule: Rule) -> None:
    args = arguments(rule, np.float64)[0]
    dtype = np.complex128 if "conjugate" in label(rule) else np.float64
    args = tuple(a.astype(dtype) if np.ndim(a) else a for a in args)
    traced, simplified = fired(rule, args)
    assert simplified is not None, label(rule)
    assert function_flops(simplified) <= function_flops(traced)


def simplified(text: str, allow: Class = Class.REASSOCIATE) -> list[str]:
    """Return the names of the ops that are left."""
    return [eqn.op.name for eqn in Dce()(Simplify(allow)(parse_function(text))).eqns]


def test_constants_are_not_joined_where_their_product_overflows() -> None:
    def f(x: Any) -> Any:
        return 1e300 * (1e300 * x), 1e-300 * (1e-300 * x), (1e200 * x) / 1e-200

    x = np.array([1e-300, 1.0])
    with np.errstate(all="ignore"):
        for found, expected in zip(pb.compile(f)(x), f(x), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_exact_mode_applies_exact_rules_alone() -> None:
    text = """
def f(x: f64[3]) -> f64[3]:
    a = 3.0 * x
    b = 0.1 * a
    return b
"""
    assert simplified(text, Class.EXACT) == ["multiply", "multiply"]
    assert simplified(text) == ["multiply"]


def test_transposes_of_transposes_and_reshapes_of_reshapes_are_one() -> None:
    text = """
def f(x: f64[2, 3, 4]) -> (f64[2, 3, 4], f64[24]):
    a = transpose(x, axes=(-1, -3, -2))
    b = transpose(a, axes=(-2, -1, -3))
    c = reshape(x, shape=(6, 4), rank=3)
    d = reshape(c, shape=(24,), rank=2)
    return b, d
"""
    assert simplified(text) == ["reshape"]


def test_a_reshape_of_a_copying_reshape_stays() -> None:
    text = """
def f(x: f64[2, 3]) -> f64[6]:
    t = transpose(x, axes=(-1, -2))
    c = reshape(t, shape=(2, 3), rank=2)
    d = reshape(c, shape=(6,), rank=2)
    return d
"""
    function = parse_function(text)
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(evaluate(Simplify()(function), x)[0], x.T.reshape(-1))


@pytest.mark.parametrize("derived", ["primal", "vjp"])
@pytest.mark.parametrize("allow", list(Class))
def test_new_axes_behind_leading_ones_are_not_where_numpy_would_put_them(
    allow: Class, derived: str
) -> None:
    text = """
def f(t: f64[3], x: f64[3, 3]) -> (f64[3, 3], f64[3, 3], f64[3]):
    a = broadcast_to(t, shape=(3,), rank=0)
    b = x + a
    c = broadcast_to(t, shape=(3, 3), rank=0)
    d = sum(c, axes=(-2,))
    e = broadcast_to(t, shape=(3, 3), rank=1)
    g = a - e
    h = sum(g, axes=(-1,))
    return b, d, h
"""
    function = parse_function(text)
    provenance = Provenance((), derived)
    eqns = [Eqn(e.op, e.operands, e.results, provenance) for e in function.eqns]
    t, x = np.array([1.0, 10.0, 100.0]), np.arange(9.0).reshape(3, 3)
    expected = [x + t[:, None], np.tile(3 * t[:, None], 3), 3 * t - np.sum(t)]
    found = evaluate(Simplify(allow)(function.replace(eqns=eqns)), t, x)
    for made, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(made, wanted)


def test_equal_equations_are_merged_but_not_across_dtypes() -> None:
    def f(x: Any) -> Any:
        return np.sin(x) + np.sin(x), x.astype(np.float32) * 1, x * 1

    function = pb.compile(f).inspect(np.ones(3)).optimized
    names = [e.op.name for e in pb.compile(f).inspect(np.ones(3)).stages[1].function.eqns]
    assert names.count("sin") == 1
    assert [str(r.type) for r in function.results] == ["f64[3]", "f32[3]", "f64[3]"]
