"""`cond` and `switch`: values and gradients against plain Python, memory, effects and errors.

Each case is plain NumPy outside of a trace, where only the chosen function runs.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.cond import Cond
from pullback.tracer.tree import flatten

pytestmark = pytest.mark.usefixtures("checked")

_spec = importlib.util.spec_from_file_location(
    "plan_checker_of_branches", Path(__file__).parents[1] / "plan_checker.py"
)
assert _spec is not None
assert _spec.loader is not None
checker = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(checker)

RNG = np.random.default_rng(5)
UP = RNG.random(4) + 0.1
DOWN = -UP
MATRIX = RNG.standard_normal((3, 3))


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


def two_results(x):
    return pb.cond(
        np.sum(x) > 0, lambda a: (np.sin(a) * np.exp(a), np.sum(a)), lambda a: (a**3, a[0]), x
    )


def captured(x):
    y = np.tanh(x)
    return pb.cond(x[0] > 0, lambda: np.cos(y) * x, lambda: y + 1.0)


def constant_in_one(x):
    return pb.cond(x[0] > 0, lambda a: a * a, lambda a: np.ones(4), x)


def nested(x):
    def inner(a):
        return pb.cond(a[1] > 0.5, lambda b: np.exp(b) * a, lambda b: b * b * a, a)

    return pb.cond(x[0] > 0, inner, lambda a: pb.cond(a[1] < -0.5, np.sin, np.cosh, a), x)


def by_number(x):
    return pb.switch(
        np.argmax(np.abs(x)), [np.sin, lambda a: a * a, np.exp, lambda a: a * np.sum(a)], x
    )


def in_a_scan(x):
    def step(c, t):
        c = pb.cond(c[0] * t > 0.15, lambda c: np.tanh(c) * t + x, lambda c: c * c * x[1], c)
        return c, np.sum(c * t)

    return pb.scan(step, x, np.linspace(-1.0, 1.0, 6))


def around_a_scan(x):
    def yes(a):
        c, ys = pb.scan(lambda c, y: (np.sin(c * y), c * c), a[0], a)
        return c * np.sum(ys)

    return pb.cond(x[0] > 0, yes, lambda a: np.sum(a**3), x)


def scans_in_both(x):
    def yes(a):
        return pb.scan(lambda c, y: (c * y, np.sin(c)), a[0], a)

    def no(a):
        return pb.scan(lambda c, y: (c + np.cos(y * c), c * y), a[1], a)

    return pb.cond(x[0] > 0, yes, no, x)


def written(x):
    def body(i, u):
        def yes(u):
            u[i] = np.sin(u[i]) * u[i - 1]
            return u

        return pb.cond(u[i] > 0.3, yes, lambda u: u, u)

    return pb.fori_loop(1, 4, body, x * 2.0)


def written_in_both(x):
    def body(i, u):
        def yes(u):
            u[i] *= u[i - 1]
            return u

        def no(u):
            u[i - 1] = np.exp(u[i])
            return u * 2.0

        return pb.cond(u[i] > 0.3, yes, no, u)

    return pb.fori_loop(1, 4, body, np.cos(x))


def swapped(x):
    a, b = np.sin(x), np.cos(x)
    a, b = pb.cond(x[0] > 0, lambda a, b: (b, a), lambda a, b: (a * b, a), a, b)
    return a * 2.0, b


def same_twice(x):
    y = np.exp(x)
    return pb.cond(x[0] > 0, lambda y: (y, y, y[1:]), lambda y: (y + 1, y * 2, y[:3]), y)


def scalars(x):
    a = pb.cond(x[0] > 0, lambda: x[0] * x[1], lambda: np.sin(x[1]))
    return pb.cond(a > 0.1, lambda s: s * s * x[2], lambda s: s + 1.0, a)


def matrices(x):
    m = x.reshape(2, 2)
    return pb.cond(x[0] > 0, lambda m: (m @ m).T, lambda m: np.linalg.inv(m), m)


def unknown_sizes(x):
    return pb.cond(x[0] > 0, lambda a: np.sum(np.sin(a[a > 0.5])), lambda a: np.sum(a), x)


def while_inside(x):
    def yes(a):
        return pb.while_loop(lambda s: np.sum(s) < 10, lambda s: s * 1.5 + np.sin(s), a)

    return pb.cond(x[0] > 0, yes, lambda a: a * a, x)


def read_by_index(x):
    def step(total, i):
        one = pb.cond(x[i] > 0.5, lambda: np.sin(x[i]) * x[0], lambda: x[i - 1])
        return total + one, one

    return pb.scan(step, 0.0, np.arange(1, 4))


CASES: list[Callable[..., Any]] = [
    two_results,
    captured,
    constant_in_one,
    nested,
    by_number,
    in_a_scan,
    around_a_scan,
    scans_in_both,
    written,
    written_in_both,
    swapped,
    same_twice,
    scalars,
    matrices,
    unknown_sizes,
    while_inside,
    read_by_index,
]
INPUTS = [UP, DOWN, np.array([0.4, -0.9, 1.3, 0.2]), np.array([-0.2, 0.6, 0.7, -1.5])]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
each_input = pytest.mark.parametrize("x", INPUTS, ids=range(len(INPUTS)))


@each_case
@each_input
def test_it_equals_plain_python_bit_for_bit(case: Callable[..., Any], x: np.ndarray) -> None:
    before = x.copy()
    assert_bits(pb.compile(case, exact=True)(x), case(x))
    np.testing.assert_array_equal(x, before)


@each_case
@each_input
def test_gradients_of_both_orders(case: Callable[..., Any], x: np.ndarray) -> None:
    pb.check_grads(case, (x,), order=2)


def contracted(case: Callable[..., Any]) -> Callable[..., Any]:
    def scalar(x: Any) -> Any:
        return sum(np.sum(np.sin(a)) for a in leaves_of(case(x)))

    return scalar


@each_case
def test_no_value_is_lost_while_it_is_live(case: Callable[..., Any]) -> None:
    for exact in (False, True):
        checker.check(pb.compile(case, exact=exact).inspect(UP).plan)
        checker.check(pb.grad(contracted(case), exact=exact).inspect(UP).plan)


@each_case
@pytest.mark.parametrize("left_out", ["simplify", "hoist", "batch", "dce", "fuse"])
def test_each_pass_can_be_left_out(
    case: Callable[..., Any], left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [pb.grad(contracted(case))(x) for x in INPUTS]
    monkeypatch.setenv("PULLBACK_WITHOUT", left_out)
    gradient = pb.grad(contracted(case))
    for x, found in zip(INPUTS, expected, strict=True):
        np.testing.assert_allclose(gradient(x), found, rtol=1e-12, atol=1e-14)


@each_case
@each_input
def test_the_interpreter_agrees(case: Callable[..., Any], x: np.ndarray) -> None:
    stages = pb.grad(contracted(case)).inspect(x).stages
    expected = pb.grad(contracted(case))(x)
    for stage in stages[-2:]:
        np.testing.assert_allclose(evaluate(stage.function, x)[-1], expected, rtol=1e-12)


# -- what runs, and where -------------------------------------------------------------------------


def conds(program: Any, *args: Any) -> list[Cond]:
    function = program.inspect(*args).plan.function
    return [e.op for e in walk(function) if isinstance(e.op, Cond)]


def test_a_branch_that_is_not_taken_does_not_raise() -> None:
    def solved(x, m):
        return pb.cond(x[0] > 0, lambda: np.linalg.inv(m) @ x, lambda: x * 2.0)

    singular = np.zeros((3, 3))
    x = np.array([-1.0, 2.0, 3.0])
    compiled = pb.compile(solved)
    np.testing.assert_array_equal(compiled(x, singular), x * 2.0)
    with pytest.raises(np.linalg.LinAlgError):
        compiled(-x, singular)
    gradient = pb.grad(lambda x, m: np.sum(solved(x, m)), argnums=(0, 1))
    np.testing.assert_array_equal(gradient(x, singular)[0], [2.0, 2.0, 2.0])
    with pytest.raises(np.linalg.LinAlgError):
        gradient(-x, singular)


def test_effects_happen_in_the_taken_branch_alone(capsys: pytest.CaptureFixture[str]) -> None:
    @pb.compile
    def speaks(x):
        def yes(a):
            print("positive", a)
            return a * 2.0

        def no(a):
            print("negative")
            return a

        return pb.cond(x > 0, yes, no, x)

    speaks(3.0)
    assert capsys.readouterr().out.splitlines()[-1].startswith("positive 3.0")
    speaks(-3.0)
    assert capsys.readouterr().out.splitlines()[-1] == "negative"
    speaks(4.0)
    assert capsys.readouterr().out.splitlines() == ["positive 4.0"]


def test_warnings_come_from_the_taken_branch_alone() -> None:
    @pb.compile
    def logs(x):
        return pb.cond(x[0] > 0, np.log, lambda a: a, x)

    np.testing.assert_array_equal(logs(np.array([-1.0, 0.0])), [-1.0, 0.0])
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        logs(np.array([1.0, 0.0]))


def test_an_array_that_branches_write_into_is_not_copied() -> None:
    def sweep(x):
        def body(i, u):
            def yes(u):
                u[i] = u[i - 1] * 0.5
                return u

            return pb.cond(u[i] > 0, yes, lambda u: u, u)

        return np.sum(pb.fori_loop(1, 1000, body, x * 2.0))

    for program in (pb.compile(sweep), pb.grad(sweep)):
        plan = program.inspect(np.ones(1000)).plan
        assert plan.copied == 0
        found = [plan.conds[e] for e in walk(plan.function) if isinstance(e.op, Cond)]
        assert found
        for cond in found:
            arrays = [b.cells for b in cond.branches]
            assert not cond.made
            assert all(not b.moved for b in cond.branches), arrays


def test_reading_an_element_in_a_branch_costs_an_element_backward() -> None:
    """The running cotangent of `xs` goes through the branch: nothing of its size is made."""

    def total(xs):
        def step(c, i):
            return c + pb.cond(xs[i] > 0, lambda: np.sin(xs[i]), lambda: c * xs[i]), 0.0

        return pb.scan(step, 0.0, np.arange(500))[0]

    plan = pb.grad(total).inspect(np.ones(500)).plan
    inside = [
        r.type.shape
        for eqn in plan.function.eqns
        for region in eqn.op.regions
        for cond in region.eqns
        for branch in cond.op.regions
        for e in branch.eqns
        if e.op.updates is None
        for r in e.results
    ]
    assert inside
    assert (500,) not in inside


def test_dead_results_and_operands_are_dropped() -> None:
    @pb.compile
    def half(x, y):
        return pb.cond(x[0] > 0, lambda x, y: (x, y * 2), lambda x, y: (x + 1, y), x, y)[0]

    (op,) = conds(half, UP, UP)
    assert [len(b.params) for b in op.branches] == [1, 1]
    assert [len(b.results) for b in op.branches] == [1, 1]


def test_a_known_predicate_runs_its_branch_alone() -> None:
    @pb.compile
    def known(x):
        a = pb.cond(True, lambda a: a * 2.0, lambda a: a[:1], x)
        b = pb.cond(x.ndim - 1, lambda a: [a], lambda a: a * 3.0, a)
        return pb.switch(7, [lambda b: b, lambda b: b + 1.0], b)

    np.testing.assert_array_equal(known(UP), UP * 6.0 + 1.0)
    assert conds(known, UP) == []


# -- kinds of values ------------------------------------------------------------------------------


@pytest.mark.parametrize("i", [-9, -1, 0, 1, 2, 3, 99])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.uint64])
def test_an_index_outside_takes_the_nearest_branch(i: int, dtype: type) -> None:
    def pick(i, x):
        return pb.switch(i, [lambda a: a, lambda a: a * 2, lambda a: a * 3], x)

    index = np.array(i).astype(dtype)[()]
    assert_bits(pb.compile(pick)(index, UP), pick(index, UP))


@pytest.mark.parametrize(
    "x",
    [
        np.float32([1.5, -2.0]),
        np.array([True, False]),
        np.array([3, -4]),
        np.array(2.5),
        np.zeros((0, 3)),
        np.array([1 + 2j, -1j]),
        np.asfortranarray(RNG.standard_normal((2, 3))),
    ],
    ids=["float32", "bool", "int", "0-d", "empty", "complex", "fortran"],
)
@pytest.mark.parametrize("p", [True, False])
def test_every_kind_of_array(x: np.ndarray, p: bool) -> None:
    def choose(p, x):
        if not x.shape:  # sums would be scalars beside an array without axes
            return pb.cond(p, lambda a: (a, [a]), lambda a: (np.array(a + 1), [a]), x)
        return pb.cond(p, lambda a: (a, np.sum(a), a + a), lambda a: (a + a, a.sum(), a), x)

    predicate = np.bool_(p)
    found, expected = pb.compile(choose)(predicate, x), choose(predicate, x)
    assert_bits(found, expected)


def test_python_numbers_take_what_the_other_branch_returns() -> None:
    def mixed(x):
        return pb.cond(x[0] > 0, lambda: (x[0], 1, 2.0), lambda: (0, 2, np.float32(3)))

    up, down = pb.compile(mixed)(UP), pb.compile(mixed)(DOWN)
    assert [type(a) for a in up] == [type(a) for a in down] == [np.float64, int, np.float32]
    assert down == (0.0, 2, np.float32(3))


def test_float32_gradients() -> None:
    x = UP.astype(np.float32)
    found = pb.grad(contracted(nested))(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pb.grad(contracted(nested))(UP), rtol=1e-5)


def test_operands_stay_as_they_are() -> None:
    def write(x):
        def yes(a):
            a[0] = 7.0
            return a

        y = pb.cond(x[1] > 0, yes, lambda a: a, x)
        z = pb.cond(True, yes, lambda a: a, x)
        return x, y, z

    for x in (UP, DOWN):
        assert_bits(pb.compile(write)(x), write(x))
    assert UP[0] != 7.0


def test_vjp_and_nested_gradients() -> None:
    def f(x):
        return np.sum(pb.cond(x[0] > 0, lambda a: a**3, np.sin, x))

    for x in (UP, DOWN):
        value, pullback = pb.vjp(f, x)
        assert value == f(x)
        np.testing.assert_allclose(pullback(1.0)[0], 3 * x**2 if x[0] > 0 else np.cos(x))
        inner = pb.grad(lambda x: np.sum(pb.grad(f)(x) ** 2))
        np.testing.assert_allclose(inner(x), 36 * x**3 if x[0] > 0 else -np.sin(2 * x))


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: pb.cond(x > 0, lambda: x, lambda: [x]), pb.StructureError, "true_fun returns"),
        (lambda x: pb.cond(x > 0, lambda: x, lambda: np.ones(3)), pb.ShapeError, "f64\\[3\\]"),
        (
            lambda x: pb.cond(x > 0, lambda: np.float32(1), lambda: np.float64(1)),
            pb.DTypeError,
            "true_fun returns f32 .*\n  false_fun returns f64",
        ),
        (
            lambda x: pb.cond(x > 0, lambda: np.float64(1), lambda: np.zeros(())),
            pb.StructureError,
            "f64 \\(scalar\\)\n  false_fun returns f64 \\(array\\)",
        ),
        (
            lambda x: pb.switch(np.int64(x), [np.sin, lambda a: (a, a)], x),
            pb.StructureError,
            "branch 0 `sin` returns",
        ),
        (lambda x: pb.switch(x, [np.sin, np.cos], x), pb.DTypeError, "is an integer, not float64"),
        (lambda x: pb.switch(x, [], x), pb.ArgumentError, "at least one branch"),
        (lambda x: pb.cond(np.ones(2) * x, np.sin, np.cos, x), pb.ShapeError, "without axes"),
    ],
)
def test_branches_that_disagree_are_named(function: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        pb.compile(function)(1.0)


def test_a_write_into_an_array_of_outside_is_refused() -> None:
    def outside(x):
        y = x * 2.0

        def yes():
            y[0] = 1.0
            return x

        return pb.cond(x[0] > 0, yes, lambda: x), y

    with pytest.raises(pb.UnsupportedError):
        pb.compile(outside)(UP)


def test_a_loop_in_a_branch_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x):
        def body(s):
            print(s)
            return np.sin(s) + s

        def yes(a):
            return pb.while_loop(lambda s: s < 3.0, body, a)

        return pb.cond(x > 0, yes, lambda a: a, x)

    slope = 1.0
    value = 1.0
    while value < 3.0:
        slope, value = slope * (np.cos(value) + 1.0), np.sin(value) + value
    np.testing.assert_allclose(pb.grad(f)(1.0), slope)
    assert len(capsys.readouterr().out.split()) == 3
