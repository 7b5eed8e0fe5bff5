"""Minimizing over containers: derivatives, bounds, constraints, and the way back from vectors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import optimize

import pullback as pb
from pullback.ir.errors import (
    ArgumentError,
    DifferentiationError,
    DTypeError,
    ShapeError,
    StructureError,
)


class Fit(NamedTuple):
    w: Any
    b: Any


def bowl(p: Any) -> Any:
    """Least, 0, at w = [[1, 2], [3, 4]] and b = -1; no quadratic."""
    d = p["w"] - np.array([[1.0, 2.0], [3.0, 4.0]])
    return np.sum(np.cosh(d) - 1) + (p["b"] + 1) ** 2


START = {"w": np.zeros((2, 2)), "b": 0.5}


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


# ---- vectors -------------------------------------------------------------------------------------


def test_flatten_makes_doubles_and_gives_dtypes_back():
    vector, unflatten = pb.flatten({"a": np.ones((2, 2), np.float32), "n": 3, "i": np.arange(2)})
    assert vector.dtype == np.float64
    np.testing.assert_array_equal(vector, [1, 1, 1, 1, 3, 0, 1])
    again = unflatten(vector / 2)
    assert again["a"].dtype == np.float32
    assert again["a"].shape == (2, 2)
    assert again["n"] == 1.5
    np.testing.assert_array_equal(again["i"], [0, 0.5])


def test_flatten_with_scipys_other_solvers():
    start, unflatten = pb.flatten(Fit(np.array([1.0, 1.0]), 0.5))

    def residuals(v: Any) -> Any:
        p = unflatten(v)
        return np.concatenate([p.w**2 - 4, np.reshape(p.b * p.w[0] - 6, (1,))])

    found = optimize.root(residuals, start, jac=pb.jacobian(residuals))
    solution = unflatten(found.x)
    np.testing.assert_allclose(solution.w, [2, 2])
    assert solution.b == pytest.approx(3)


def test_complex_leaves_are_refused():
    with pytest.raises(DTypeError, match="Take its real and imaginary parts as two leaves"):
        pb.flatten([1j])


# ---- methods -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [None, "BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP", "Newton-CG", "trust-ncg", "trust-krylov",
     "trust-exact", "dogleg", "trust-constr", "Powell", "Nelder-Mead", "COBYQA"],
)  # fmt: skip
def test_methods(method):
    options = {"maxiter": 2000} if method == "Nelder-Mead" else None
    result = pb.minimize(bowl, START, method=method, options=options)
    np.testing.assert_allclose(result.x["w"], [[1, 2], [3, 4]], atol=2e-3)
    assert result.x["b"] == pytest.approx(-1, abs=2e-3)
    assert type(result.x["b"]) is float
    assert result.fun == pytest.approx(0, abs=1e-4)
    if "jac" in result and method != "trust-constr":
        assert result.jac["w"].shape == (2, 2)


def test_derivatives_are_the_functions_own():
    """Newton's method in the sense of SciPy takes the same steps with derivatives by hand."""
    x0 = np.array([-1.0, 1.5, 0.3])
    hand = optimize.minimize(
        optimize.rosen, x0, method="trust-exact", jac=optimize.rosen_der, hess=optimize.rosen_hess
    )
    ours = pb.minimize(rosenbrock, x0, method="trust-exact")
    assert ours.nit == hand.nit
    np.testing.assert_allclose(ours.x, hand.x, rtol=1e-8)
    krylov = pb.minimize(rosenbrock, x0, method="Newton-CG", tol=1e-10)
    np.testing.assert_allclose(krylov.x, 1, rtol=1e-6)


def test_value_and_gradient_are_computed_once(capsys):
    def counted(x: Any) -> Any:
        print("run")
        return rosenbrock(x)

    result = pb.minimize(counted, np.zeros(3))
    assert result.nit > 5
    assert capsys.readouterr().out.count("run") == result.nfev


def test_args_and_hidden_inputs():
    scale = np.array([1.0, 4.0])

    def loss(p: Any, x: Any, power: int) -> Any:
        return np.sum(scale * (p - x) ** power)

    for target in (1.0, 2.0):
        result = pb.minimize(loss, np.zeros(2), args=(np.full(2, target), 2))
        np.testing.assert_allclose(result.x, target, atol=1e-5)


