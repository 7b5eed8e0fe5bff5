"""Gradients of recursions, against finite differences, of both orders, with passes left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.ops.recursion import Recursion

pytestmark = pytest.mark.usefixtures("checked")

Call = Callable[..., Any]
RNG = np.random.default_rng(7)
WORDS = RNG.integers(0, 6, 15)


def make_tree(seed: int, nodes: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Return the children of each node of a random binary tree, -1 at the leaves."""
    rng = np.random.default_rng(seed)
    left, right = np.full(nodes, -1), np.full(nodes, -1)
    leaves, made = [0], 1
    while made < nodes:
        node = leaves.pop(rng.integers(len(leaves)))
        left[node], right[node] = made, made + 1
        leaves += [made, made + 1]
        made += 2
    return left, right


def differences(function: Call, args: tuple[Any, ...], argnum: int) -> np.ndarray:
    """Return central differences along each element of an argument."""
    value = np.asarray(args[argnum], float)
    found = np.zeros_like(value)
    for index in np.ndindex(*value.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = value.copy()
            moved[index] += step
            changed = list(args)
            changed[argnum] = moved if value.shape else float(moved)
            ends.append(function(*changed))
        found[index] = (ends[0] - ends[1]) / 2e-6
    return found


def check(function: Call, args: tuple[Any, ...], argnums: tuple[int, ...], count: int = 1) -> Any:
    """Compare a gradient, and a Hessian times a vector, with differences."""
    gradient = pb.grad(function, argnums=argnums)
    for argnum, found in zip(argnums, gradient(*args), strict=True):
        expected = differences(function, args, argnum)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        check_second(function, args, argnum)
    joint = gradient.inspect(*args).stages[0].function
    assert sum(isinstance(e.op, Recursion) for e in walk(joint)) == count
    return gradient


def check_second(function: Call, args: tuple[Any, ...], argnum: int) -> None:
    """Compare the derivative of a derivative along a direction with differences of gradients."""
    gradient = pb.grad(function, argnums=argnum)
    value = np.asarray(args[argnum], float)
    along = np.random.default_rng(1).standard_normal(value.shape)
    found = pb.grad(lambda *a: np.sum(gradient(*a) * along), argnums=argnum)(*args)
    ends = []
    for step in (1e-5, -1e-5):
        moved = value + step * along
        changed = list(args)
        changed[argnum] = moved if value.shape else float(moved)
        ends.append(np.asarray(gradient(*changed)))
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-6)


# ---- programs ------------------------------------------------------------------------------------


def tree_network(left: Any, right: Any, embedding: Any, W: Any, b: Any) -> Any:
    def encode(node: int) -> Any:
        if left[node] < 0:
            return embedding[WORDS[node]]
        children = np.concatenate([encode(left[node]), encode(right[node])])
        return np.tanh(W @ children + b)

    return np.sum(encode(0) ** 2)


def soft_tree(x: Any, left: Any, right: Any, W: Any, values: Any) -> Any:
    def mix(node: int) -> Any:
        if left[node] < 0:
            return values[node] * np.ones(len(x))
        p = 1.0 / (1.0 + np.exp(-(x @ W[node])))
        return p * mix(left[node]) + (1.0 - p) * mix(right[node])

    return np.sum(mix(0) ** 2)


def adaptive(a: float, b: float, width: float) -> Any:
    def f(x: Any) -> Any:
        return np.exp(-(((x - 1.0) / width) ** 2)) + 0.1 * x

    def refine(a: Any, m: Any, b: Any, fa: Any, fm: Any, fb: Any, tol: Any) -> Any:
        left, right = 0.5 * (a + m), 0.5 * (m + b)
        fl, fr = f(left), f(right)
        h = b - a
        whole, halves = h / 6 * (fa + 4 * fm + fb), h / 12 * (fa + 4 * fl + 2 * fm + 4 * fr + fb)
        if abs(halves - whole) < 15 * tol:
            return halves + (halves - whole) / 15
        return refine(a, left, m, fa, fl, fm, tol / 2) + refine(m, right, b, fm, fr, fb, tol / 2)

    m = 0.5 * (a + b)
    return refine(a, m, b, f(a), f(m), f(b), 1e-4)


def fibonacci(x: Any) -> Any:
    if x < 2.0:
        return x**3
    return fibonacci(x - 1.0) * 0.5 + np.sin(fibonacci(x - 2.0))


