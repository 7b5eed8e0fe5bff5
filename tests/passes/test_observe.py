"""Observation changes no value and no gradient, and tells of each value and each cotangent once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from pullback.ir.core import Function
from pullback.ir.evaluate import evaluate
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.observe import Site, observe
from pullback.passes.reverse import reverse

LINE = """
def f(x: f64[3], n: i64[3]) -> f64:
    y : f64[3] = tanh(x)
    z : f64[3] = y * y
    s : f64    = sum(z, axes=(-1,))
    return s
"""
LOOP = """
def f(h: f64[3], w: f64[3]) -> f64:
    def body(i: i64, h: f64[3], w: f64[3], *, dims=(i,)) -> f64[3]:
        a : f64[3] = h * w
        b : f64[3] = tanh(a)
        return b
    r = loop(body, range(4), carry=(h,), captured=(w,))
    s : f64 = sum(r, axes=(-1,))
    return s
"""
WRITES = """
def f(h: f64[4], w: f64[4]) -> f64:
    def body(i: i64, h: f64[4], w: f64[4], *, dims=(0 <= i <= 3,)) -> f64[4]:
        a : f64    = w[i]
        b : f64    = tanh(a)
        c : f64[4] = index_update(h[i], b)
        return c
    r = loop(body, range(4), carry=(h,), captured=(w,))
    s : f64 = sum(r, axes=(-1,))
    return s
"""
BRANCH = """
def f(x: f64[3], yes: bool) -> f64:
    def first(x: f64[3]) -> f64[3]:
        a : f64[3] = tanh(x)
        return a
    def second(x: f64[3]) -> f64[3]:
        b : f64[3] = exp(x)
        return b
    r = cond(yes, first, second, captured=(x,))
    s : f64 = sum(r, axes=(-1,))
    return s
"""
Told = list[tuple[int, bool, Any]]


def run(function: Function, wrt: tuple[int, ...], *arrays: Any) -> tuple[list[Any], Told]:
    joint = reverse(function, wrt)
    verify(joint)
    told: Told = []
    results = evaluate(joint, *arrays, observer=lambda op, v: told.append((*key(op), v)))
    return results, told


def key(op: Any) -> tuple[int, bool]:
    return op.site, op.cotangent


def observed(text: str, wrt: tuple[int, ...], *arrays: Any) -> tuple[list[Site], Told]:
    """Run a function observed and not, compare the results, and return what was told."""
    function = parse_function(text)
    made, sites = observe(function)
    verify(made)
    expected, nothing = run(function, wrt, *arrays)
    results, told = run(made, wrt, *arrays)
    assert not nothing
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    return sites, told


def named(sites: list[Site], name: str, **fields: Any) -> Site:
    (site,) = [
        s
        for s in sites
        if s.value.hint == name and all(getattr(s, k) == v for k, v in fields.items())
    ]
    return site


def told_of(told: Told, site: Site, cotangent: bool) -> list[Any]:
    return [v for number, is_ct, v in told if (number, is_ct) == (site.number, cotangent)]


def test_values_and_cotangents_of_a_line() -> None:
    x = np.array([0.5, -1.0, 2.0])
    sites, told = observed(LINE, (0,), x, np.arange(3))
    assert set(Counter((n, ct) for n, ct, _ in told).values()) == {1}
    y = named(sites, "y", is_use=False)
    np.testing.assert_array_equal(told_of(told, y, False), [np.tanh(x)])
    np.testing.assert_allclose(told_of(told, y, True), [2 * np.tanh(x)], rtol=1e-15)
    np.testing.assert_allclose(
        told_of(told, named(sites, "x"), True), [2 * np.tanh(x) * (1 - np.tanh(x) ** 2)], rtol=1e-14
    )
    assert not told_of(told, named(sites, "n"), True)  # an integer has no cotangent


def test_a_carry_is_told_of_at_each_iteration() -> None:
    h, w = np.array([0.5, -1.0, 2.0]), np.array([0.9, 1.1, 1.3])
    sites, told = observed(LOOP, (0, 1), h, w)
    carry = named(sites, "h", carry=0)
    values, cts = told_of(told, carry, False), told_of(told, carry, True)[::-1]
    assert len(values) == len(cts) == 4
    ct = np.ones(3)
    for k in reversed(range(4)):
        ct = ct * (1 - np.tanh(values[k] * w) ** 2) * w
        np.testing.assert_allclose(cts[k], ct, rtol=1e-13)
        if k < 3:
            np.testing.assert_array_equal(values[k + 1], np.tanh(values[k] * w))


def test_parts_of_the_cotangent_of_what_a_loop_captures() -> None:
    h, w = np.array([0.5, -1.0, 2.0]), np.array([0.9, 1.1, 1.3])
    sites, told = observed(LOOP, (0, 1), h, w)
    parts = told_of(told, named(sites, "w", is_use=True), True)
    (whole,) = told_of(told, named(sites, "w", is_use=False), True)
    assert len(parts) == 4
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-14)


def test_writes_are_left_alone() -> None:
    arrays = np.zeros(4), np.arange(4.0)
    sites, told = observed(WRITES, (0, 1), *arrays)
    names = {s.value.hint for s in sites if s.loops}
    assert names == {"a", "b"}
    joint = str(reverse(observe(parse_function(WRITES))[0], (0, 1)))
    assert "f64[4, 4]" not in joint  # no version of the written array is kept


@pytest.mark.parametrize("yes", [True, False])
def test_of_a_branch_only_what_ran_is_told(yes: bool) -> None:
    sites, told = observed(BRANCH, (0,), np.array([0.5, -1.0, 2.0]), np.bool_(yes))
    for name, ran in (("a", yes), ("b", not yes)):
        site = named(sites, name)
        assert len(told_of(told, site, False)) == len(told_of(told, site, True)) == ran
