"""`while_loop` and `map`: values and gradients against plain Python, kinds and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.evaluate import evaluate
from pullback.tracer.tree import flatten

pytestmark = pytest.mark.usefixtures("checked")

RNG = np.random.default_rng(11)
X = RNG.random(4) + 0.2


def leaves_of(value: Any) -> list[Any]:
    leaves: list[Any] = []
    flatten(value, leaves)
    return leaves


def assert_bits(found: Any, expected: Any) -> None:
    for a, b in zip(leaves_of(found), leaves_of(expected), strict=True):
        assert type(a) is type(b)
        assert np.result_type(a) == np.result_type(b)
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


# -- the cases ------------------------------------------------------------------------------------


def grown(x):
    return pb.while_loop(
        lambda s: s[1] < 5.0, lambda s: (np.sin(s[0]) * x + s[0], s[1] + x[0]), (x, 0.0)
    )


def linear(x):
    return pb.while_loop(lambda s: np.sum(s) < 20.0, lambda s: s * 1.5 + x, x)


def newton(x):
    a = np.sum(x)

    def body(s):
        u, _ = s
        step = (u * u - a) / (2.0 * u)
        return u - step, np.abs(step)

    return pb.while_loop(lambda s: s[1] > 1e-13, body, (np.float64(1.0), np.float64(1.0)))[0]


def written(x):
    def body(s):
        u, i = s
        u[i] = np.sin(u[i - 1]) * u[i]
        return u, i + 1

    return pb.while_loop(lambda s: s[1] < 4, body, (x * 2.0, 1))


def never(x):
    return pb.while_loop(lambda s: s[0] > 100.0, lambda s: np.exp(s), x)


def condition_on_outside(x):
    limit = np.sum(x * x)
    return pb.while_loop(lambda s: np.sum(s) < limit * 9.0, lambda s: s + np.tanh(x * s), x)


def branch_inside(x):
    def body(s):
        return pb.cond(s[0] > 1.0, lambda s: s * 1.3, lambda s: np.exp(s) * x, s)

    return pb.while_loop(lambda s: np.sum(s) < 15.0, body, x)


def scan_inside(x):
    def body(s):
        return pb.scan(lambda c, y: (np.sqrt(c * c + y), 0.0), s, x)[0]

    return pb.while_loop(lambda s: s < 9.0, body, x[0])


def inside_a_scan(x):
    def step(c, t):
        c = pb.while_loop(lambda s: s < 5.0 * t, lambda s: s * s * 0.1 + t * s + s, c)
        return c * 0.1, c

    return pb.scan(step, x[0], x)


def inside_a_while(x):
    def body(s):
        return pb.while_loop(lambda a: a < 2.0 * s, lambda a: a * a * 0.1 + a + x[1], s) + s

    return pb.while_loop(lambda s: s < 50.0, body, x[0])


def mapped(x):
    return pb.map(lambda r: (np.sin(r) * r, r * r * x), np.outer(x, x))


def branch_in_a_map(x):
    return pb.map(lambda r: pb.cond(r > 0.5, np.exp, lambda r: r * x[0], r), x)


CASES: list[Callable[..., Any]] = [
    grown,
    linear,
    newton,
    written,
    never,
    condition_on_outside,
    branch_inside,
    scan_inside,
    inside_a_scan,
    inside_a_while,
    mapped,
    branch_in_a_map,
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)


@each_case
def test_it_equals_plain_python_bit_for_bit(case: Callable[..., Any]) -> None:
    before = X.copy()
    assert_bits(pb.compile(case, exact=True)(X), case(X))
    np.testing.assert_array_equal(X, before)


def inexact(case: Callable[..., Any]) -> Callable[..., Any]:
    def values(x: Any) -> Any:
        return [a for a in leaves_of(case(x)) if np.result_type(a).kind == "f"]

    return values


@each_case
def test_gradients_of_both_orders(case: Callable[..., Any]) -> None:
    pb.check_grads(inexact(case), (X,), order=2)


@each_case
@pytest.mark.parametrize("left_out", ["simplify", "hoist", "batch", "dce", "fuse"])
def test_each_pass_can_be_left_out(
    case: Callable[..., Any], left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scalar(x: Any) -> Any:
        return sum(np.sum(np.sin(a)) for a in inexact(case)(x))

    expected = pb.grad(scalar)(X)
    monkeypatch.setenv("PULLBACK_WITHOUT", left_out)
    gradient = pb.grad(scalar)
    np.testing.assert_allclose(gradient(X), expected, rtol=1e-12, atol=1e-14)
    stages = gradient.inspect(X).stages
    np.testing.assert_allclose(evaluate(stages[-1].function, X)[-1], expected, rtol=1e-12)


def test_the_trip_count_follows_the_arguments() -> None:
    @pb.compile
    def halvings(x):
        return pb.while_loop(lambda s: s[0] > 1.0, lambda s: (s[0] / 2.0, s[1] + 1), (x, 0))[1]

    assert [halvings(x) for x in (0.5, 1.5, 1024.0, 1e6)] == [0, 1, 10, 20]
    assert type(halvings(3.0)) is int


def test_the_gradient_follows_the_trip_count() -> None:
    power = pb.grad(lambda x: pb.while_loop(lambda s: s < 100.0, lambda s: s * s, x))
    for x, n in ((200.0, 1), (20.0, 2), (4.0, 4), (2.0, 8)):
        np.testing.assert_allclose(power(x), n * x ** (n - 1))


def test_float32_and_integers() -> None:
    def half(k):
        return k // 2

    def up(k):
        return 3 * k + 1

    def collatz(n):
        return pb.while_loop(
            lambda s: s[0] != 1,
            lambda s: (
                pb.cond(s[0] % 2 == 0, lambda k: k // 2, lambda k: 3 * k + 1, s[0]),
                s[1] + 1,
            ),
            (n, 0),
        )[1]

    assert pb.compile(collatz)(np.int64(27)) == collatz(27) == 111
    x = X.astype(np.float32)
    found = pb.grad(lambda x: np.sum(linear(x)))(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pb.grad(lambda x: np.sum(linear(x)))(X), rtol=1e-5)


def test_a_number_holds_where_it_is_not_zero() -> None:
    down = pb.compile(lambda n: pb.while_loop(lambda k: k, lambda k: k - 1, n))
    assert down(np.int64(5)) == 0


def test_the_initial_value_stays_as_it_is() -> None:
    @pb.compile
    def run(x):
        def body(u):
            u[0] += 1.0
            return u

        return pb.while_loop(lambda u: u[0] < 3.0, body, x), x

    after, before = run(X)
    np.testing.assert_array_equal(before, X)
    assert after[0] >= 3.0


def test_maps_over_containers() -> None:
    def f(xs):
        return pb.map(lambda r: {"sum": r[0] + r[1], "all": (r[0] * 2, 1)}, xs)

    rows = (X, np.cos(X))
    assert_bits(pb.compile(f)(rows), f(rows))
    with pytest.raises(pb.ShapeError, match="one leading size"):
        pb.compile(f)((X, X[:2]))


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (
            lambda x: pb.while_loop(lambda s: np.sum(s) < 9, lambda s: s[:2], x),
            pb.ShapeError,
            "init_val : f64\\[4\\] before, f64\\[2\\] after",
        ),
        (
            lambda x: pb.while_loop(lambda s: np.sum(s) < 9, lambda s: (s, s), x),
            pb.StructureError,
            "the body of while_loop",
        ),
        (lambda x: pb.while_loop(lambda s: s < 9, lambda s: s, x), pb.ShapeError, "without axes"),
        (lambda x: pb.while_loop(lambda s: True, lambda s: s, ()), pb.StructureError, "changes"),
    ],
)
def test_loops_that_do_not_fit_are_named(function: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        pb.compile(function)(X)