def test_dtypes_come_back_and_the_search_is_in_double():
    def loss(p: Any) -> Any:
        assert p.w.dtype == p.b.dtype == np.float64
        return np.sum((p.w - 1 / 3) ** 4) + (p.b - 0.1) ** 2

    result = pb.minimize(loss, Fit(np.zeros(3, np.float32), np.float32(0)), tol=1e-12)
    assert result.x.w.dtype == np.float32
    assert type(result.x.b) is np.float32
    assert result.jac.w.dtype == np.float32
    np.testing.assert_allclose(result.x.w, 1 / 3, atol=1e-3)
    whole = pb.minimize(lambda n: (n["k"] - 2.5) ** 2, {"k": 1})
    assert whole.x["k"] == pytest.approx(2.5)


def test_the_default_for_many_numbers_has_no_matrix():
    result = pb.minimize(lambda x: np.sum((x - 1) ** 2), np.zeros(2000))
    np.testing.assert_allclose(result.x, 1, atol=1e-5)
    assert not isinstance(result.hess_inv, np.ndarray)


# ---- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [
        {"w": (None, 2.0), "b": (0.0, None)},
        {"w": (-np.inf, np.full((2, 2), 2.0)), "b": (0, 10)},
        ({"w": None, "b": 0.0}, {"w": np.full((2, 2), 2.0), "b": None}),
        optimize.Bounds([-9.0] * 4 + [0.0], [2.0] * 4 + [9.0]),
    ],
)
def test_bounds(bounds):
    result = pb.minimize(bowl, START, bounds=bounds)
    np.testing.assert_allclose(result.x["w"], [[1, 2], [2, 2]], atol=1e-4)
    assert result.x["b"] == 0.0


def test_bounds_of_one_array():
    def loss(x: Any) -> Any:
        return np.sum((x - 3) ** 2)

    x0 = np.zeros(2)
    for bounds in ((0, 1), (None, np.ones(2)), [(0, 1), (0, 1)], [(None, 1), None]):
        result = pb.minimize(loss, x0, bounds=bounds)
        expected = [1, 3] if bounds == [(None, 1), None] else [1, 1]
        np.testing.assert_allclose(result.x, expected, atol=1e-6)
    assert pb.minimize(lambda x: (x - 3) ** 2, 0.0, bounds=(None, 1)).x == 1.0


@pytest.mark.parametrize(
    "bounds",
    [((0, 1), (None, 2)), [(0, 1), (None, 2)], np.array([[0, 1], [-9, 2]]), ([0, -9], [1, 2])],
)
def test_bounds_of_two_numbers_are_read_as_scipy_reads_them(bounds):
    result = pb.minimize(lambda x: np.sum((x - 3) ** 2), np.zeros(2), bounds=bounds)
    np.testing.assert_allclose(result.x, [1, 2], atol=1e-6)


def test_none_leaves_an_array_free():
    result = pb.minimize(bowl, START, bounds={"w": None, "b": (0, 1)})
    np.testing.assert_allclose(result.x["w"], [[1, 2], [3, 4]], atol=1e-4)
    assert result.x["b"] == 0


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"w": (0, 1)}, "`bounds` lacks the key 'b'"),
        ({"w": (0, 1), "b": 3}, r"`bounds\['b'\]` is no pair \(low, high\) or None"),
        ([(0, 1)] * 5, "`bounds` is a list, and `x0` has a dict there"),
        (3, "`bounds` is an int, and `x0` has a dict there"),
        ({"w": (0, np.ones(3)), "b": None}, r"`bounds\['w'\]` has the shape \(3,\)"),
    ],
)
def test_bounds_that_do_not_fit(bounds, message):
    with pytest.raises(StructureError, match=message):
        pb.minimize(bowl, START, bounds=bounds)


def test_bounds_that_leave_no_room_are_named():
    with pytest.raises(ArgumentError, match=r"`bounds\['b'\]` leaves no room: it goes from 2.0 to"):
        pb.minimize(bowl, START, bounds={"w": None, "b": (2.0, 1.0)})
    with pytest.raises(ArgumentError, match=r"`bounds` leaves no room: it goes from nan to 1.0"):
        pb.minimize(np.sum, np.ones(2), bounds=(np.nan, 1.0))


