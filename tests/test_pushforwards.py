"""`jvp`, `linearize` and `hvp`: conventions, structures, programs of all kinds, and errors."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import loop_programs
import numpy as np
import pytest
from pairings import pair

import pullback as pb
from pullback.transforms import pushforwards

pytestmark = pytest.mark.usefixtures("checked")

Call = Callable[..., Any]
X = np.array([0.4, -1.2, 2.0])
V = np.array([1.0, 0.5, -2.0])


class Point(NamedTuple):
    x: Any
    y: Any


# ---- jvp -----------------------------------------------------------------------------------------


def test_a_function_moves_along_a_tangent() -> None:
    y, moved = pb.jvp(lambda x, w: np.tanh(x @ w), (X, np.diag(X)), (V, np.eye(3)))
    np.testing.assert_allclose(y, np.tanh(X * X))
    np.testing.assert_allclose(moved, (V * X + X) * (1 - np.tanh(X * X) ** 2))


def test_containers_keep_their_structure() -> None:
    def f(p: Point, d: dict[str, Any]) -> dict[str, Any]:
        return {"out": [p.x * d["a"], p.y], "n": 3, "k": np.array([1, 2])}

    primals = Point(X, 2.0), {"a": 3.0, "b": X}
    tangents = Point(V, 1.0), {"b": None, "a": 1.0}
    out, moved = pb.jvp(f, primals, tangents)
    assert out["n"] == 3
    assert moved["n"] == 0
    np.testing.assert_array_equal(moved["k"], np.zeros(2, int))
    np.testing.assert_allclose(moved["out"][0], V * 3.0 + X)
    assert moved["out"][1] == 1.0
    _, still = pb.jvp(f, primals, (None, None))
    np.testing.assert_array_equal(still["out"][0], np.zeros(3))


def test_kinds_and_precisions_are_those_of_the_primals() -> None:
    y, moved = pb.jvp(lambda x: x * x, (2.0,), (1,))
    assert (type(y), type(moved)) == (float, float)
    assert (y, moved) == (4.0, 4.0)
    y, moved = pb.jvp(np.sin, (X.astype("f4"),), (V,))
    assert y.dtype == moved.dtype == np.float32
    y, moved = pb.jvp(np.sum, (X,), (V,))
    assert type(moved) is np.float64


@pytest.mark.parametrize("f", [lambda x: x, lambda x: x * x, lambda x: np.roll(x, 1)])
@pytest.mark.parametrize("x", [0.5, np.float64(0.5), np.array(0.5)])
def test_tangents_without_axes_are_of_the_kind_of_the_output(f: Any, x: Any) -> None:
    tangent = np.array(3.0)
    out, moved = pb.jvp(f, (x,), (tangent,))
    _, push = pb.linearize(f, x)
    for found in (moved, push(tangent), *pb.jet(f, x, [tangent, tangent])[1]):
        assert type(found) is type(out)
        assert not np.shares_memory(found, tangent)
    _, pull = pb.vjp(f, x)
    (back,) = pull(tangent)
    assert type(back) is type(x)
    assert not np.shares_memory(back, tangent)


def test_integers_do_not_move() -> None:
    def power(x: Any, n: int, k: Any) -> Any:
        return x**n * k

    k = np.array([1, 2, 3])
    stills: list[Any] = [None, 0, np.zeros(3, int)]
    for still in stills:
        _, moved = pb.jvp(power, (X, 2, k), (V, 0, still))
        np.testing.assert_allclose(moved, 2 * X * V * k)


def test_a_complex_tangent_is_a_direction() -> None:
    z, w = np.array([1.0 + 2j, -0.5j]), np.array([0.5 - 1j, 2.0 + 0j])
    _, moved = pb.jvp(lambda z: z * z, (z,), (w,))
    np.testing.assert_allclose(moved, 2 * z * w)
    _, moved = pb.jvp(np.conj, (z,), (w,))
    np.testing.assert_allclose(moved, np.conj(w))
    _, moved = pb.jvp(lambda z: np.abs(z) ** 2, (z,), (w,))
    np.testing.assert_allclose(moved, 2 * np.real(np.conj(z) * w))
    _, moved = pb.jvp(lambda x: np.exp(1j * x), (X,), (V,))
    np.testing.assert_allclose(moved, 1j * V * np.exp(1j * X))


def test_aux_is_returned_as_it_is() -> None:
    def f(x: Any) -> Any:
        return np.sum(x * x), {"x": x + 1.0}

    y, moved, aux = pb.jvp(f, (X,), (V,), has_aux=True)
    assert y == pytest.approx(np.sum(X * X))
    assert moved == pytest.approx(2 * np.sum(X * V))
    np.testing.assert_array_equal(aux["x"], X + 1.0)


def test_tangents_share_no_memory() -> None:
    given = V.copy()
    out, moved = pb.jvp(lambda x: (x, x, x + 0.0), (X,), (given,))
    moved[0][:] = 9.0
    np.testing.assert_array_equal(given, V)
    np.testing.assert_array_equal(moved[1], V)
    np.testing.assert_array_equal(out[1], X)


def test_tangents_of_views_share_no_memory() -> None:
    for view in (lambda x: x.T, lambda x: x[::-1], lambda x: np.reshape(x, -1)):
        _, moved = pb.jvp(view, (X,), (V,))
        np.testing.assert_array_equal(moved, view(V))
        assert not np.shares_memory(moved, V)


def test_arguments_are_left_as_they_are() -> None:
    def f(x: Any, v: Any) -> Any:
        x[1:] *= v
        x[0] = np.sin(x[2])
        return x

    x = X.copy()
    out, moved = pb.jvp(f, (x, 2.0), (V, 1.0))
    np.testing.assert_array_equal(x, X)
    y, z = f(X.copy(), 2.0), V * 2.0 + X
    np.testing.assert_allclose(out, y)
    np.testing.assert_allclose(moved, [np.cos(y[2]) * z[2], z[1], z[2]])


def test_a_written_argument_that_overlaps_with_another_is_refused() -> None:
    def f(x: Any, y: Any) -> Any:
        x[1:] *= 2.0
        return np.sum(x * x) + np.sum(y)

    memory = np.arange(4.0)
    apart = memory.copy(), memory[1:].copy()
    ones = np.ones(4), np.ones(3)
    expected = f(memory.copy(), memory[1:].copy())
    for transform in (pb.jvp, pb.hvp):
        transform(f, apart, ones)
        with pytest.raises(pb.DifferentiationError, match="overlaps with another argument"):
            transform(f, (memory, memory[1:]), ones)
    assert pb.jvp(f, apart, ones)[0] == expected

    def nested(x: Any, y: Any) -> Any:
        return pb.value_and_grad(f)(x, y)[0]

    assert pb.compile(nested)(*apart) == expected
    with pytest.raises(pb.DifferentiationError, match="overlaps with another argument"):
        pb.compile(nested)(memory, memory[1:])

    def twice(x: Any) -> Any:
        return pb.grad(f)(x, x)

    with pytest.raises(pb.DifferentiationError, match="overlaps with another argument"):
        pb.compile(twice)(memory)
    np.testing.assert_array_equal(memory, np.arange(4.0))


def test_effects_happen_once() -> None:
    rng = np.random.default_rng(0)

    def f(x: Any, rng: Any) -> Any:
        print("x is", x[0])
        return x * rng.standard_normal(3)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        out, moved = pb.jvp(f, (X, rng), (V, None))
    assert printed.getvalue() == "x is 0.4\n"
    drawn = np.random.default_rng(0).standard_normal(3)
    np.testing.assert_allclose(out, X * drawn)
    np.testing.assert_allclose(moved, V * drawn)


def test_arrays_of_outside_are_read_at_every_call() -> None:
    weights = np.ones(3)

    def f(x: Any) -> Any:
        return x * weights

    assert pb.jvp(f, (X,), (V,))[1] is not None
    weights[:] = 5.0
    np.testing.assert_allclose(pb.jvp(f, (X,), (V,))[1], 5.0 * V)


def test_values_decide_branches() -> None:
    def f(x: Any) -> Any:
        if x[0] > 0.0:
            return {"positive": x * x}
        return [np.sin(x)]

    _, moved = pb.jvp(f, (X,), (V,))
    np.testing.assert_allclose(moved["positive"], 2 * X * V)
    _, moved = pb.jvp(f, (-X,), (V,))
    np.testing.assert_allclose(moved[0], np.cos(X) * V)


def test_sizes_that_only_the_run_knows() -> None:
    def f(x: Any) -> Any:
        return x[x > 0.0] ** 2

    for x in (X, -X):
        _, moved = pb.jvp(f, (x,), (V,))
        np.testing.assert_allclose(moved, (2 * x * V)[x > 0.0])
        _, push = pb.linearize(f, x)
        np.testing.assert_allclose(push(V), (2 * x * V)[x > 0.0])


def test_sizes_that_loops_pass_on() -> None:
    def grown(x: Any) -> Any:
        y = x[x > 0.0]
        while np.sum(y) > 0.1:
            y = np.tanh(y * y)
        return y * 2.0

    def called(x: Any, n: float) -> Any:
        if n < 1.0:
            return x
        return called(np.sin(x), n - 1.0) * x

    for f in (grown, lambda x: called(x[x > 0.0], 3.0)):
        out, moved = pb.jvp(f, (X,), (V,))
        assert np.shape(moved) == np.shape(out) == (2,)
        _, push = pb.linearize(f, X)
        np.testing.assert_allclose(push(V), moved)
        _, pull = pb.vjp(f, X)
        ct = np.array([1.0, -2.0])
        assert pair([ct], [moved]) == pytest.approx(pair(pull(ct), [V]))


def test_programs_are_kept_for_a_code_object() -> None:
    for k in range(3):
        pb.jvp(lambda x: np.sin(x) * 2.0, (X + k,), (V,))
        pb.linearize(lambda x: np.cos(x) * 2.0, X + k)[1](V)

    def f(x: Any) -> Any:
        return x

    def calls() -> Any:
        for _ in range(4):
            pb.jvp(f, (X,), (V,))
        return pushforwards._JVP.compiled(f).cache_info()

    info = calls()
    assert (info.hits, info.misses) == (3, 1)


# ---- hvp -----------------------------------------------------------------------------------------


def bend(x: Any, w: Any) -> Any:
    return np.sum(np.tanh(w @ x) * x) + np.prod(np.cos(x))


def test_the_product_is_the_gradient_of_a_product() -> None:
    w = np.arange(9.0).reshape(3, 3) / 9.0
    ways = V, np.cos(w)

    def along(x: Any, w: Any) -> Any:
        into_x, into_w = pb.grad(bend, argnums=(0, 1))(x, w)
        return np.sum(into_x * ways[0]) + np.sum(into_w * ways[1])

    found = pb.hvp(bend, (X, w), ways)
    expected = pb.grad(along, argnums=(0, 1))(X, w)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_product_has_the_structure_of_the_primals() -> None:
    def f(p: Any, n: int) -> Any:
        return p["a"] ** n * np.sum(p["b"][0] ** 2)

    (product, still) = pb.hvp(f, ({"a": 2.0, "b": [X]}, 3), ({"a": 1.0, "b": None}, None))
    assert still == 0
    assert type(product["a"]) is float
    assert product["a"] == pytest.approx(12.0 * np.sum(X**2))
    np.testing.assert_allclose(product["b"][0], 24.0 * X)


def test_a_product_with_aux() -> None:
    def f(x: Any) -> Any:
        return np.sum(x**3), x + 1.0

    (product,), aux = pb.hvp(f, (X,), (V,), has_aux=True)
    np.testing.assert_allclose(product, 6 * X * V)
    np.testing.assert_array_equal(aux, X + 1.0)


def test_a_product_needs_a_scalar() -> None:
    with pytest.raises(pb.DifferentiationError, match="returns a scalar"):
        pb.hvp(np.sin, (X,), (V,))


# ---- within others -------------------------------------------------------------------------------


def test_they_nest() -> None:
    def f(x: Any) -> Any:
        return np.sin(x) * x

    second = -np.sin(X) * X + 2 * np.cos(X)
    ones = np.ones(3)

    def slope(x: Any) -> Any:
        return pb.jvp(f, (x,), (ones,))[1]

    np.testing.assert_allclose(pb.jvp(slope, (X,), (V,))[1], second * V)
    np.testing.assert_allclose(pb.grad(lambda x: np.sum(slope(x) * V))(X), second * V)
    np.testing.assert_allclose(pb.compile(slope)(X), np.sin(X) + X * np.cos(X))

    def linear(x: Any) -> Any:
        _, push = pb.linearize(f, x)
        return push(ones) + push(x) * 0.0

    np.testing.assert_allclose(pb.compile(linear)(X), np.sin(X) + X * np.cos(X))
    np.testing.assert_allclose(pb.grad(lambda x: np.sum(linear(x) * V))(X), second * V)

    def total(x: Any) -> Any:
        return np.sum(f(x))

    np.testing.assert_allclose(pb.compile(lambda x: pb.hvp(total, (x,), (V,))[0])(X), second * V)
    third = -3 * np.sin(X) - X * np.cos(X)
    found = pb.grad(lambda x: np.sum(pb.hvp(total, (x,), (V,))[0]))(X)
    np.testing.assert_allclose(found, third * V)


def test_rules_of_the_user_are_transposed() -> None:
    @pb.custom_vjp
    def doubled(x: Any) -> Any:
        return np.sin(x)

    doubled.defvjp(lambda x: (np.sin(x), x), lambda x, ct: (2.0 * ct * np.cos(x),))
    _, moved = pb.jvp(lambda x: doubled(x) * x, (X,), (V,))
    np.testing.assert_allclose(moved, (2.0 * np.cos(X) * X + np.sin(X)) * V)


# ---- programs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 4, 9, 17])
def test_random_loops_that_write_in_place(seed: int) -> None:
    program = loop_programs.Program(seed)
    loss = program.loss(pb.fori_loop)
    rng = np.random.default_rng(seed)
    ways = [rng.normal(size=a.shape) for a in program.arguments]
    value, moved = pb.jvp(loss, program.arguments, ways)
    plain = program.loss(loop_programs.unrolled)
    assert value == pytest.approx(plain(*program.arguments))
    gradient = pb.grad(loss, argnums=(0, 1))
    assert moved == pytest.approx(pair(gradient(*program.arguments), ways), rel=1e-8)
    _, push = pb.linearize(loss, *program.arguments)
    assert push(*ways) == pytest.approx(moved, rel=1e-8)

    def along(A: Any, x: Any) -> Any:
        into_A, into_x = gradient(A, x)
        return np.sum(into_A * ways[0]) + np.sum(into_x * ways[1])

    products = pb.hvp(loss, program.arguments, ways)
    expected = pb.grad(along, argnums=(0, 1))(*program.arguments)
    for a, b in zip(products, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_while_loops_and_recursions() -> None:
    def halved(x: Any) -> Any:
        n = 0
        while np.sum(x * x) > 0.1:
            x = np.tanh(x) * 0.7
            n = n + 1
        return np.sum(x) + n

    def tree(x: Any, n: float) -> Any:
        if n < 2.0:
            return np.sin(x) * n
        return tree(x * 0.5, n - 1.0) * np.cos(x) + tree(x, n - 2.0)

    for f, primals, ways in ((halved, (X,), (V,)), (tree, (X, 5.0), (V, 0.5))):
        out, moved = pb.jvp(f, primals, ways)
        _, pull = pb.vjp(f, *primals)
        ct = np.ones_like(out) + 1.0
        assert pair([ct], [moved]) == pytest.approx(pair(pull(ct), ways), rel=1e-9)
        _, push = pb.linearize(f, *primals)
        np.testing.assert_allclose(push(*ways), moved, rtol=1e-9)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primals", "tangents", "error", "message"),
    [
        ((X,), (V[:2],), pb.ShapeError, r"`tangents\[0\]` has shape \[2\], its primal is f64\[3\]"),
        ((X,), (V, V), pb.StructureError, "there is 1 primal, and the tangents are 2"),
        ((X,), V, pb.StructureError, "the tangents are an array"),
        (X, (V,), pb.StructureError, "the primals are an array"),
        ((X,), ([V],), pb.StructureError, r"`tangents\[0\]` has the structure \[\*\], its primal"),
        ((X,), (1j * V,), pb.StructureError, r"`tangents\[0\]` has dtype complex128, its primal"),
        (({"a": X},), ({"b": V},), pb.StructureError, r"`tangents\[0\]` has the structure"),
        (({"a": (X, X)},), ({"a": (V, V[:1])},), pb.ShapeError, r"`tangents\[0\]\['a'\]\[1\]`"),
        ((Point(X, X),), (Point(V, V[:1]),), pb.ShapeError, r"`tangents\[0\]\.y` has shape"),
        ((3,), (1,), pb.StructureError, r"`tangents\[0\]` is 1, and belongs to 3, which is static"),
        ((np.arange(3),), (np.ones(3, int),), pb.StructureError, "which do not move"),
        ((np.arange(3),), (np.ones(2, int),), pb.ShapeError, r"`tangents\[0\]` has shape \[2\]"),
    ],
)
def test_tangents_that_do_not_fit(
    primals: Any, tangents: Any, error: type[Exception], message: str
) -> None:
    def f(x: Any) -> Any:
        return x["a"] if isinstance(x, dict) else x[0] if isinstance(x, tuple) else x * 2.0

    with pytest.raises(error, match=message):
        pb.jvp(f, primals, tangents)


def test_an_op_without_a_rule_is_refused_with_its_line() -> None:
    def f(x: Any) -> Any:
        return np.random.default_rng(0).beta(x, 2.0)

    for transform in (pb.jvp, pb.hvp):
        with pytest.raises(pb.DifferentiationError, match=r"test_pushforwards\.py"):
            transform(f, (0.5,), (1.0,))
    with pytest.raises(TypeError, match="linearize takes a function, not int"):
        pb.linearize(3, X)  # type: ignore[arg-type]


# ---- against others ------------------------------------------------------------------------------


def test_conventions_are_those_of_jax(jax_in_double: Any) -> None:
    jax = jax_in_double
    np_ = importlib.import_module("jax.numpy")
    z, w = np.array([1.0 + 2j, -0.5j]), np.array([0.5 - 1j, 2.0 + 0j])

    def f(np: Any, x: Any, z: Any) -> Any:
        return np.maximum(x, 0.0) * np.abs(x), np.conj(z) * z**2 + np.sum(np.sort(x)), np.real(z)

    for x in (X, np.array([0.0, 1.0, 1.0])):
        found = pb.jvp(lambda x, z: f(np, x, z), (x, z), (V, w))
        expected = jax.jvp(lambda x, z: f(np_, x, z), (x, z), (V, w))
        for a, b in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
            np.testing.assert_allclose(a, np.asarray(b), rtol=1e-12)
