"""`jet` for users: closed forms, nested gradients, containers, loops, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
from pullback.ir.errors import DifferentiationError, ShapeError, StructureError

rng = np.random.default_rng(5)


def nested(f: Callable[[Any], Any], x: Any, v: Any, order: int) -> list[float]:
    """Return the derivatives of t -> f(x + t v) at 0, by gradients of gradients."""

    def along(t: Any) -> Any:
        return f(x + t * v)

    found, g = [], along
    for _ in range(order):
        g = pb.grad(g)
        found.append(float(g(0.0)))
    return found


def straight(f: Callable[[Any], Any], x: Any, v: Any, order: int) -> list[float]:
    _, found = pb.jet(f, x, [v, *[None] * (order - 1)])
    return [float(d) for d in found]


CLOSED = {
    "exp": (np.exp, 0.3, [math.exp(0.3)] * 8),
    "log": (np.log, 2.0, [(-1) ** (n + 1) * math.factorial(n - 1) / 2.0**n for n in range(1, 9)]),
    "sin": (np.sin, 0.4, [math.sin(0.4 + n * math.pi / 2) for n in range(1, 9)]),
    "reciprocal": (
        lambda x: 1 / x,
        1.5,
        [(-1) ** n * math.factorial(n) / 1.5 ** (n + 1) for n in range(1, 9)],
    ),
    "power": (
        lambda x: x**2.5,
        0.7,
        [math.prod(2.5 - k for k in range(n)) * 0.7 ** (2.5 - n) for n in range(1, 9)],
    ),
    "cube": (lambda x: x**3, 0.0, [0.0, 0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    "arctan": (
        np.arctan,
        0.5,
        [
            (-1) ** (n - 1)
            * math.factorial(n - 1)
            * math.sin(n * math.atan2(1, 0.5))
            / (1.25 ** (n / 2))
            for n in range(1, 9)
        ],
    ),
    "rounding": (lambda x: np.floor(x) * x, 2.5, [2.0, *[0.0] * 7]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_derivatives_are_those_of_the_closed_form_to_order_8(name: str) -> None:
    f, x, expected = CLOSED[name]
    np.testing.assert_allclose(straight(f, x, 1.0, 8), expected, rtol=1e-11, atol=1e-12)


def test_the_path_may_bend() -> None:
    # x(t) = 0.5 + 2 t + 3 t²/2 - t³/6, through exp, against Faà di Bruno's formula.
    value, (first, second, third) = pb.jet(np.exp, 0.5, [2.0, 3.0, -1.0])
    e = math.exp(0.5)
    assert value == pytest.approx(e)
    assert [first, second, third] == pytest.approx([2 * e, (3 + 4) * e, (-1 + 3 * 2 * 3 + 8) * e])


def staged(x: Any) -> Any:
    h = x
    for _ in range(40):
        h = np.sin(h) * 1.1 + 0.01 * x
    return np.sum(h)


def unrolled(x: Any) -> Any:
    h = x
    for i in range(3):
        h = np.sin(h) * x[i]
        if np.sum(h) > 0.2:
            h = h * 1.5
    return np.sum(h)


def whiled(x: Any) -> Any:
    while np.sum(x) < 30.0:
        x = x * np.sqrt(1.5 + x)
    return np.sum(x * x)


def recursive(x: Any) -> Any:
    return x * x if np.sum(x) > 9.0 else recursive(x * 1.5 + 0.1) * np.tanh(x)


def accumulated(x: Any) -> Any:
    out = np.zeros(6)
    for i in range(6):
        out[i] = np.cos(out[i - 1]) * x[i % 3] if i else x[0]
    return out @ out


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "staged": staged,
    "unrolled": unrolled,
    "whiled": whiled,
    "recursive": lambda x: np.sum(recursive(x)),
    "accumulated": accumulated,
    "softmax": lambda x: np.sum(np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))) * x),
    "solve": lambda x: np.sum(np.linalg.solve(np.outer(x, x) + np.eye(3), np.sin(x))),
    "choices": lambda x: np.sum(np.where(x > 0.5, x**3, np.maximum(np.sin(x), np.abs(x)))),
    "sorted": lambda x: np.sort(x)[::-1] @ np.array([1.0, 2.0, 3.0]) ** 2 + np.prod(np.sort(x)),
    "einsum": lambda x: np.einsum("i,j,k->", x, np.sin(x), np.exp(x)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_agree_with_gradients_of_gradients(name: str) -> None:
    f, x, v = PROGRAMS[name], np.array([0.9, 0.3, 0.6]), np.array([0.5, -0.3, 0.8])
    order = 4 if name not in ("whiled", "recursive", "staged") else 3
    np.testing.assert_allclose(
        straight(f, x, v, order), nested(f, x, v, order), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("f", [staged, whiled], ids=["stacks", "tapes"])
def test_the_jet_of_a_gradient_goes_back_through_loops(f: Callable[[Any], Any]) -> None:
    x, v = np.array([0.9, 0.3, 0.6]), np.array([0.5, -0.3, 0.8])
    _, found = pb.jet(lambda x: np.sum(pb.grad(f)(x) * v), x, [v, None])
    assert [float(d) for d in found] == pytest.approx(nested(f, x, v, 3)[1:])


def test_the_gradient_of_a_jet_is_that_of_the_derivative() -> None:
    def second(x: Any) -> Any:
        _, derivatives = pb.jet(np.sin, x, [1.0, 0.0])
        return derivatives[1]

    assert pb.grad(second)(0.4) == pytest.approx(-math.cos(0.4))


UNARY: list[Callable[[Any], Any]] = [
    np.sin,
    np.tanh,
    lambda x: np.exp(-x * x),
    lambda x: np.log(2.5 + np.cos(x)),
    lambda x: 1 / (1.5 + x * x),
    lambda x: np.sqrt(1 + x * x),
    np.arctan,
    lambda x: x**3 - 0.5 * x,
]
BINARY: list[Callable[[Any, Any], Any]] = [
    np.add,
    np.multiply,
    np.subtract,
    lambda a, b: a / (2 + b * b),
    lambda a, b: np.hypot(a, b + 2.0),
    np.maximum,
]


@st.composite
def programs(draw: st.DrawFn) -> Callable[[Any], Any]:
    """Draw an elementwise program of a few steps, each on earlier values."""
    steps = [
        (
            draw(st.sampled_from(UNARY)),
            draw(st.sampled_from(BINARY)),
            draw(st.integers(0, k)),
            draw(st.integers(0, k)),
        )
        for k in range(draw(st.integers(1, 4)))
    ]

    def program(x: Any) -> Any:
        values = [x]
        for unary, binary, i, j in steps:
            values.append(binary(unary(values[i]), values[j]))
        return np.sum(values[-1])

    return program


@settings(max_examples=12, deadline=None)
@given(programs(), st.floats(-1.0, 1.0), st.floats(0.1, 1.0))
def test_random_elementwise_programs(program: Any, start: float, slope: float) -> None:
    x, v = np.array([start, start + 0.37]), np.array([slope, -0.6])
    np.testing.assert_allclose(
        straight(program, x, v, 3), nested(program, x, v, 3), rtol=1e-7, atol=1e-7
    )


def test_arguments_and_results_may_be_containers() -> None:
    def f(params: dict[str, Any], x: Any) -> Any:
        h = np.tanh(params["w"] @ x + params["b"])
        return {"h": h, "pair": (np.sum(h), 3)}

    w, x = rng.normal(size=(2, 3)), rng.normal(size=3)
    w1, x1 = rng.normal(size=(2, 3)), rng.normal(size=3)
    params = {"w": w, "b": np.zeros(2)}
    value, derivatives = pb.jet(
        f, (params, x), ([{"w": w1, "b": None}, {"w": None, "b": None}], [x1, None])
    )
    np.testing.assert_allclose(value["h"], np.tanh(w @ x))
    slope = (1 - np.tanh(w @ x) ** 2) * (w1 @ x + w @ x1)
    np.testing.assert_allclose(derivatives[0]["h"], slope)
    assert len(derivatives) == 2
    assert derivatives[0]["pair"][1] == 0
    np.testing.assert_allclose(derivatives[0]["pair"][0], np.sum(slope))


def test_complex_and_single_precision_stay_what_they_are() -> None:
    z = np.array([0.3 + 0.2j])
    _, (first, second) = pb.jet(np.exp, z, [np.array([1.0 + 1.0j]), None])
    np.testing.assert_allclose(second, np.exp(z) * (1 + 1j) ** 2)
    assert first.dtype == np.complex128
    _, (first, second) = pb.jet(np.sin, np.float32([0.5]), [np.float32([1.0]), None])
    assert first.dtype == second.dtype == np.float32


def test_integers_do_not_move() -> None:
    x, k = np.array([1.0, 2.0]), np.array([1, 2])
    for still in (None, 0, np.zeros(2, int)):
        found = pb.jet(lambda x, k: x**2 * k, (x, k), ([np.ones(2), None], [still, 0]))[1]
        np.testing.assert_allclose(found[0], 2 * x * k)
        np.testing.assert_allclose(found[1], 2.0 * k)
    with pytest.raises(pb.StructureError, match=r"`series\[1\]\[1\]` belongs to integers"):
        pb.jet(lambda x, k: x * k, (x, k), ([np.ones(2), None], [None, k]))


def test_an_auxiliary_output_has_no_derivatives() -> None:
    value, derivatives, aux = pb.jet(lambda x: (x * x, {"x": x}), 3.0, [1.0, 0.0], has_aux=True)
    assert (value, [*map(float, derivatives)], aux) == (9.0, [6.0, 2.0], {"x": 3.0})


def test_derivatives_share_no_memory_with_what_was_given() -> None:
    v = np.ones(3)
    _, (first,) = pb.jet(lambda x: x, np.zeros(3), [v])
    first += 1.0
    assert v.tolist() == [1.0, 1.0, 1.0]


def test_custom_rules_are_taken_at_each_order() -> None:
    @pb.custom_vjp
    def f(x: Any) -> Any:
        return np.sin(x)

    f.defvjp(lambda x: (np.sin(x), np.cos(x)), lambda c, ct: (2.0 * ct * c,))

    @pb.custom_jvp
    def g(x: Any) -> Any:
        return np.tanh(x)

    @g.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        y = g(*primals)
        return y, (1 - y * y) * tangents[0]

    @pb.custom_vjp
    def looped(x: Any) -> Any:
        return np.sin(x)

    def forward(x: Any) -> Any:
        slope = 0.0 * x
        for _ in range(30):
            slope = slope + np.cos(x) / 30.0
        return np.sin(x), slope

    looped.defvjp(forward, lambda slope, ct: (ct * slope,))

    def in_a_loop(x: Any) -> Any:
        for _ in range(20):
            x = f(x) * 0.6 + g(x)
        return x

    def plainly(x: Any) -> Any:
        for _ in range(20):
            x = np.sin(x) * 0.6 + np.tanh(x)
        return x

    sine = [2 * math.cos(0.5), -2 * math.sin(0.5), -2 * math.cos(0.5)]
    assert straight(f, 0.5, 1.0, 3) == pytest.approx(sine)
    assert straight(looped, 0.5, 1.0, 3) == pytest.approx(np.array(sine) / 2)
    assert straight(lambda x: looped(g(x)), 0.5, 1.0, 3) == pytest.approx(
        straight(lambda x: np.sin(np.tanh(x)), 0.5, 1.0, 3)
    )
    f.defvjp(lambda x: (np.sin(x), np.cos(x)), lambda c, ct: (ct * c,))
    assert straight(in_a_loop, 0.5, 1.0, 4) == pytest.approx(straight(plainly, 0.5, 1.0, 4))
    assert straight(g, 0.5, 1.0, 5) == pytest.approx(straight(np.tanh, 0.5, 1.0, 5))


def fixed(a: Any) -> Any:
    return pb.fixed_point(lambda z, a: np.cos(z) * 0.5 + a, 0.0, a)


def root(a: Any) -> Any:
    def bisect(f: Any, x: Any) -> Any:
        low, high = 0.0 * x, x
        for _ in range(60):
            mid = (low + high) / 2
            is_low = f(mid) < 0
            low, high = np.where(is_low, mid, low), np.where(is_low, high, mid)
        return (low + high) / 2

    return pb.custom_root(lambda x: x**3 - a, a, bisect, lambda g, y: y / g(1.0))


def solved(a: Any) -> Any:
    def divided(apply: Any, b: Any) -> Any:
        return b / apply(np.ones(2))

    side = np.sin(a) * np.ones(2)
    return np.sum(pb.custom_linear_solve(lambda x: a * x + x, side, divided, divided))


@pytest.mark.parametrize("f", [fixed, root, solved])
def test_what_is_solved_for_has_the_derivatives_of_its_equation(f: Any) -> None:
    expected = nested(f, 1.5, 1.0, 3)
    assert straight(f, 1.5, 1.0, 3) == pytest.approx(expected, rel=1e-7)


def test_within_a_compiled_function_and_over_an_array_read_from_outside() -> None:
    w = np.array([2.0, 3.0])

    @pb.compile
    def f(x: Any) -> Any:
        return pb.jet(lambda x: w * x**2, x, [np.ones(2), None])[1][1]

    np.testing.assert_allclose(f(np.array([1.0, 5.0])), 2 * w)
    w = np.array([7.0, 8.0])
    np.testing.assert_allclose(f(np.array([1.0, 5.0])), 2 * w)


def test_against_jax(jax_in_double: Any) -> None:
    jax = jax_in_double
    jet = pytest.importorskip("jax.experimental.jet").jet

    def f(numpy: Any, x: Any, y: Any) -> Any:
        return numpy.tanh(x @ y) / (1 + numpy.exp(x)), numpy.sum(x**3 + numpy.log(2 + y * y))

    x, y, *terms = rng.normal(size=(8, 3, 3))
    series = [*terms[:3]], [*terms[3:]]
    value, derivatives = pb.jet(lambda x, y: f(np, x, y), (x, y), series)
    expected, slopes = jet(lambda x, y: f(jax.numpy, x, y), (x, y), series)
    for k in range(2):
        np.testing.assert_allclose(value[k], expected[k])
        for n in range(3):
            np.testing.assert_allclose(derivatives[n][k], slopes[k][n], rtol=1e-9)


@pytest.mark.parametrize(
    ("primals", "series", "error", "message"),
    [
        ((1.0, 2.0), ([1.0],), StructureError, "there are 2 primals, and the series are 1"),
        ((1.0,), (1.0,), StructureError, "the series of a primal is a number"),
        ((1.0, 2.0), ([1.0], [1.0, 0.0]), StructureError, "one at least, and the series have 1, 2"),
        (1.0, [], StructureError, "the series have 0"),
        (np.ones(3), [np.ones(2)], ShapeError, r"`series\[0\]` has shape \[2\]"),
        ({"a": 1.0}, [[1.0]], StructureError, "they must be the same"),
    ],
)
def test_what_does_not_fit_is_refused(
    primals: Any, series: Any, error: type[Exception], message: str
) -> None:
    def f(*args: Any) -> Any:
        return args[0]

    with pytest.raises(error, match=message):
        pb.jet(f, primals, series)


def test_what_has_no_gradient_rule_is_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(DifferentiationError):
        pb.jet(lambda x: generator.gamma(x), 2.0, [1.0, 0.0])
