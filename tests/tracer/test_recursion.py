"""Functions that call themselves where a traced value decides, against plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.ops.recursion import Recursion

Call = Callable[..., Any]


def recursions(function: Call, *args: Any) -> int:
    """Return how many recursions the compiled program of a function has."""
    forward = pb.compile(function).inspect(*args).forward
    return sum(isinstance(e.op, Recursion) for e in walk(forward))


def check(function: Call, *arguments: tuple[Any, ...], programs: int = 1, count: int = 1) -> Any:
    """Compare a compiled function with the plain one, and count what was compiled."""
    compiled = pb.compile(function, exact=True)
    for args in arguments:
        expected, found = function(*args), compiled(*args)
        assert type(found) is type(expected)
        np.testing.assert_array_equal(found, expected)
        assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)
    assert compiled.cache_info().misses == programs
    assert recursions(function, *arguments[0]) == count
    return compiled


# ---- trees ---------------------------------------------------------------------------------------


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


def tree_rnn(left: Any, right: Any, words: Any, embedding: Any, W: Any, b: Any) -> Any:
    def encode(node: int) -> Any:
        if left[node] < 0:
            return embedding[words[node]]
        children = np.concatenate([encode(left[node]), encode(right[node])])
        return np.tanh(W @ children + b)

    return encode(0)


def test_a_tree_network_is_compiled_once_for_all_trees() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 6, 15)
    weights = rng.standard_normal((6, 4)), rng.standard_normal((4, 8)), rng.standard_normal(4)
    check(tree_rnn, *[(*make_tree(k), words, *weights) for k in range(5)])


def soft_tree(x: Any, left: Any, right: Any, W: Any, values: Any, node: Any = 0) -> Any:
    if left[node] < 0:
        return values[node] * np.ones(len(x))
    p = 1.0 / (1.0 + np.exp(-(x @ W[node])))
    return p * soft_tree(x, left, right, W, values, left[node]) + (1.0 - p) * soft_tree(
        x, left, right, W, values, node=right[node]
    )


def test_a_soft_decision_tree_of_traced_structure() -> None:
    rng = np.random.default_rng(1)
    x, W, values = (
        rng.standard_normal((7, 3)),
        rng.standard_normal((15, 3)),
        rng.standard_normal(15),
    )
    check(soft_tree, *[(x, *make_tree(k), W, values) for k in range(4)])


def test_children_in_ranges() -> None:
    def total(node: int, start: Any, weight: Any) -> Any:
        found = weight[node]
        for child in range(start[node], start[node + 1]):
            found = found + 0.5 * total(child, start, weight)
        return found

    def f(start: Any, weight: Any) -> Any:
        return total(0, start, weight)

    weight = np.arange(1.0, 8.0)
    starts = [[1, 4, 5, 5, 7, 7, 7, 7], [1, 2, 3, 4, 5, 6, 7, 7], [1, 7, 7, 7, 7, 7, 7, 7]]
    check(f, *[(np.array(s), weight) for s in starts])


# ---- numbers -------------------------------------------------------------------------------------


def simpson(f: Call, a: Any, b: Any, tol: Any) -> Any:
    def refine(a: Any, m: Any, b: Any, fa: Any, fm: Any, fb: Any, tol: Any) -> Any:
        left, right = 0.5 * (a + m), 0.5 * (m + b)
        fl, fr = f(left), f(right)
        h = b - a
        whole, halves = h / 6 * (fa + 4 * fm + fb), h / 12 * (fa + 4 * fl + 2 * fm + 4 * fr + fb)
        if abs(halves - whole) < 15 * tol:
            return halves + (halves - whole) / 15
        return refine(a, left, m, fa, fl, fm, tol / 2) + refine(m, right, b, fm, fr, fb, tol / 2)

    m = 0.5 * (a + b)
    return refine(a, m, b, f(a), f(m), f(b), tol)


def adaptive(a: float, b: float, width: float, tol: float) -> float:
    return simpson(lambda x: 1.0 / (1.0 + ((x - 1.0) / width) ** 2), a, b, tol)


def test_adaptive_quadrature_is_one_program() -> None:
    tolerances = [10.0**-k for k in range(2, 9)]
    check(adaptive, *[(0.0, 2.5, 0.3, tol) for tol in tolerances], (0.0, 3.0, 0.1, 1e-6))


def fibonacci(x: Any) -> Any:
    if x < 2.0:
        return x
    return fibonacci(x - 1.0) + fibonacci(x - 2.0)


def test_two_calls_of_itself() -> None:
    check(fibonacci, *[(float(n),) for n in range(12)])
    check(fibonacci, *[(np.float32(n),) for n in range(9)])


def test_a_decorated_function_calls_itself() -> None:
    @pb.compile
    def collatz(x: Any) -> Any:
        if x <= 1.0:
            return 0
        return 1 + (collatz(x / 2.0) if x % 2.0 == 0.0 else collatz(3.0 * x + 1.0))

    assert collatz(27.0) == 111
    assert collatz(97.0) == 118
    assert collatz.cache_info().misses == 1


def test_results_that_are_containers() -> None:
    def halve(x: Any, least: float) -> Any:
        if x.sum() < least:
            return {"x": x * 1.0, "times": 0, "note": "done"}
        found = halve(x * 0.5, least)
        return {"x": found["x"], "times": found["times"] + 1, "note": "done"}

    compiled = pb.compile(halve)
    for least in (0.1, 3.0, 100.0):
        expected, found = halve(np.ones(4), least), compiled(np.ones(4), least)
        np.testing.assert_array_equal(found["x"], expected["x"])
        assert (found["times"], found["note"]) == (expected["times"], "done")
    assert compiled.cache_info().misses == 1


def test_arguments_that_are_containers() -> None:
    def walk_down(state: Any, least: Any) -> Any:
        x, (count, total) = state
        if x < least:
            return count, total
        return walk_down((x * 0.5, (count + 1, total + x)), least)

    def f(x: Any, least: Any) -> Any:
        count, total = walk_down((x, (0, 0.0)), least)
        return total / count

    check(f, (8.0, 0.1), (100.0, 0.3))


def test_types_that_settle_in_the_call_within() -> None:
    def power(x: Any, left: Any, result: Any) -> Any:
        if left < 1.0:
            return result
        return power(x, left - 1.0, result * x)

    def f(x: Any, n: Any) -> Any:
        return power(x, n, 1)

    check(f, (np.float64(1.5), 3.0), (np.float64(1.5), 10.0))


def test_a_method_calls_itself() -> None:
    class Root:
        def __init__(self, scale: float) -> None:
            self.scale = np.full(3, scale)

        def down(self, x: Any) -> Any:
            if np.max(x) < 1.0:
                return x + self.scale
            return self.down(x / 2.0) * self.scale

    root = Root(1.5)
    check(lambda x: root.down(x), (np.arange(3.0),), (np.arange(3.0) * 50,))


def test_a_branch_with_several_ends() -> None:
    def search(x: Any, low: Any, high: Any) -> Any:
        mid = (low + high) // 2
        if low >= high:
            return low
        if x[mid] < 5.0:
            return search(x, mid + 1, high)
        return search(x, low, mid)

    def f(x: Any) -> Any:
        return x[search(x, 0, len(x))] * 2.0

    check(f, (np.arange(16.0),), (np.arange(16.0) - 3.0,), (np.arange(16.0) * 3,))


def test_depth() -> None:
    def down(x: Any, n: Any) -> Any:
        if n < 1.0:
            return x
        return down(x * 1.01, n - 1.0) + 1.0

    check(down, (np.ones(3), 200.0), (np.ones(3), 0.0), (np.ones(3), 400.0))


def test_recursion_inside_a_loop_and_a_branch() -> None:
    def half(x: Any) -> Any:
        if np.sum(x) < 1.0:
            return x
        return half(x * 0.5)

    def f(x: Any) -> Any:
        total = np.zeros(4)
        for i in range(20):
            if x[i, 0] > 0.0:
                total = total + half(x[i])
        return total

    check(f, (np.random.default_rng(3).standard_normal((20, 4)) * 9,))


def test_a_static_recursion_is_written_out() -> None:
    def halves(x: Any, depth: int) -> Any:
        if depth == 0:
            return x
        return halves(x[: len(x) // 2], depth - 1) + halves(x[len(x) // 2 :], depth - 1)

    check(lambda x: halves(x, 3), (np.arange(16.0),), count=0)


# ---- what is no recursion that can be compiled ---------------------------------------------------


def test_functions_that_call_each_other() -> None:
    def even(x: Any) -> Any:
        if x < 1.0:
            return 1.0
        return odd(x - 1.0)

    def odd(x: Any) -> Any:
        if x < 1.0:
            return -1.0
        return even(x - 1.0) * 1.5

    check(even, (4.0,), (5.0,), (0.0,))


def test_shapes_that_change_are_specialised() -> None:
    def first_small(x: Any) -> Any:
        if np.max(x) < 3.0:
            return np.sum(x)
        return first_small(x[1:])

    check(first_small, (np.array([5.0, 4.0, 1.0, 2.0]),), (np.array([5.0, 1, 1, 2]),),
          programs=2, count=0)  # fmt: skip


def test_writes_into_arrays_of_outside_are_specialised() -> None:
    def mark(x: Any, out: Any, k: Any) -> Any:
        out[k] = x
        if x < 1.0:
            return x
        return mark(x * 0.5, out, k + 1)

    def f(x: Any) -> Any:
        out = np.zeros(8)
        mark(x, out, 0)
        return out

    check(f, (5.0,), (20.0,), programs=2, count=0)


def test_a_list_of_outside_is_specialised() -> None:
    def collect(x: Any, found: list[Any]) -> Any:
        found.append(x)
        if x < 1.0:
            return x
        return collect(x * 0.5, found)

    def f(x: Any) -> Any:
        found: list[Any] = []
        return collect(x, found) + sum(found)

    check(f, (5.0,), (20.0,), programs=2, count=0)


def test_a_result_that_is_the_argument_is_not_written_into() -> None:
    def shrink(x: Any, least: Any) -> Any:
        if np.sum(x) < least:
            return x
        return shrink(x * 0.5, least)

    def f(x: Any, least: Any) -> Any:
        y = x + 1.0
        z = shrink(y, least)
        z[0] = 100.0
        return y

    def g(x: Any, least: Any) -> Any:
        y = x + 1.0
        z = shrink(y, least)
        return y, z

    check(f, (np.ones(3), 100.0), (np.ones(3), 1.0), programs=2, count=0)
    compiled = pb.compile(g)
    for least in (100.0, 1.0):
        for found, expected in zip(compiled(np.ones(3), least), g(np.ones(3), least), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_rows_of_an_array_that_is_written_later() -> None:
    def pick(x: Any, k: Any) -> Any:
        if x[k, 0] < 0.0:
            return x[k]
        return pick(x, k + 1)

    def f(x: Any) -> Any:
        y = x * 1.0
        row = pick(y, 0)
        y[2] = 7.0
        return row + 0.0

    x = np.array([[1.0, 2.0], [3.0, 4.0], [-1.0, 5.0]])
    np.testing.assert_array_equal(pb.compile(f)(x), f(x))


def test_effects_happen_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any, n: Any) -> Any:
        print("at", n)
        if n < 1.0:
            return x
        if n > 50.0:
            raise ValueError("too deep")
        found = f(x * 0.5, n - 1.0) + f(x * 0.25, n - 2.0)
        print("done", found)
        return found

    compiled, gradient = pb.compile(f, exact=True), pb.grad(lambda x, n: np.sum(f(x, n)))
    for n in (2.0, 3.0):
        expected = f(np.ones(2), n)
        text = capsys.readouterr().out
        np.testing.assert_array_equal(compiled(np.ones(2), n), expected)
        assert capsys.readouterr().out == text
        gradient(np.ones(2), n)
        assert capsys.readouterr().out == text
    assert compiled.cache_info().misses == gradient.cache_info().misses == 1
    with pytest.raises(ValueError, match="too deep"):
        compiled(np.ones(2), 51.0)


def test_draws_happen_in_order() -> None:
    def walk_on(x: Any, rng: np.random.Generator) -> Any:
        if np.abs(x) > 3.0:
            return x
        return walk_on(x + rng.standard_normal(), rng) * 1.5

    for seed in range(5):
        expected = walk_on(0.5, np.random.default_rng(seed))
        assert pb.compile(walk_on)(0.5, np.random.default_rng(seed)) == expected
    _, count = pb.value_and_grad(walk_on)(0.5, np.random.default_rng(3))
    assert np.log(count) / np.log(1.5) == pytest.approx(round(np.log(count) / np.log(1.5)))


# ---- errors --------------------------------------------------------------------------------------


def endless(x: Any) -> Any:
    if np.sum(x) < -1.0:
        return x
    return endless(x + 1.0)


def test_a_recursion_without_end() -> None:
    compiled = pb.compile(endless)
    with pytest.raises(RecursionError, match=r"endless\(x \+ 1\.0\)` calls itself") as caught:
        compiled(np.ones(2))
    assert "test_recursion.py" in str(caught.value)
    np.testing.assert_array_equal(compiled(-np.ones(2)), -np.ones(2))


def test_an_index_outside_of_the_array() -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        pb.compile(tree_rnn)(
            np.array([1, 7, -1]), np.array([2, 2, -1]), np.zeros(3, int), np.ones((1, 2)),
            np.ones((2, 4)), np.ones(2),
        )  # fmt: skip


def test_explain() -> None:
    text = str(pb.compile(endless).explain(np.ones(2)))
    assert "compiled as a recursion" in text
