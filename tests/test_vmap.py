"""`vmap` against a Python loop over the examples: values, gradients on both sides, axes, errors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_programs import Program as LoopProgram

import pullback as pb

rng = np.random.default_rng(0)
X = rng.standard_normal((5, 3))
W = rng.standard_normal((3, 2))


class Program(NamedTuple):
    """A function of one example, arguments for some, and which of them are mapped."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    mapped: tuple[bool, ...]

    @property
    def axes(self) -> tuple[int | None, ...]:
        return tuple([0 if m else None for m in self.mapped])

    def looped(self, function: Callable[..., Any]) -> np.ndarray:
        size = next(len(a) for a, m in zip(self.arguments, self.mapped, strict=True) if m)
        pairs = list(zip(self.arguments, self.mapped, strict=True))
        return np.stack([function(*[a[k] if m else a for a, m in pairs]) for k in range(size)])


def layer(x, w):
    h = np.tanh(x @ w)
    return h - np.max(h)


def branch(x):
    return np.sqrt(x) if x > 0 else x * x


def branch_of_arrays(x, w):
    if x.sum() > 0:
        return np.tanh(x @ w)
    return x[:2] * 3.0


def power_until(x):
    while x < 10:
        x = x * 1.5
    return x


def counted(x):
    n = 0
    while np.sum(x * x) < 10.0:
        x = x * x + 0.5
        n = n + 1
    return np.sum(x) * n


def newton(a):
    x = a
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


def recurrent(x, w):
    for _ in range(5):
        x = np.tanh(w @ x)
    return x


def left_early(x):
    total = 0.0
    for i in range(10):
        if total > 3.0:
            break
        total = total + x * i
    return total


def collected(x):
    rows = []
    for _ in range(4):
        x = np.sin(x)
        rows.append(x)
    return np.stack(rows)


def branch_in_a_loop(x):
    total = 0.0
    for i in range(3):
        total = total + (np.sqrt(x[i]) if x[i] > 0 else -(x[i] ** 2))
    return total


def masked(x):
    return np.sum(np.exp(x[x > 0]))


def chosen(x, k):
    return pb.switch(k, [lambda x: x * 2.0, np.sin, lambda x: x**2], x)


def as_often_as_told(x, n):
    return pb.fori_loop(0, n, lambda i, s: s * x + i, 1.0)


def both_in_a_loop(x):
    steps = 0
    while x > 1.0:
        x = x / 2.0 if x % 2.0 == 0.0 else 3.0 * x + 1.0
        steps = steps + 1
    return x * steps


def written(x):
    y = np.zeros(3)
    for i in range(3):
        y[i] = x[i] * 2
        if i > 0:
            y[i] += y[i - 1]
    return y


def picked(x, k):
    return x[k] * 2


def picked_columns(x, k):
    return x[:, k] ** 2


def scattered(x, k):
    y = np.zeros((4, 2))
    np.add.at(y, k, x)
    return y**2


def solved(x, b):
    return np.linalg.solve(x @ x.T + np.eye(3), b)


def factored(x):
    return np.linalg.cholesky(x @ x.T + np.eye(3))


