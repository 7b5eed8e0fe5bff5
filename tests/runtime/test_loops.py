"""Loops, compiled: carries in every relation to each other and to outputs, forward and reverse.

Each case is plain NumPy outside of a trace, where `scan` and `fori_loop` are Python loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.evaluate import evaluate
from pullback.tracer.tree import flatten

pytestmark = pytest.mark.usefixtures("checked")

RNG = np.random.default_rng(3)
H = RNG.standard_normal(3)
G = RNG.standard_normal(3)
XS = RNG.standard_normal((4, 3))
M = RNG.standard_normal((3, 3)) / 2
SQUARE = RNG.standard_normal((2, 2)) / 2


def leaves_of(value: Any) -> list[Any]:
    leaves: list[Any] = []
    flatten(value, leaves)
    return leaves


def assert_bits(found: Any, expected: Any) -> None:
    for a, b in zip(leaves_of(found), leaves_of(expected), strict=True):
        assert np.result_type(a) == np.result_type(b)
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


# -- the cases ------------------------------------------------------------------------------------


def carry_unchanged(h, g, xs):
    def step(carry, x):
        h, g = carry
        return (h * x + g, g), np.sum(g * x)

    return pb.scan(step, (h, g), xs)


def carries_swapped(h, g, xs):
    def step(carry, x):
        h, g = carry
        return (g, h), h * x

    return pb.scan(step, (h, g), xs[:3])


def carries_swapped_and_changed(h, g, xs):
    def step(carry, x):
        h, g = carry
        return (g * 1.5, np.sin(h) + x), g

    return pb.scan(step, (h, g), xs)


def carries_rotated(h, g, xs):
    def step(i, carry):
        a, b, c = carry
        return b, c, a

    return pb.fori_loop(0, 4, step, (h, g, xs[0]))


def carry_returned_twice(h, g, xs):
    def step(carry, x):
        a, b = carry
        c = a * b + x
        return (c, c), np.sum(c)

    return pb.scan(step, (h, g), xs)


def output_is_the_carry_in(h, g, xs):
    def step(h, x):
        return np.cos(h) * x, h

    return pb.scan(step, h, xs)


def output_is_the_carry_out(h, g, xs):
    def step(h, x):
        h = np.cos(h) * x
        return h, h

    return pb.scan(step, h, xs)


def outputs_twice_and_views(h, g, xs):
    def step(h, x):
        n = np.cos(h) * x
        return n, (n, n, h[::-1], n[1:], h, x)

    return pb.scan(step, h, xs)


def output_is_captured(h, g, xs):
    def step(h, x):
        return h + x, (g, g[0], 2.0)

    return pb.scan(step, h, xs)


def scalar_carries(h, g, xs):
    def step(carry, x):
        a, b = carry
        return (a * 0.9 + x[0], b * a), a - b

    return pb.scan(step, (h[0], g[1]), xs)


def python_number_carries(h, g, xs):
    def step(i, carry):
        total, count = carry
        return total + np.sum(h) * i, count + 1

    return pb.fori_loop(0, 3, step, (0.0, 0))


def integers_beside_floats(h, g, xs):
    def step(carry, x):
        h, k, n = carry
        return (h * x[k] + x, (k + 1) % 3, n + np.array([1, 2])), k

    return pb.scan(step, (h, np.int64(0), np.array([0, 5])), xs)


def length_one(h, g, xs):
    return pb.scan(lambda c, x: (c * x, c + x), h, xs[:1])


def backward_scan(h, g, xs):
    def step(h, x):
        h = np.tanh(h + x * g)
        return h, h * x

    return pb.scan(step, h, xs, reverse=True)


def nested_scans(h, g, xs):
    def inner(a, x):
        a = a * x + np.sum(g) * 0.1
        return a, a * a

    def outer(h, x):
        a, squares = pb.scan(inner, np.sum(h), x)
        return h * 0.5 + a, np.sum(squares)

    return pb.scan(outer, h, xs)


def fori_in_scan_by_index(h, g, xs):
    def outer(h, x):
        h = pb.fori_loop(0, 3, lambda i, v: v * x[i] + xs[i], h)
        return h, h[0]

    return pb.scan(outer, h, xs)


def captured_is_also_the_init(h, g, xs):
    def step(c, x):
        return c * x + h, c * h

    return pb.scan(step, h, xs)


def init_used_twice(h, g, xs):
    def step(carry, x):
        a, b = carry
        return (a * x, b + a), None

    return pb.scan(step, (h, h), xs)


def views_of_the_carry(h, g, xs):
    def step(h, x):
        return np.concatenate([h[1:], h[:1]]) * x, h[1]

    return pb.scan(step, h, xs)


def carry_becomes_its_view(h, g, xs):
    def step(h, x):
        return h[::-1], h * x

    return pb.scan(step, h, xs[:3])


def transposed_carry(h, g, xs):
    A = np.outer(h, g)[:, :2].T

    def step(A, x):
        return np.sin(A) * x, A.T.reshape(-1)

    return pb.scan(step, A, xs)


def carry_transposes_itself(h, g, xs):
    def step(A, x):
        return A.T + x, A[0]

    return pb.scan(step, np.outer(h, g), xs)


def rows_as_a_dict(h, g, xs):
    def step(h, row):
        return h * row["x"] + row["k"], {"sum": np.sum(h * row["x"]), "all": h}

    return pb.scan(step, h, {"x": xs, "k": xs[:, 0]})


def no_rows(h, g, xs):
    return pb.scan(lambda c, _: (c * g, c), h, None, length=3)


def no_outputs(h, g, xs):
    return pb.scan(lambda c, x: (c * x + g, None), h, xs)


def results_used_around(h, g, xs):
    a = np.exp(h)
    c, ys = pb.scan(lambda c, x: (c + a * x, c * g), a, xs)
    return c * a, ys[::-1] + a, a


def init_written_over_by_the_loop(h, g, xs):
    a = np.exp(h)
    b = a * 2.0
    c, _ = pb.scan(lambda c, x: (c * x, None), b, xs)
    return c + 1.0, a


def sum_of_a_gradient(h, g, xs):
    def energy(v, x):
        return np.sum(np.tanh(v * x) ** 2)

    def step(v, x):
        return v - 0.1 * pb.grad(energy)(v, x), None

    return pb.scan(step, h, xs)


def gradient_of_a_scan_in_a_scan(h, g, xs):
    def rolled(v, x):
        c, ys = pb.scan(lambda c, w: (np.sin(c * w + x), c), v, xs[:2])
        return np.sum(c * ys[1])

    def step(v, x):
        return v - 0.1 * pb.grad(rolled)(v, x), v

    return pb.scan(step, h, xs[:2])


def matrix_recurrence(h, g, xs):
    W = np.outer(h, g) + np.array(M, h.dtype)

    def step(h, x):
        h = np.tanh(W @ h + x)
        return h, h @ g

    return pb.scan(step, h, xs)


def loops_in_a_row(h, g, xs):
    c, ys = pb.scan(lambda c, x: (c * x, c + x), h, xs)
    d, zs = pb.scan(lambda c, y: (c + y * h, np.sum(c)), c, ys, reverse=True)
    return pb.fori_loop(1, 4, lambda i, v: v * zs[i] + d, g)


def offset_range(h, g, xs):
    def step(i, v):
        return v * 0.5 + xs[i] * i + xs[i - 1]

    return pb.fori_loop(1, 4, step, h)


CASES: list[Callable[..., Any]] = [
    carry_unchanged,
    carries_swapped,
    carries_swapped_and_changed,
    carries_rotated,
    carry_returned_twice,
    output_is_the_carry_in,
    output_is_the_carry_out,
    outputs_twice_and_views,
    output_is_captured,
    scalar_carries,
    python_number_carries,
    integers_beside_floats,
    length_one,
    backward_scan,
    nested_scans,
    fori_in_scan_by_index,
    captured_is_also_the_init,
    init_used_twice,
    views_of_the_carry,
    carry_becomes_its_view,
    transposed_carry,
    carry_transposes_itself,
    rows_as_a_dict,
    no_rows,
    no_outputs,
    results_used_around,
    init_written_over_by_the_loop,
    sum_of_a_gradient,
    gradient_of_a_scan_in_a_scan,
    matrix_recurrence,
    loops_in_a_row,
    offset_range,
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)


def loss(case: Callable[..., Any], *arguments: Any) -> Any:
    """Contract all floating-point results with fixed weights."""
    total: Any = 0.0
    for k, leaf in enumerate(leaves_of(case(*arguments))):
        if np.result_type(leaf).kind == "f":
            weights = np.linspace(0.5, 1.5 + 0.1 * k, max(np.size(leaf), 1))
            total = total + np.sum(leaf * weights.reshape(np.shape(leaf)))
    return total


@each_case
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
def test_the_compiled_loop_has_the_bits_of_the_python_loop(case: Any, dtype: Any) -> None:
    arguments = [a.astype(dtype) for a in (H, G, XS)]
    expected = case(*arguments)
    compiled = pb.compile(case, exact=True)
    first = compiled(*arguments)
    assert_bits(first, expected)
    assert_bits(compiled(*[2 * a for a in arguments]), case(*[2 * a for a in arguments]))
    assert_bits(first, expected)  # a later call did not write into results


@each_case
def test_gradients_of_both_orders_agree_with_differences(case: Any) -> None:
    pb.check_grads(lambda h, g, xs: loss(case, h, g, xs), (H, G, XS), order=2)


@each_case
def test_every_stage_evaluates_to_what_the_program_computes(case: Any) -> None:
    def f(h: Any, g: Any, xs: Any) -> Any:
        return loss(case, h, g, xs)

    gradient = pb.value_and_grad(f, argnums=(0, 1, 2))
    found = leaves_of(gradient(H, G, XS))
    again = leaves_of(gradient(H, G, XS))
    stages = gradient.inspect(H, G, XS).stages
    hidden: Any = len(stages[0].function.params) - 3
    inputs = [H, G, XS, M][: 3 + hidden]
    for stage in stages:
        results = evaluate(stage.function, *inputs)
        for a, b in zip(found, results, strict=False):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    assert_bits(found, results)
    assert_bits(again, found)


# -- trip counts ----------------------------------------------------------------------------------


def power(x: Any, n: Any) -> Any:
    return pb.fori_loop(0, n, lambda i, v: v * x + i, 1.0)


def power_in_python(x: float, n: int) -> float:
    v = 1.0
    for i in range(n):
        v = v * x + i
    return v


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_traced_trip_count_runs_as_often_as_it_says(n: int) -> None:
    compiled = pb.compile(power)
    gradient = pb.grad(power)
    second = pb.grad(pb.grad(power))
    x, step = 1.1, 1e-4
    for count in (n, n + 2, n):
        assert float(compiled(x, np.int64(count))) == power_in_python(x, count)
        slope = power_in_python(x + step, count) - power_in_python(x - step, count)
        assert gradient(x, np.int64(count)) == pytest.approx(slope / (2 * step), rel=1e-6, abs=1e-9)
        bend = gradient(x + step, np.int64(count)) - gradient(x - step, np.int64(count))
        assert second(x, np.int64(count)) == pytest.approx(bend / (2 * step), rel=1e-6, abs=1e-9)
    assert compiled.cache_info().misses == 1


def test_a_traced_trip_count_over_arrays_with_traced_bounds() -> None:
    def f(h: Any, xs: Any, lo: Any, hi: Any) -> Any:
        v = pb.fori_loop(lo, hi, lambda i, v: np.sin(v * xs[i]) + v, h)
        return np.sum(v**2)

    gradient = pb.grad(f, argnums=(0, 1))
    for lo, hi in ((0, 4), (1, 3), (2, 2), (3, 1)):
        bounds = np.int64(lo), np.int64(hi)
        assert_bits(pb.compile(f, exact=True)(H, XS, *bounds), f(H, XS, lo, hi))
        found = gradient(H, XS, *bounds)
        expected = pb.grad(lambda h, xs, lo=lo, hi=hi: f(h, xs, lo, hi), argnums=(0, 1))(H, XS)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_no_iteration_leaves_the_carry_and_passes_the_cotangent_on() -> None:
    def f(h: Any, g: Any) -> Any:
        v = pb.fori_loop(2, 2, lambda i, v: v * g, h)
        return np.sum(v**2)

    assert pb.compile(f)(H, G) == f(H, G)
    dh, dg = pb.grad(f, argnums=(0, 1))(H, G)
    np.testing.assert_array_equal(dh, 2 * H)
    np.testing.assert_array_equal(dg, 0 * G)


def test_scanning_no_rows_gives_empty_outputs() -> None:
    def f(h: Any, xs: Any) -> Any:
        c, ys = pb.scan(lambda c, x: (c * x, c), h, xs)
        return np.sum(c**2) + np.sum(ys), ys

    empty = np.empty((0, 3))
    (value, ys), (dh, dxs) = pb.value_and_grad(f, argnums=(0, 1), has_aux=True)(H, empty)
    assert value == np.sum(H**2)
    assert ys.shape == (0, 3)
    np.testing.assert_array_equal(dh, 2 * H)
    assert dxs.shape == (0, 3)


def test_rows_that_never_matter_cost_no_gradient() -> None:
    def f(h: Any, xs: Any) -> Any:
        _, ys = pb.scan(lambda c, x: (c + 1.0, x * 2.0), h, xs)
        return np.sum(ys)

    dh, dxs = pb.grad(f, argnums=(0, 1))(H, XS)
    np.testing.assert_array_equal(dh, np.zeros(3))
    np.testing.assert_array_equal(dxs, np.full((4, 3), 2.0))


def test_a_loop_over_rows_makes_no_zeros_in_its_body() -> None:
    def f(xs: Any) -> Any:
        c, _ = pb.scan(lambda c, x: (c + np.sin(x), None), np.zeros(3), xs)
        return np.sum(c)

    for stage in pb.grad(f).inspect(XS).stages:
        loops = [eqn.op for eqn in stage.function.eqns if eqn.op.regions]
        for region in (r for op in loops for r in op.regions):
            assert all(eqn.op.name not in ("full", "broadcast_to") for eqn in region.eqns)


def test_a_carry_that_changes_its_dtype_is_refused() -> None:
    def f(h: Any) -> Any:
        return pb.scan(lambda c, x: (c * x, None), h, XS)[0]

    with pytest.raises(pb.ShapeError, match="changes the type of a carried value"):
        pb.compile(f)(H.astype(np.float32))


def test_what_an_inner_loop_of_a_traced_length_keeps_is_on_a_tape() -> None:
    def f(h: Any, n: Any) -> Any:
        def outer(i: Any, v: Any) -> Any:
            return pb.fori_loop(0, n, lambda j, v: np.sin(v) * h, v)

        return np.sum(pb.fori_loop(0, 3, outer, h))

    compiled = pb.compile(f, exact=True)
    assert_bits(compiled(H, np.int64(2)), f(H, 2))
    found = pb.grad(f)(H, np.int64(2))
    np.testing.assert_allclose(found, pb.grad(lambda h: f(h, 2))(H), rtol=1e-12)


def test_an_inner_loop_that_prints_does_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    def f(h: Any, n: Any) -> Any:
        def inner(j: Any, v: Any) -> Any:
            print(j)
            return np.sin(v) * h

        return np.sum(pb.fori_loop(0, 3, lambda i, v: pb.fori_loop(0, n, inner, v), h))

    pb.grad(f)(H, np.int64(2))
    assert capsys.readouterr().out == "0\n1\n" * 3


def test_python_numbers_take_the_dtype_that_an_iteration_gives_them() -> None:
    def f(x: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, v: (v[0] * x + i, v[1] + 1), (1, 0))

    found = pb.compile(f, exact=True)(np.float32(1.5))
    assert_bits(found, f(np.float32(1.5)))
    assert found[0].dtype == np.float32


def test_equal_loops_keep_residuals_of_their_own() -> None:
    def f(h: Any, xs: Any) -> Any:
        def rolled() -> Any:
            return pb.scan(lambda c, x: (np.sin(c * x), np.cos(c)), h, xs)

        (a, ys), (b, zs) = rolled(), rolled()
        return np.sum(a * b) + np.sum(ys[::-1] * zs)

    pb.check_grads(f, (H, XS), order=2)


def test_a_loop_in_which_nothing_changes_does_nothing() -> None:
    def f(h: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, c: c, h)

    assert_bits(pb.compile(f, exact=True)(H), H)
    np.testing.assert_array_equal(pb.grad(lambda h: np.sum(f(h)))(H), np.ones(3))