def test_bounds_and_matrices_of_scipy_need_an_entry_for_each_of_the_vector():
    with pytest.raises(ShapeError, match=r"a vector of shape \(2,\), and `pb.flatten\(x0\)` has 5"):
        pb.minimize(bowl, START, bounds=optimize.Bounds(np.zeros(2), 1.0))
    with pytest.raises(ShapeError, match=r"2 columns, and `pb.flatten\(x0\)` has 5 entries"):
        pb.minimize(bowl, START, constraints=optimize.LinearConstraint(np.ones((1, 2)), 0, 1))


def test_bounds_that_could_be_pairs_or_sides_are_refused():
    for x0, bounds in (((0.0, 0.0), [(0, 1), (0, 2)]), ([0.0, 0.0], [[0, 1], [0, 2]])):
        with pytest.raises(StructureError, match="the bounds do not fit x0"):
            pb.minimize(lambda p: p[0] ** 2 + p[1] ** 2, x0, bounds=bounds)


# ---- constraints ---------------------------------------------------------------------------------


def farthest(p: Any) -> Any:
    return -(p["a"][0] + p["a"][1] + p["b"])


def on_ball(p: Any) -> Any:
    return 3.0 - np.sum(p["a"] ** 2) - p["b"] ** 2


@pytest.mark.parametrize("kind", ["eq", "ineq", "nonlinear", "several"])
def test_constraints(kind):
    x0 = {"a": np.array([0.5, 0.1]), "b": 0.3}
    constraints: Any = {"type": kind, "fun": on_ball}
    method = None
    if kind == "nonlinear":
        constraints, method = optimize.NonlinearConstraint(on_ball, 0.0, np.inf), "trust-constr"
    if kind == "several":
        constraints = [
            {"type": "ineq", "fun": on_ball},
            {"type": "eq", "fun": lambda p, c: {"first": c * p["a"][0] - c}, "args": (2,)},
        ]
    result = pb.minimize(farthest, x0, method=method, constraints=constraints)
    np.testing.assert_allclose(result.x["a"], 1, atol=1e-4)
    assert result.x["b"] == pytest.approx(1, abs=1e-4)


def test_constraints_with_several_bounds():
    def sums(p: Any) -> Any:
        return {"s": np.sum(p["a"]), "d": p["a"][0] - p["b"]}

    constraint = optimize.NonlinearConstraint(sums, {"s": 0.0, "d": 0.0}, {"s": 2.0, "d": 0.0})
    result = pb.minimize(
        lambda p: -np.sum(p["a"]) + p["b"] ** 2 + np.sum(p["a"] ** 2) / 10,
        {"a": np.zeros(2), "b": 0.0},
        method="trust-constr",
        constraints=constraint,
    )
    assert np.sum(result.x["a"]) == pytest.approx(2, abs=1e-2)
    assert result.x["a"][0] == pytest.approx(result.x["b"], abs=1e-6)


def test_what_is_no_constraint():
    with pytest.raises(ArgumentError, match=r'needs a function "fun" and the "type" "eq"'):
        pb.minimize(bowl, START, constraints={"type": "le", "fun": on_ball})
    with pytest.raises(ArgumentError, match="a function is no constraint"):
        pb.minimize(bowl, START, constraints=on_ball)


# ---- callbacks and progress ----------------------------------------------------------------------


def test_callbacks_get_containers():
    seen: list[Any] = []
    result = pb.minimize(bowl, START, callback=seen.append)
    assert len(seen) == result.nit
    assert [p["w"].shape for p in seen] == [(2, 2)] * result.nit
    np.testing.assert_array_equal(seen[-1]["w"], result.x["w"])
    values: list[float] = []

    def stop(intermediate_result: Any) -> None:
        values.append(intermediate_result.fun)
        assert intermediate_result.fun == pytest.approx(bowl(intermediate_result.x))
        if len(values) == 2:
            raise StopIteration

    assert pb.minimize(bowl, START, callback=stop).nit == 2


def test_a_callback_of_two_arguments_gets_the_state():
    states: list[Any] = []

    def watch(p: Any, state: Any) -> bool:
        assert p["w"].shape == (2, 2)
        states.append(state.nit)
        return len(states) == 2

    assert pb.minimize(bowl, START, method="trust-constr", callback=watch).nit == 2
    assert states == [1, 2]