def children_in_ranges(start: Any, weight: Any, scale: Any) -> Any:
    def down(node: int, x: Any) -> Any:
        found = np.tanh(weight[node] * x)
        for child in range(start[node], start[node + 1]):
            found = found + scale * down(child, found * 0.5) * np.sin(found)
        return found

    return np.sum(down(0, np.ones(3)))


def loop_inside(x: Any, n: Any, w: Any) -> Any:
    def g(x: Any, n: Any) -> Any:
        if n < 1.0:
            return x
        y = x
        for i in range(len(w)):
            y = y * np.cos(w[i]) + np.sin(x[0])
        return g(y, n - 1.0) * y + g(y * 0.3, n - 2.0)

    return np.sum(g(x, n))


def inside_a_loop(x: Any, w: Any) -> Any:
    def half(v: Any) -> Any:
        if np.sum(v) < 1.0:
            return v
        return half(v * w) * w

    total = np.zeros(4)
    for i in range(len(x)):
        if x[i, 0] > 0.0:
            total = total + half(x[i])
    return np.sum(total**2)


def sizes_of_each_activation(x: Any, w: Any, n: float) -> Any:
    def g(x: Any, n: Any) -> Any:
        y = x[x > 0.0]
        s = np.sum(np.sin(y) * y)
        if n < 1.0:
            return s
        return g(x * w, n - 1.0) * s

    return g(x, n)


def recursion_in_a_recursion(x: Any, w: Any, n: float) -> Any:
    def outer(x: Any, n: Any) -> Any:
        def inner(y: Any) -> Any:
            if np.sum(y * y) < 1.0:
                return y
            return inner(y * w) * np.sin(x)

        if n < 1.0:
            return inner(x)
        return outer(inner(x) + 1.0, n - 1.0) * 0.5

    return np.sum(outer(x, n))


def accumulators(x: Any, w: Any, n: float) -> Any:
    def gather(total: Any, scale: Any, n: Any) -> Any:
        if n < 1.0:
            return total
        grown = total + scale * np.sin(total)
        return gather(grown, scale * w[1], n - 1.0)

    return np.sum(gather(x, w[0], n) ** 2)


def result_that_nobody_reads(x: Any, w: Any, n: float) -> Any:
    def g(x: Any, n: Any) -> Any:
        if n < 1.0:
            return x, np.sum(x)
        y, s = g(x * w, n - 1.0)
        return y * s, s + np.sum(np.sin(y))

    return g(x, n)[1]


def call_that_no_derivative_reads(x: Any, w: Any, n: float) -> Any:
    def g(x: Any, n: Any) -> Any:
        if n < 1.0:
            return x * w
        sign = np.sign(np.sum(g(x * 0.5, n - 2.0)))
        return g(np.sin(x), n - 1.0) * w * sign

    return np.sum(g(x, n))