PROGRAMS = [
    Program(layer, (X, W), (True, False)),
    Program(layer, (X, rng.standard_normal((5, 3, 2))), (True, True)),
    Program(layer, (X[0], rng.standard_normal((5, 3, 2))), (False, True)),
    Program(branch, (np.array([0.0, 2.0, -1.0, 3.0]),), (True,)),
    Program(branch_of_arrays, (X, W), (True, False)),
    Program(power_until, (np.array([1.0, 20.0, 3.0, 0.5]),), (True,)),
    Program(counted, (X,), (True,)),
    Program(newton, (np.array([2.0, 9.0, 30.0, 1.0]),), (True,)),
    Program(recurrent, (X, rng.standard_normal((3, 3))), (True, False)),
    Program(recurrent, (X[0], rng.standard_normal((5, 3, 3))), (False, True)),
    Program(left_early, (np.array([0.1, 0.5, 3.0, 10.0]),), (True,)),
    Program(collected, (X,), (True,)),
    Program(branch_in_a_loop, (X,), (True,)),
    Program(masked, (X,), (True,)),
    Program(chosen, (X[:, 0], np.array([0, 1, 2, 5, -1])), (True, True)),
    Program(as_often_as_told, (X[:, 0], np.array([0, 3, 1, 5, 2])), (True, True)),
    Program(both_in_a_loop, (np.array([1.0, 2.0, 3.0, 7.0]),), (True,)),
    Program(written, (X,), (True,)),
    Program(picked, (X, np.array([0, 2, 1, 1, -1])), (True, True)),
    Program(picked, (X[0], np.array([0, 2, 1, 1, -1])), (False, True)),
    Program(picked_columns, (rng.standard_normal((4, 2, 3)), np.array([[0, 1]] * 4)), (True, True)),
    Program(scattered, (rng.standard_normal((3, 5, 2)), rng.integers(0, 4, (3, 5))), (True, True)),
    Program(solved, (rng.standard_normal((4, 3, 3)), rng.standard_normal((4, 3))), (True, True)),
    Program(solved, (rng.standard_normal((3, 3)), rng.standard_normal((4, 3))), (False, True)),
    Program(factored, (rng.standard_normal((4, 3, 3)),), (True,)),
]
every_program = pytest.mark.parametrize("p", PROGRAMS, ids=lambda p: p.function.__name__)


@every_program
def test_values_are_those_of_a_loop(p: Program) -> None:
    found = pb.vmap(p.function, in_axes=p.axes)(*p.arguments)
    expected = p.looped(p.function)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@every_program
def test_gradients_for_each_example_are_those_of_a_loop(p: Program) -> None:
    gradient = pb.grad(lambda *arguments: np.sum(p.function(*arguments) ** 2))
    found = pb.vmap(gradient, in_axes=p.axes)(*p.arguments)
    np.testing.assert_allclose(found, p.looped(gradient), rtol=1e-9, atol=1e-11)