def test_a_method_of_ones_own():
    def descent(fun: Any, x0: Any, args: Any, jac: Any, **rest: Any) -> Any:
        x = x0
        for _ in range(100):
            x = x - 0.25 * jac(x)
        return optimize.OptimizeResult(x=x, fun=fun(x), success=True)

    result = pb.minimize(lambda p: np.sum((p["w"] - 2) ** 2), {"w": np.zeros(2)}, method=descent)
    np.testing.assert_allclose(result.x["w"], 2.0)


def test_an_argument_that_is_no_tuple():
    for args in (2.0, np.full(2, 2.0)):
        result = pb.minimize(lambda x, a: np.sum((x - a) ** 2), np.zeros(2), args)
        np.testing.assert_allclose(result.x, 2.0, atol=1e-6)


def test_progress(capsys):
    result = pb.minimize(bowl, START, progress=True, options={"maxiter": 3})
    shown = capsys.readouterr()
    assert result.nit == 3
    assert "3/3" in shown.err
    assert f"value {result.fun:.6g}" in shown.err
    assert not shown.out
    pb.minimize(bowl, START, progress=True, callback=lambda x: None, method="Nelder-Mead")
    assert "gradient" not in capsys.readouterr().err


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.sum, "abc"), DTypeError, "`x0` is a str, and only arrays and numbers count"),
        ((bowl, {"w": 1j}), DTypeError, r"`x0\['w'\]` is complex"),
        ((np.sum, {}), ArgumentError, "x0 holds no number"),
        ((np.sum, 1.0, (), 3), TypeError, "method other than a name, takes a function, not int"),
    ],
)
def test_what_can_be_no_start_or_method(arguments, error, message):
    with pytest.raises(error, match=message):
        pb.minimize(*arguments)


def test_functions_are_asked_for():
    with pytest.raises(TypeError, match="minimize, as callback, takes a function, not int"):
        pb.minimize(bowl, START, callback=3)
    with pytest.raises(TypeError, match="a constraint takes a function, not int"):
        pb.minimize(bowl, START, constraints={"type": "eq", "fun": 3})

    def largest(p: Any) -> Any:
        return np.argmax(p["w"])

    with pytest.raises(DifferentiationError, match="floating-point outputs, and largest returns"):
        pb.minimize(bowl, START, constraints={"type": "eq", "fun": largest})


def test_the_function_must_be_scalar():
    with pytest.raises(
        DifferentiationError, match=r"(?s)minimize needs .* returns f64\[2\].*np\.mean\.$"
    ):
        pb.minimize(lambda x: x * 2, np.zeros(2))
    for method in ("Nelder-Mead", "Powell"):
        with pytest.raises(
            DifferentiationError, match="one real number, and lambda returns a tuple"
        ):
            pb.minimize(lambda x: (x * 2, 1.0), np.zeros(2), method=method)
        with pytest.raises(DifferentiationError, match=r"returns an array of shape \(2,\)"):
            pb.minimize(lambda x: x * 2, np.zeros(2), method=method)


def test_no_way_from_the_start():
    def loss(p: Any) -> Any:
        return np.sum(np.sqrt(p["w"])) + p["b"]

    with np.errstate(all="ignore"):  # NumPy warns of the roots
        with pytest.raises(ArgumentError, match="loss is nan at x0"):
            pb.minimize(loss, {"b": 1.0, "w": -np.ones((2, 2))})
        with pytest.raises(ArgumentError, match="loss is nan at x0"):
            pb.minimize(loss, {"b": 1.0, "w": -np.ones(2)}, method="Powell")
        w = np.ones((2, 2))
        w[1, 0] = 0
        message = r"the gradient of loss at x0 is inf with respect to `x0\['w'\]\[1, 0\]`"
        with pytest.raises(ArgumentError, match=message):
            pb.minimize(loss, {"b": 1.0, "w": w})


@pytest.mark.parametrize(("missing", "option"), [("scipy", ""), ("rich", ", progress=True")])
def test_what_is_not_installed(missing, option):
    code = f"""
import sys
import pullback as pb
assert {missing!r} not in sys.modules
sys.modules[{missing!r}] = None
try:
    pb.minimize(lambda x: x ** 2, 1.0{option})
except ImportError as error:
    print(error)
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name = {"scipy": "SciPy", "rich": "rich"}[missing]
    assert f"needs {name}:  pip install {missing}" in made.stdout