PROGRAMS = {
    "tree": (
        tree_network,
        (*make_tree(1), *[RNG.standard_normal(s) for s in ((6, 4), (4, 8), 4)]),
        (2, 3, 4),
    ),
    "soft_tree": (
        soft_tree,
        (RNG.standard_normal((5, 3)), *make_tree(2, 9), *map(RNG.standard_normal, ((9, 3), 9))),
        (0, 3, 4),
    ),
    "adaptive": (adaptive, (0.0, 2.5, 0.3), (0, 1, 2)),
    "fibonacci": (fibonacci, (5.3,), (0,)),
    "children_in_ranges": (
        children_in_ranges,
        (np.array([1, 4, 5, 5, 7, 7, 7, 7]), RNG.standard_normal((7, 3)), 0.7),
        (1, 2),
    ),
    "loop_inside": (
        loop_inside,
        (RNG.standard_normal(2), 4.0, RNG.standard_normal(12)),
        (0, 2),
    ),
    "inside_a_loop": (
        inside_a_loop,
        (9.0 * RNG.standard_normal((20, 4)), np.array([0.5, 0.4, 0.3, 0.6])),
        (0, 1),
    ),
    "accumulators": (accumulators, (RNG.standard_normal(3), np.array([0.5, 0.7]), 4.0), (0, 1)),
    "result_that_nobody_reads": (
        result_that_nobody_reads,
        (RNG.standard_normal(3), RNG.standard_normal(3), 3.0),
        (0, 1),
    ),
    "call_that_no_derivative_reads": (
        call_that_no_derivative_reads,
        (RNG.standard_normal(3) + 3.0, RNG.standard_normal(3), 3.0),
        (0, 1),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_of_both_orders(name: str) -> None:
    check(*PROGRAMS[name])


@pytest.mark.parametrize("left_out", ["simplify", "hoist", "batch", "dce", "fuse"])
@pytest.mark.parametrize("name", ["tree", "loop_inside", "children_in_ranges"])
def test_with_a_pass_left_out(name: str, left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLBACK_WITHOUT", left_out)
    function, args, argnums = PROGRAMS[name]
    for argnum, found in zip(argnums, pb.grad(function, argnums=argnums)(*args), strict=True):
        expected = differences(function, args, argnum)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_recursion_in_a_recursion() -> None:
    args = RNG.standard_normal(3) + 2.0, np.array([0.5, 0.4, 0.3]), 3.0
    check(recursion_in_a_recursion, args, (0, 1), count=3)


def test_sizes_of_each_activation() -> None:
    args = RNG.standard_normal(9), RNG.standard_normal(9), 3.0
    gradient = pb.grad(sizes_of_each_activation, argnums=(0, 1))
    for argnum, found in enumerate(gradient(*args)):
        expected = differences(sizes_of_each_activation, args, argnum)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_one_program_for_all_trees() -> None:
    weights = tuple([RNG.standard_normal(s) for s in ((6, 4), (4, 8), 4)])
    gradient = pb.grad(tree_network, argnums=(2, 3, 4))
    for seed in range(4):
        args = (*make_tree(seed), *weights)
        for argnum, found in zip((2, 3, 4), gradient(*args), strict=True):
            np.testing.assert_allclose(found, differences(tree_network, args, argnum), atol=1e-6)
    assert gradient.cache_info().misses == 1


def test_running_cotangents_are_updated_in_place() -> None:
    args = (*make_tree(1), *[RNG.standard_normal(s) for s in ((6, 4), (4, 8), 4)])
    source = pb.grad(tree_network, argnums=(2, 3, 4)).inspect(*args).source
    adjoint = source[source.index("def encode_adjoint") :]
    # The one copy is of what is recorded of an argument, if any; no table of embeddings is copied.
    assert ".copy()" not in adjoint.partition("return d")[0]


def test_a_pullback_runs_again() -> None:
    left, right = make_tree(3)
    weights = tuple([RNG.standard_normal(s) for s in ((6, 4), (4, 8), 4)])
    _, pull = pb.vjp(lambda *w: tree_network(left, right, *w))(*weights)
    first, second = pull(1.0), pull(1.0)
    expected = pb.grad(tree_network, argnums=(2, 3, 4))(left, right, *weights)
    for a, b, c in zip(first, second, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-12)


def test_depth() -> None:
    def down(x: Any, n: Any) -> Any:
        if n < 1.0:
            return x
        return down(np.sin(x) * 1.01, n - 1.0) + x

    def loss(x: Any, n: float) -> Any:
        return np.sum(down(x, n))

    args = np.ones(3), 300.0
    np.testing.assert_allclose(pb.grad(loss)(*args), differences(loss, args, 0), rtol=1e-6)


def test_a_zero_where_nothing_flows() -> None:
    def f(x: Any, w: Any) -> Any:
        def g(x: Any) -> Any:
            if np.sum(x) < 1.0:
                return np.sum(x)
            return g(x * 0.5)

        return g(x) + np.sum(w)

    x, w = np.ones(3), np.ones(3)
    dx, dw = pb.grad(f, argnums=(0, 1))(x, w)
    np.testing.assert_allclose(dx, np.full(3, 0.25))
    np.testing.assert_array_equal(dw, np.ones(3))


def test_float32() -> None:
    args: tuple[Any, ...] = tuple(
        [RNG.standard_normal(s).astype(np.float32) for s in ((6, 4), (4, 8), 4)]
    )
    args = (*make_tree(1), *args)
    exact = pb.grad(tree_network, argnums=(2, 3, 4))(*[np.asarray(a, float) if a.dtype.kind == "f"
                                                      else a for a in args])  # fmt: skip
    for found, expected in zip(pb.grad(tree_network, argnums=(2, 3, 4))(*args), exact, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_call_with_a_constant_is_kept_and_not_made_again_where_no_recursion_is_around() -> None:
    def f(x: Any) -> Any:
        def g(x: Any) -> Any:
            if x > 3.0:
                return x * x
            return x * g(np.float64(5.0)) + g(x + 1.0)

        return g(x)

    assert pb.grad(f)(1.5) == pytest.approx(57.0)
    assert pb.grad(pb.grad(f))(1.5) == pytest.approx(2.0)
