"""Products taken out of loops: which are, which are not, and that the results stay right."""

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Function, walk
from pullback.ir.ops.control import Loop
from pullback.ir.ops.matmul import MatMul
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.batch import Batch
from pullback.passes.dce import Dce
from pullback.passes.loops import Hoist
from pullback.passes.simplify import Simplify

RNG = np.random.default_rng(0)
W, U = 0.5 * RNG.standard_normal((4, 4)), RNG.standard_normal((3, 4))
XS, H0 = RNG.standard_normal((6, 2, 3)), RNG.standard_normal((2, 4))


def rnn(w: Any, u: Any, b: Any, xs: Any, h0: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = np.tanh(h @ w + x @ u + b)
        return h, np.sum(h * h)

    h, ys = pb.scan(step, h0, xs)
    return np.sum(h) + np.sum(ys * np.arange(1.0, 7.0))


def backwards(w: Any, u: Any, b: Any, xs: Any, h0: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = np.tanh(h @ w + x @ u + b)
        return h, h

    _, ys = pb.scan(step, h0, xs, reverse=True)
    return np.sum(ys**2)


def odd_offsets(w: Any, u: Any, b: Any, xs: Any, h0: Any) -> Any:
    """Read the rows in another order than the loop's, so that nothing may be batched by row."""
    return np.sum(
        pb.fori_loop(1, 6, lambda i, h: np.tanh(h @ w + xs[i - 1] @ u + xs[i] @ u + b), h0)
    )


def products_in_loops(function: Function) -> int:
    return sum(
        isinstance(inner.op, MatMul) and inner.op != MatMul(1, 1)  # a sum of squares is one too
        for eqn in function.eqns
        if isinstance(eqn.op, Loop)
        for inner in walk(eqn.op.body)
    )


@pytest.mark.parametrize("program", [rnn, backwards, odd_offsets])
def test_gradients_are_the_same_with_and_without(program: Any) -> None:
    args = (W, U, RNG.standard_normal(4), XS, H0)
    gradient = pb.grad(program, argnums=(0, 1, 2, 3, 4))
    joint = gradient.inspect(*args).joint
    plain = Dce()(Hoist()(Simplify()(joint)))
    batched = Batch()(plain)
    expected = pb.build(plain)(*args)
    for found, one in zip(pb.build(batched)(*args), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-12, atol=1e-12)
    pb.check_grads(program, args, order=2)


def test_an_rnn_keeps_one_product_an_iteration_each_way() -> None:
    args = (W, U, RNG.standard_normal(4), XS, H0)
    inspection = pb.grad(rnn, argnums=(0, 1, 2, 3)).inspect(*args)
    assert products_in_loops(inspection.joint) == 6
    assert products_in_loops(inspection.optimized) == 2


def test_exact_mode_leaves_the_products_where_they_are() -> None:
    args = (W, U, RNG.standard_normal(4), XS, H0)
    assert products_in_loops(pb.compile(rnn, exact=True).inspect(*args).optimized) == 2
    assert products_in_loops(pb.compile(rnn).inspect(*args).optimized) == 1


def test_another_order_of_rows_is_left_alone() -> None:
    args = (W, U, RNG.standard_normal(4), XS, H0)
    inspection = pb.compile(odd_offsets).inspect(*args)
    assert products_in_loops(inspection.optimized) == 3


def powers_until(a: Any, v: Any) -> Any:
    total = 0.0
    while np.sum(v * v) > 1e-3:
        v = a @ v
        total += np.sum(v * v)
    return total


def from_one(a: Any, v: Any) -> Any:
    rows = np.zeros((12, len(v)))
    rows[0] = v
    for t in range(1, 12):
        v = np.tanh(a @ v)
        rows[t] = v
    return np.sum(rows**2)


@pytest.mark.parametrize("function", [powers_until, from_one])
def test_outer_products_of_vectors_are_one_product_after_the_loop(function: Any) -> None:
    a, v = 0.3 * RNG.standard_normal((5, 5)), RNG.standard_normal(5)
    joint = pb.grad(function, argnums=(0, 1)).inspect(a, v).optimized
    regions = [r for e in joint.eqns for r in e.op.regions]
    inside = [v.type.shape for r in regions for e in walk(r) for v in e.results]
    assert (5, 5) not in inside
    assert any(isinstance(e.op, MatMul) for e in joint.eqns)
    pb.check_grads(function, (a, v), order=2)


def vectors_from_the_left(w: Any, u: Any, xs: Any) -> Any:
    h = np.zeros(4)
    for x in xs:
        h = np.tanh(w @ h + u.T @ x)
    return np.sum(h * h)


def vectors_from_the_right(w: Any, u: Any, xs: Any) -> Any:
    h = np.zeros(4)
    for x in xs:
        h = np.tanh(h @ w + x @ u)
    return np.sum(h * h)


@pytest.mark.parametrize("function", [vectors_from_the_left, vectors_from_the_right])
def test_products_of_single_vectors_are_one_before_the_loop(function: Any) -> None:
    args = (W, U, RNG.standard_normal((7, 3)))
    assert products_in_loops(pb.compile(function).inspect(*args).optimized) == 1
    np.testing.assert_allclose(pb.compile(function)(*args), function(*args), rtol=1e-12)
    inspection = pb.grad(function, argnums=(0, 1, 2)).inspect(*args)
    assert products_in_loops(inspection.optimized) == 2
    pb.check_grads(function, args, order=2)


def two_layers(w: Any, u: Any, b: Any, xs: Any, h0: Any) -> Any:
    """Use each weight twice in an iteration, so that two terms add to each gradient."""
    h = h0
    for x in xs:
        k = np.tanh(h @ w + x @ u + b)
        h = h + 0.5 * np.tanh((h + 0.25 * k) @ w + b)
    return np.sum(h * h)


def test_each_of_several_terms_is_one_product_after_the_loop() -> None:
    args = (W, U, RNG.standard_normal(4), RNG.standard_normal((30, 2, 3)), H0)
    gradient = pb.grad(two_layers, argnums=(0, 1, 2, 3, 4))
    optimized = gradient.inspect(*args).optimized
    (backward,) = [e.op for e in optimized.eqns if isinstance(e.op, Loop) and e.op.backward]
    assert backward.carries == 1
    exact = pb.compile(gradient, exact=True)(*args)
    for found, expected in zip(gradient(*args), exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    pb.check_grads(two_layers, args, order=2)


def sums_of(text: str) -> Function:
    return Batch()(parse_function(text))


def test_a_term_of_another_form_stays_in_the_loop() -> None:
    text = """
def f(xs: f64[6, 2, 3], ys: f64[6, 2, 4], c: f64[3, 4]) -> f64[3, 4]:
    def body(
            i: i64, s: f64[3, 4], xs: f64[6, 2, 3], ys: f64[6, 2, 4], c: f64[3, 4], *, dims=(i,),
    ) -> f64[3, 4]:
        x : f64[2, 3] = xs[i]
        y : f64[2, 4] = ys[i]
        xt : f64[3, 2] = x.T
        p : f64[3, 4] = xt @ y
        q : f64[3, 4] = 2.0 * p
        a : f64[3, 4] = s + q
        e : f64[3, 4] = exp(c)
        b : f64[3, 4] = e + a
        x2 : f64[3, 2] = x.T
        y2 : f64[2, 4] = square(y)
        r : f64[3, 4] = x2 @ y2
        d : f64[3, 4] = b + r
        return d
    s = loop(body, range(6), carry=(c,), captured=(xs, ys, c))
    return s
"""
    after = sums_of(text)
    verify(after)
    assert products_in_loops(after) == 0
    args = (RNG.standard_normal((6, 2, 3)), RNG.standard_normal((6, 2, 4)), np.ones((3, 4)))
    np.testing.assert_allclose(
        pb.build(after)(*args), pb.build(parse_function(text))(*args), rtol=1e-12
    )


def test_factors_larger_than_the_cache_are_not_stacked_for_a_small_product() -> None:
    def text(rows: int) -> str:
        x, y = f"f64[{rows}, 2]", f"f64[{rows}, 4]"
        return f"""
def f(xs: f64[40, {rows}, 2], h: {y}) -> f64[2, 4]:
    c : f64[2, 4] = full(0.0, shape=(2, 4))
    def body(
            i: i64, h: {y}, s: f64[2, 4], xs: f64[40, {rows}, 2], *, dims=(i,),
    ) -> ({y}, f64[2, 4]):
        x : {x} = xs[i]
        g : {y} = tanh(h)
        xt : f64[2, {rows}] = x.T
        p : f64[2, 4] = xt @ g
        a : f64[2, 4] = s + p
        return g, a
    hn, s = loop(body, range(40), carry=(h, c), captured=(xs,))
    return s
"""

    assert products_in_loops(sums_of(text(10))) == 0
    assert products_in_loops(sums_of(text(1000))) == 1