@every_program
def test_the_gradient_of_many_is_that_of_a_loop(p: Program) -> None:
    def total(*arguments):
        return np.sum(pb.vmap(p.function, in_axes=p.axes)(*arguments) ** 2)

    found = pb.grad(total)(*p.arguments)
    expected = p.looped(pb.grad(lambda *arguments: np.sum(p.function(*arguments) ** 2)))
    expected = expected if p.mapped[0] else expected.sum(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_nothing_is_computed_for_examples_that_do_not_ask_for_it() -> None:
    def safe(x):
        if x > 0:
            return np.sqrt(x) + 1 / x + np.log(x)
        return -x

    x = np.array([0.0, 4.0, -1.0])
    total = pb.grad(lambda x: np.sum(pb.vmap(safe)(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient, each = pb.vmap(safe)(x), total(x), pb.vmap(pb.grad(safe))(x)
    np.testing.assert_allclose(value, [0.0, 2.25 + math.log(4), 1.0])
    expected = [-1.0, 0.25 - 1 / 16 + 0.25, -1.0]
    np.testing.assert_allclose(gradient, expected)
    np.testing.assert_allclose(each, expected)


def test_what_a_branch_computes_once_waits_for_an_example_that_takes_it() -> None:
    def f(x, w):
        return x * np.log(w) if x > 0 else x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pb.vmap(f, in_axes=(0, None))(np.array([-1.0, -2.0]), np.float64(0.0))
    assert found.tolist() == [-1.0, -2.0]
    found = pb.vmap(f, in_axes=(0, None))(np.array([-1.0, 2.0]), np.float64(3.0))
    np.testing.assert_allclose(found, [-1.0, 2 * np.log(3.0)])


def test_a_loop_does_not_run_on_for_examples_that_have_ended() -> None:
    def f(x):
        while x < 1e300:
            x = x * x
        return x

    x = np.array([2.0, 1e200, 1e301, 1.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last product of an example may overflow
        expected = [f(v) for v in x]
        np.testing.assert_array_equal(pb.vmap(f)(x), expected)


def test_the_user_sees_one_example() -> None:
    def f(a, b, c):
        return a.shape + b.shape, c.ndim, len(a)

    shape, ndim, length = pb.vmap(f, in_axes=(1, 0, 0), out_axes=None)(
        np.ones((3, 5)), np.ones((5, 2, 4)), np.ones(5)
    )
    assert (shape, ndim, length) == ((3, 2, 4), 0, 3)


def test_scalars_are_those_of_numpy() -> None:
    def f(x):
        return np.float32(1) * x, x * 1.5

    for dtype in (np.float32, np.float64, np.int32):
        x = np.arange(1, 4, dtype=dtype)
        found = pb.vmap(f)(x)
        for got, expected in zip(found, zip(*map(f, x), strict=True), strict=True):
            expected = np.stack(expected)
            assert got.dtype == expected.dtype
            assert got.tolist() == expected.tolist()


@given(
    st.integers(0, 2),
    st.one_of(st.none(), st.integers(-2, 1)),
    st.one_of(st.none(), st.integers(-1, 0)),
    st.integers(-2, 1),
    st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_axes(a: int, b: int | None, c: int | None, out: int, size: int) -> None:
    def place(shape: tuple[int, ...], axis: int | None) -> np.ndarray:
        if axis is not None:
            at = axis % (len(shape) + 1)
            shape = (*shape[:at], size, *shape[at:])
        return rng.standard_normal(shape)

    def take(x: np.ndarray, axis: int | None, k: int) -> np.ndarray:
        return x if axis is None else np.take(x, k, axis)

    def f(x, parts):
        return np.tanh(x) @ np.ones(2) + parts["y"] * parts["z"]

    x, y, z = place((3, 2), a), place((3,), b), place((), c)
    found = pb.vmap(f, in_axes=(a, {"y": b, "z": c}), out_axes=out)(x, {"y": y, "z": z})
    each = [f(take(x, a, k), {"y": take(y, b, k), "z": take(z, c, k)}) for k in range(size)]
    expected = np.stack(each, axis=out) if each else np.moveaxis(np.zeros((0, 3)), 0, out)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_nested() -> None:
    def dot(a, b):
        return a @ b

    rows = pb.vmap(pb.vmap(dot, in_axes=(None, 0)), in_axes=(0, None))
    y = rng.standard_normal((4, 3))
    np.testing.assert_allclose(rows(X, y), X @ y.T)
    second = pb.vmap(pb.vmap(pb.grad(pb.grad(lambda x: x**3))))
    np.testing.assert_allclose(second(X), 6 * X)


def test_as_a_decorator_with_arguments_by_name() -> None:
    @pb.vmap(in_axes=(0, None))
    def scaled(x, a, *, shift, negate=False):
        return (-x if negate else x) * a + shift

    shift = np.arange(5.0)
    found = scaled(X, 2.0, shift=shift)
    np.testing.assert_allclose(found, X * 2 + shift[:, None])
    found = scaled(X, 2.0, shift=shift, negate=True)
    np.testing.assert_allclose(found, -X * 2 + shift[:, None])


def test_results_that_all_examples_share() -> None:
    def f(x, w):
        return {"x": x * 2, "w": w + 1, "n": 7, "name": "f"}

    found = pb.vmap(f, in_axes=(0, None))(X, W)
    np.testing.assert_array_equal(found["w"], np.stack([W + 1] * 5))
    assert found["n"].tolist() == [7] * 5
    assert found["name"] == "f"
    found = pb.vmap(f, in_axes=(0, None), out_axes={"x": 1, "w": None, "n": None, "name": 0})(X, W)
    np.testing.assert_array_equal(found["x"], X.T * 2)
    np.testing.assert_array_equal(found["w"], W + 1)


def test_random_draws_are_in_the_order_of_the_examples() -> None:
    def noisy(x, generator):
        return x + generator.standard_normal(2) * generator.uniform()

    first, second = np.random.default_rng(3), np.random.default_rng(3)
    found = pb.vmap(noisy, in_axes=(0, None))(X[:, :2], first)
    np.testing.assert_array_equal(found, [noisy(x, second) for x in X[:, :2]])
    assert first.bit_generator.state == second.bit_generator.state


def test_what_is_done_one_by_one_between_draws() -> None:
    def f(x, generator):
        first = generator.standard_normal()
        sizes = np.sum(x[x > 0])  # of another size for each example
        second = generator.standard_normal()
        return first * sizes + second, sizes

    one, many = np.random.default_rng(3), np.random.default_rng(3)
    found = pb.vmap(f, in_axes=(0, None))(X, many)
    each = [f(x, one) for x in X]
    for got, expected in zip(found, zip(*each, strict=True), strict=True):
        np.testing.assert_allclose(got, expected)


def test_each_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(x):
        print("x is", x)
        return x * 2

    pb.vmap(shown)(np.array([1.0, 2.5]))
    assert capsys.readouterr().out == "x is 1.0\nx is 2.5\n"


def test_a_condition_that_fails_shows_the_first_example_of_it() -> None:
    def positive(x):
        if x < 0:
            raise ValueError(f"{x} is negative")
        return np.sqrt(x)

    def nested(x):
        return positive(x - 1) if x > 0 else x

    assert pb.vmap(positive)(np.array([1.0, 4.0])).tolist() == [1.0, 2.0]
    assert pb.vmap(nested)(np.array([-1.0, -4.0])).tolist() == [-1.0, -4.0]
    assert pb.vmap(positive)(np.zeros(0)).shape == (0,)
    with pytest.raises(ValueError, match=r"^-2\.0 is negative$"):
        pb.vmap(positive)(np.array([1.0, -2.0, -3.0]))


def test_rules_of_the_users_own_are_kept() -> None:
    @pb.custom_vjp
    def f(x, w):
        return np.tanh(x @ w)

    def forward(x, w):
        y = f(x, w)
        return y, (y, x, w)

    def backward(kept, ct):
        y, x, w = kept
        d = 2 * ct * (1 - y * y)  # twice what it is
        return w @ d, np.outer(x, d)

    f.defvjp(forward, backward)
    one = pb.grad(lambda x, w: np.sum(f(x, w)), argnums=(0, 1))
    many = pb.grad(lambda x, w: np.sum(pb.vmap(f, in_axes=(0, None))(x, w)), argnums=(0, 1))
    each = [one(x, W) for x in X]
    dx, dw = many(X, W)
    np.testing.assert_allclose(dx, [d for d, _ in each])
    np.testing.assert_allclose(dw, sum(d for _, d in each))
    np.testing.assert_allclose(pb.vmap(one, in_axes=(0, None))(X, W)[1], [d for _, d in each])


def test_a_size_that_only_the_run_knows() -> None:
    def f(x):
        kept = x[x[:, 0] > 0]
        return np.sum(pb.vmap(lambda row: np.tanh(row) @ np.ones(3))(kept))

    expected = np.sum(np.tanh(X[X[:, 0] > 0]))
    np.testing.assert_allclose(pb.compile(f)(X), expected)
    np.testing.assert_allclose(pb.grad(f)(X), (1 - np.tanh(X) ** 2) * (X[:, :1] > 0), atol=1e-12)


def test_arguments_stay_as_they_are() -> None:
    def f(x):
        x[0] = 1.0
        return x.sum()

    x = X.copy()
    np.testing.assert_allclose(pb.vmap(f)(x), 1 + X[:, 1] + X[:, 2])
    np.testing.assert_array_equal(x, X)


def test_no_examples() -> None:
    assert pb.vmap(layer, in_axes=(0, None))(X[:0], W).shape == (0, 2)
    assert pb.vmap(branch)(np.zeros(0)).shape == (0,)
    assert pb.vmap(power_until)(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: pb.vmap(lambda a, b: a * b)(X, np.ones(4)),
            pb.ShapeError,
            r"disagree on the number of examples\.\n  a : f64\[5, 3\] has 5 along axis 0\n",
        ),
        (
            lambda: pb.vmap(lambda a, b: a * b)(X, 2.0),
            pb.ShapeError,
            r"`b` is a Python number, without an axis to map",
        ),
        (
            lambda: pb.vmap(lambda a, b: a * b)(X, 2),
            pb.ShapeError,
            r"`b` is the number 2, without an axis to map",
        ),
        (
            lambda: pb.vmap(lambda a, *, b: a * b)(X, b=2.0),
            pb.ShapeError,
            r"`b` is a Python number, without an axis to map\.\n  Pass it by position, with None",
        ),
        (
            lambda: pb.vmap(lambda a: a, in_axes=2)(X),
            pb.ShapeError,
            r"in_axes=2 for `a`, which is f64\[5, 3\]",
        ),
        (
            lambda: pb.vmap(lambda a, b: a, in_axes=(0,))(X, X),
            pb.StructureError,
            r"in_axes=\(0,\) is of length 1, and the call has 2 positional",
        ),
        (
            lambda: pb.vmap(lambda a: a["x"], in_axes=({"y": 0},))({"x": X}),
            pb.StructureError,
            r"does not fit `a`, which is \{'x': \*\}",
        ),
        (
            lambda: pb.vmap(lambda a: a, in_axes="rows")(X),
            pb.StructureError,
            r"in_axes holds 'rows' for `a`",
        ),
        (
            lambda: pb.vmap(lambda a: a, in_axes=None)(X),
            pb.ArgumentError,
            r"over no axis: in_axes=None",
        ),
        (
            lambda: pb.vmap(lambda a: (a, a), out_axes=(0, None))(X),
            pb.ArgumentError,
            r"out_axes is None for the result\[1\]",
        ),
        (
            lambda: pb.vmap(lambda a: a.sum(), out_axes=1)(X),
            pb.ShapeError,
            r"out_axes=1 for the result",
        ),
        (
            lambda: pb.vmap(lambda a: a[a > 0])(X),
            pb.UnsupportedError,
            r"of another size for each example",
        ),
        (
            lambda: pb.vmap(lambda a: a * int(a.sum()))(X),
            pb.ConcretizationError,
            r"needs a Python int",
        ),
        (lambda: pb.vmap(3), TypeError, "takes a function"),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_axis_size_may_be_told() -> None:
    found = pb.vmap(lambda w: w.sum(), in_axes=None, axis_size=2)(W)
    np.testing.assert_allclose(found, [W.sum()] * 2)


def test_gradients_of_a_network_are_one_product_for_a_layer() -> None:
    def loss(w, x, y):
        return np.sum((np.tanh(x @ w[0]) @ w[1] - y) ** 2)

    w = [rng.standard_normal((3, 4)), rng.standard_normal((4, 2))]
    each = pb.vmap(pb.grad(loss), in_axes=(None, 0, 0))
    inspected = each.inspect(w, X, rng.standard_normal((5, 2)))
    ops = [e.op.name for e in inspected.optimized.eqns]
    assert ops.count("matmul") == 3
    assert "loop" not in ops
    assert "broadcast_to" not in ops


def test_a_pullback_that_was_made_outside() -> None:
    def f(x):
        return np.tanh(x @ W) ** 2

    for x in X[:2]:
        _, pull = pb.vjp(f, x)
        (rows,) = pb.vmap(pull)(np.eye(2))
        np.testing.assert_allclose(rows, [pull(row)[0] for row in np.eye(2)], atol=1e-12)
    applied = pb.compile(lambda pull, ct: pull(ct)[0])
    for x in X:
        _, pull = pb.vjp(f, x)
        np.testing.assert_allclose(applied(pull, np.ones(2)), pull(np.ones(2))[0])
    assert applied.cache_info().misses == 1  # the residuals are read at each call


@pytest.mark.parametrize("seed", [3, 27, 31])
def test_random_programs_that_write_in_loops_and_branches(seed: int) -> None:
    program = LoopProgram(seed)
    loss = program.loss(pb.fori_loop)
    noise = np.random.default_rng(seed)
    given = tuple([a + 0.1 * noise.standard_normal((3, *a.shape)) for a in program.arguments])
    one = pb.value_and_grad(loss, argnums=(0, 1))
    each = [one(*arguments) for arguments in zip(*given, strict=True)]
    np.testing.assert_allclose(pb.vmap(loss)(*given), [v for v, _ in each])
    many = pb.grad(lambda *arguments: np.sum(pb.vmap(loss)(*arguments)), argnums=(0, 1))
    for found in (many(*given), pb.vmap(pb.grad(loss, argnums=(0, 1)))(*given)):
        for k, got in enumerate(found):
            np.testing.assert_allclose(got, [g[k] for _, g in each], rtol=1e-9, atol=1e-11)


def test_a_number_that_all_examples_share_may_decide() -> None:
    def f(x, n, scale):
        return x[: int(n)] * scale + (1.0 if scale > 2 else 0.0)

    mapped = pb.vmap(f, in_axes=(0, None, None))
    for n, scale in ((2, 1.5), (1, 3.0), (2, 2.5)):
        found = mapped(X, np.int64(n), np.float64(scale))
        np.testing.assert_allclose(found, [f(x, n, scale) for x in X])


def test_callables_of_every_kind() -> None:
    class Layer:
        def __init__(self) -> None:
            self.weights = W

        def __call__(self, x):
            return x @ self.weights

        @pb.vmap
        def method(self, x):
            return x @ self.weights

    layer = Layer()
    mapped = pb.vmap(layer)
    for scale in (1.0, 2.0):
        layer.weights = scale * W
        np.testing.assert_allclose(mapped(X), X @ W * scale)
        np.testing.assert_allclose(layer.method(X), X @ W * scale)
    np.testing.assert_allclose(pb.vmap(np.sin)(X), np.sin(X))
    np.testing.assert_allclose(pb.vmap(partial(np.multiply, 2.0))(X), 2 * X)
    np.testing.assert_allclose(pb.vmap(lambda *xs: sum(xs))(X, X, X), 3 * X)
    np.testing.assert_allclose(pb.vmap(lambda x, **k: x + k["y"])(X, y=X), 2 * X)
    power = pb.vmap(lambda x, n: x**n, static_argnames="n")
    np.testing.assert_allclose(power(X, 3), X**3)


def test_with_other_transformations() -> None:
    def f(x):
        return np.tanh(W.T @ x) * x[0]

    tangents = pb.jvp(pb.vmap(f), (X,), (2 * X,))[1]
    np.testing.assert_allclose(tangents, [pb.jvp(f, (x,), (2 * x,))[1] for x in X])
    np.testing.assert_allclose(pb.vmap(lambda x: pb.jvp(f, (x,), (2 * x,))[1])(X), tangents)
    np.testing.assert_allclose(pb.vmap(pb.jacobian(f))(X), [pb.jacobian(f)(x) for x in X])
    hessian = pb.hessian(lambda x: np.sum(f(x) ** 2))
    np.testing.assert_allclose(pb.vmap(hessian)(X), [hessian(x) for x in X], atol=1e-12)
    value, (gradient, aux) = pb.vmap(
        lambda x: (f(x), pb.grad(lambda x: (np.sum(f(x)), x.sum()), has_aux=True)(x))
    )(X)
    assert (value.shape, gradient.shape, aux.shape) == ((5, 2), (5, 3), (5,))


def test_results_share_no_memory_with_arguments() -> None:
    x = X.copy()
    x.flags.writeable = False
    for function in (lambda r: r, lambda r: r[::-1], lambda r: (r, r[1:])[1]):
        for out_axes in (0, -1):
            found = pb.vmap(function, out_axes=out_axes)(x)
            expected = np.moveaxis(np.stack([function(r) for r in x]), 0, out_axes)
            np.testing.assert_array_equal(found, expected)
            assert not np.shares_memory(found, x)
            found[0] = 0.0


def test_numpys_bits_where_they_are_asked_for() -> None:
    def f(x):
        return np.exp(np.sin(x) * x)

    assert np.array_equal(pb.vmap(f, exact=True)(X), np.stack([f(x) for x in X]))


def test_within_loops() -> None:
    def f(w):
        x = X
        while np.sum(x * x) > 0.5:
            x = pb.vmap(lambda r: np.tanh(w @ r) * 0.5 if r[0] > 0 else r * 0.3)(x)
        return np.sum(x)

    def g(w):
        x = X
        while np.sum(x * x) > 0.5:
            x = np.stack([np.tanh(w @ r) * 0.5 if r[0] > 0 else r * 0.3 for r in x])
        return np.sum(x)

    w = rng.standard_normal((3, 3)) / 2
    np.testing.assert_allclose(pb.compile(f)(w), g(w))
    pb.check_grads(f, (w,))


def test_sizes_that_depend_on_one_another() -> None:
    def f(x):
        y = np.sort(x)
        m = y > 0
        y[m] = y[m] * 2
        m = x < 0.5
        x = x.copy()
        x[m] = y[m] * 2
        x[y != 0] += 1
        return np.sum(x * y)

    np.testing.assert_allclose(pb.vmap(f)(X), [f(x) for x in X])
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(X), [pb.grad(f)(x) for x in X])
    np.testing.assert_allclose(
        pb.grad(lambda x: np.sum(pb.vmap(f)(x)))(X), [pb.grad(f)(x) for x in X]
    )
