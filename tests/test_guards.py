"""Values that decide what Python does: each path has a program, chosen by guards at every call.

The functions are compared with themselves, plain, on arguments that take every path.
"""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.entries import GUARDED_SIZE
from pullback.ir.core import walk
from pullback.ir.ops.guard import Guard, Missed

TABLE = [2.0, 3.0, 5.0]


def same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(found, tuple | list):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(found, dict):
        assert list(found) == list(expected)
        same(list(found.values()), list(expected.values()))
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        assert np.asarray(found).dtype == np.asarray(expected).dtype


def slope(function: Callable[..., Any], x: np.ndarray, *rest: Any) -> np.ndarray:
    """Return the central differences of a scalar function."""
    found = np.zeros_like(x)
    for k in range(x.size):
        step = np.zeros_like(x)
        step.flat[k] = 1e-6
        found.flat[k] = (function(x + step, *rest) - function(x - step, *rest)) / 2e-6
    return found


# ---- paths ---------------------------------------------------------------------------------------


def chosen(x: Any) -> Any:
    return "positive" if bool(np.sum(x) > 0) else "negative"


def of_a_dict(x: Any) -> Any:
    return {"positive": np.sum(x * x), "negative": np.sum(np.sin(x))}[chosen(x)]


def of_structures(x: Any) -> Any:
    return (x, x * 2.0) if bool(x[0] > x[1]) else [x]


def nested(x: Any) -> Any:
    if bool(x[0] > 0):
        if bool(x[1] > 0):
            y = x * 2.0
        else:
            y = np.exp(x)
    elif bool(x[2] > 0.5):
        y = np.cos(x)
    else:
        y = -x
    if bool(np.sum(y) > 0.3):
        return np.sum(y * x)
    return np.sum(y)


def until_small(x: Any) -> Any:
    count = 0
    while bool(np.max(np.abs(x)) > 0.5):
        x = x * 0.6
        count += 1
    return np.sum(x * x) * count


def index_of_a_list(x: Any) -> Any:
    return TABLE[np.argmax(x)] * np.sum(x * x)


def by_largest(x: Any) -> Any:
    return {0: np.sin, 1: np.cos, 2: np.exp}[np.argmax(x)](x).sum()


def of_truth(x: Any) -> Any:
    return {True: np.sum, False: np.prod}[x[0] > x[1]](x)


def written_key(x: Any) -> Any:
    held: dict[int, Any] = {}
    held[int(np.argmin(x))] = x * 3.0
    held[7] = x
    return held


def counted(x: Any) -> Any:
    total = 0.0
    for k in range(int(np.abs(x[0]) * 3)):
        total = total + x[k % 3] * (k + 1)
    return total


def of_a_size(x: Any) -> Any:
    return np.zeros(int(np.abs(x[0]) * 3)).shape[0] + np.sum(x)


def with_and(x: Any) -> Any:
    return np.sum(x) if bool(x[0] > 0) and bool(x[1] > 0) else np.prod(x)


def of_membership(x: Any) -> Any:
    return x * 2.0 if 0.0 in np.trunc(x) else -x


SCALARS = [of_a_dict, nested, until_small, index_of_a_list, by_largest, of_truth, with_and]
FUNCTIONS = [*SCALARS, of_structures, written_key, counted, of_a_size, of_membership]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("exact", [False, True], ids=["default", "exact"])
def test_every_path_is_as_plain(function: Callable[..., Any], exact: bool) -> None:
    compiled = pb.compile(function, exact=exact)
    rng = np.random.default_rng(3)
    for _ in range(40):
        x = rng.normal(size=3) * 1.5
        same(compiled(x), function(x))
    assert 1 < len(compiled.programs.made()) <= GUARDED_SIZE


@pytest.mark.parametrize("function", SCALARS, ids=lambda f: f.__name__)
def test_derivatives_of_every_path(function: Callable[..., Any]) -> None:
    gradient, both, pulled = pb.grad(function), pb.value_and_grad(function), pb.vjp(function)
    rng = np.random.default_rng(4)
    for _ in range(12):
        x = rng.normal(size=3) * 1.5
        expected = slope(function, x)
        np.testing.assert_allclose(gradient(x), expected, rtol=1e-4, atol=1e-7)
        value, found = both(x)
        np.testing.assert_allclose(value, function(x), rtol=1e-13)
        np.testing.assert_array_equal(found, gradient(x))
        out, pull = pulled(x)
        np.testing.assert_allclose(out, function(x), rtol=1e-13)
        np.testing.assert_allclose(pull(np.float64(1.0))[0], expected, rtol=1e-4, atol=1e-7)


def test_the_second_derivative_takes_the_path_of_the_first() -> None:
    gradient = pb.grad(nested)
    hessian_row = pb.grad(lambda x: np.sum(pb.grad(nested)(x)))
    for x in (np.ones(3), np.array([0.5, -0.2, 0.1]), np.array([-0.5, 0.2, 0.9]), -np.ones(3)):
        expected = slope(lambda x: np.sum(gradient(x)), x)
        np.testing.assert_allclose(hessian_row(x), expected, rtol=1e-6, atol=1e-8)


def test_a_value_of_outside_decides_inside_of_a_derivative() -> None:
    def f(x: Any, flag: Any) -> Any:
        positive = flag > 0
        return pb.grad(lambda y: np.sum(y * y if bool(positive) else np.sin(y)))(x)

    compiled = pb.compile(f)
    x = np.arange(3.0)
    for flag in (1.0, -1.0, 2.0):
        np.testing.assert_allclose(compiled(x, flag), 2 * x if flag > 0 else np.cos(x))


def test_scalars_of_every_kind() -> None:
    def f(k: Any, x: Any) -> Any:
        return TABLE[k] * x if k else -x

    compiled = pb.compile(f)
    for make in (np.int64, np.int8, np.uint16, lambda k: np.array(k)):
        for k in (0, 2, 1, 2):
            same(compiled(make(k), 1.5), f(make(k), 1.5))
    truth = pb.compile(lambda z: 1.0 if bool(z) else 2.0)
    for z in (1j, 0j, np.nan, 0.0, -0.0, np.float32(2), np.ones((1, 1)), np.zeros((1, 1))):
        assert truth(z) == (1.0 if z else 2.0)


def test_an_integer_repeats_a_list() -> None:
    def f(k: Any, x: Any) -> Any:
        return np.array([2.0, 3.0] * k + [x]), (k * (x, 1.0))[0], np.array(2) * [x]

    compiled = pb.compile(f)
    for k in (1, 3, 2):
        same(compiled(np.int64(k), 1.5), f(np.int64(k), 1.5))


@pytest.mark.parametrize("value", [2.9, -0.5, -3.0, 0.0])
def test_int_of_a_float_truncates(value: float) -> None:
    compiled = pb.compile(lambda x: np.ones(3) * int(x))
    for x in (value, value + 0.05, 7.5, np.float32(value)):
        np.testing.assert_array_equal(compiled(x), np.ones(3) * int(x))


def test_int_of_no_number_raises_as_python_does() -> None:
    compiled = pb.compile(lambda x: np.ones(2) * int(x))
    compiled(0.0)
    for bad, error in ((np.nan, ValueError), (np.inf, OverflowError)):
        with pytest.raises(error):
            compiled(bad)
    np.testing.assert_array_equal(compiled(1e300 * 0 + 2.0), [2.0, 2.0])


def test_truth_of_several_elements_is_an_error_as_in_numpy() -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        pb.compile(lambda x: 1.0 if x > 0 else 0.0)(np.ones(3))


def test_one_guard_for_one_value() -> None:
    def f(x: Any) -> Any:
        positive = np.sum(x) > 0
        return [x if bool(positive) else -x for _ in range(5)]

    program = pb.compile(f).inspect(np.ones(2)).optimized
    assert sum(isinstance(e.op, Guard) for e in walk(program)) == 1


# ---- errors and assertions -----------------------------------------------------------------------


def checked(x: Any) -> Any:
    if bool(np.any(x < 0)):
        raise ValueError("x must not be negative")
    return np.sqrt(x)


def test_what_a_path_raises_is_raised_and_nothing_is_kept() -> None:
    compiled = pb.compile(checked)
    for _ in range(2):
        with pytest.raises(ValueError, match="must not be negative"):
            compiled(-np.ones(2))
    assert compiled.cache_info().currsize == 0
    same(compiled(np.ones(2)), np.ones(2))
    with pytest.raises(ValueError, match="must not be negative"):
        compiled(-np.ones(2))
    assert len(compiled.programs.made()) == 1


def test_assertions() -> None:
    def f(x: Any) -> Any:
        assert bool(np.all(x > 0)), "positive"
        return np.log(x)

    compiled = pb.compile(f)
    same(compiled(np.ones(2)), np.zeros(2))
    with pytest.raises(AssertionError, match="positive"):
        compiled(-np.ones(2))


def test_a_handler_catches_what_a_path_raises() -> None:
    def f(x: Any) -> Any:
        try:
            return checked(x) + 1.0
        except ValueError:
            return np.zeros(2)

    compiled = pb.compile(f)
    for sign in (1, -1, 1, -1):
        same(compiled(sign * np.ones(2)), f(sign * np.ones(2)))


def test_an_index_that_decides_is_checked() -> None:
    def f(x: Any, k: Any) -> Any:
        return x if bool(x[k] > 0) else -x

    compiled = pb.compile(f)
    with pytest.raises(IndexError):
        compiled(np.ones(3), np.int64(7))
    same(compiled(np.ones(3), np.int64(1)), np.ones(3))
    with pytest.raises(IndexError):
        compiled(np.ones(3), np.int64(7))


# ---- nothing has happened when a guard fails -----------------------------------------------------


def test_a_failing_guard_leaves_the_arguments_untouched() -> None:
    def f(x: Any, k: Any) -> Any:
        x[0] = 10.0
        x += 1.0
        scale = TABLE[k]
        x *= scale
        return np.sum(x)

    compiled = pb.compile(f)

    for k in (0, 1, 2, 0):
        mine, plain = np.arange(4.0), np.arange(4.0)
        same(compiled(mine, np.int64(k)), f(plain, k))
        np.testing.assert_array_equal(mine, plain)
    (first, *_) = compiled.programs.made()
    x = np.arange(4.0)
    inputs = first.inputs([x, np.int64(1)], [])
    with pytest.raises(Missed):
        first.run(inputs)
    np.testing.assert_array_equal(x, np.arange(4.0))


def test_writes_on_one_path_alone() -> None:
    def f(x: Any) -> Any:
        y = x * 2.0
        if bool(x[0] > 0):
            x[:] = 0.0
            return {"cleared": y}
        return y

    compiled = pb.compile(f)
    for first in (1.0, -1.0, 2.0):
        mine, plain = np.array([first, 5.0]), np.array([first, 5.0])
        same(compiled(mine), f(plain))
        np.testing.assert_array_equal(mine, plain)


def test_overlapping_arguments() -> None:
    def f(x: Any, y: Any) -> Any:
        x[0] = y[0] + 1.0
        return [np.sum(y)] if bool(y[1] > 0) else np.sum(x)

    compiled = pb.compile(f)
    for sign in (1, -1, 1):
        mine, plain = sign * np.arange(1.0, 6), sign * np.arange(1.0, 6)
        same(compiled(mine[1:], mine[:3]), f(plain[1:], plain[:3]))
        np.testing.assert_array_equal(mine, plain)


def test_what_is_stored_outside() -> None:
    class Model:
        def __init__(self) -> None:
            self.weight = np.arange(3.0)
            self.calls: list[Any] = []

        @pb.compile
        def step(self, x: Any) -> Any:
            self.last = x * self.weight
            if bool(np.sum(self.last) > 1):
                self.calls.append(np.max(x))
                return "large", self.last
            return self.last

    model = Model()
    for scale in (1.0, 0.1, 1.0, 0.1):
        found = model.step(scale * np.ones(3))
        assert isinstance(found, tuple) is (scale == 1.0)
        np.testing.assert_allclose(model.last, scale * np.arange(3.0))
    assert len(model.calls) == 2
    model.weight *= -1.0
    assert not isinstance(model.step(np.ones(3)), tuple)


def test_hidden_inputs_decide_too() -> None:
    weights = np.ones(3)

    def f(x: Any) -> Any:
        return [x] if bool(np.sum(weights) > 0) else x

    compiled = pb.compile(f)
    for value in (1.0, -1.0, 1.0, -2.0):
        weights[:] = value
        same(compiled(np.arange(3.0)), f(np.arange(3.0)))
    assert len(compiled.programs.made()) == 2


def test_prints_happen_once(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        print("start")
        total = np.sum(x / x[0])
        if bool(total > 0):
            print("positive", total)
            return "positive", x
        print("negative")
        return x

    compiled, written = pb.compile(f), []
    for run in (compiled, f):
        for sign in (1, -1, 1, -1):
            run(np.array([1.0, sign * 5]))
        written.append(capsys.readouterr().out)
    assert written[0] == written[1]


def test_draws_after_a_guard_happen_once() -> None:
    def f(rng: Any, x: Any) -> Any:
        scale = {True: 1.0, False: 3.0}[bool(np.sum(x) > 0)]
        return x + scale * rng.normal(size=2)

    compiled = pb.compile(f)
    mine, plain = np.random.default_rng(0), np.random.default_rng(0)
    for sign in (1, -1, 1, -1):
        same(compiled(mine, sign * np.ones(2)), f(plain, sign * np.ones(2)))


def test_a_value_that_does_not_depend_on_a_draw_before_it() -> None:
    def f(rng: Any, x: Any) -> Any:
        noise = rng.normal(size=2)
        return [x + noise] if bool(np.sum(x) > 0) else x - noise

    compiled = pb.compile(f)
    mine, plain = np.random.default_rng(0), np.random.default_rng(0)
    for sign in (1, -1, 1, -1):
        same(compiled(mine, sign * np.ones(2)), f(plain, sign * np.ones(2)))


def test_warnings_come_once() -> None:
    def f(x: Any) -> Any:
        y = np.log(x)
        return [y] if bool(x[0] > 0) else y

    compiled = pb.compile(f)
    compiled(np.ones(2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled(-np.ones(2))  # misses, is traced and run
        assert [str(w.message) for w in caught] == ["invalid value encountered in log"]
        compiled(-np.ones(2))  # misses, and finds the other program
    assert len(caught) == 2
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        compiled(-np.ones(2))
    heard: list[str] = []
    with np.errstate(all="call", call=lambda error, _: heard.append(error)):
        compiled(-np.ones(2))
    assert heard == ["invalid value"]


def test_what_a_path_does_not_compute_does_not_warn() -> None:
    def f(x: Any) -> Any:
        return np.log(x) + x if bool(x[0] > 0) else [x]

    compiled = pb.compile(f)
    for sign in (1, -1, 1, -1):  # warnings are errors here
        same(compiled(sign * np.ones(2)), f(sign * np.ones(2)))


def test_logging_in_a_path(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("paths")

    def f(x: Any) -> Any:
        if bool(np.sum(x) > 0):
            logger.warning("positive %s", np.sum(x))
            return [x]
        return x

    compiled = pb.compile(f)
    for sign in (1, -1, 1):
        compiled(sign * np.ones(2))
    assert [r.getMessage() for r in caplog.records] == ["positive 2.0"] * 2


# ---- rounding ------------------------------------------------------------------------------------


def test_a_branch_that_hangs_on_the_last_bits() -> None:
    def f(x: Any) -> Any:
        y = (3.0 * (0.1 * x)) / 0.7  # which the default mode multiplies in another order
        return [y] if bool(np.sum(y) == total) else y

    rng = np.random.default_rng(5)
    differed = 0
    for _ in range(50):
        x = rng.normal(size=1)
        total = float(((3.0 * (0.1 * x)) / 0.7)[0])
        compiled = pb.compile(f)
        assert isinstance(compiled(x), list)
        assert isinstance(compiled(x), list)
        assert isinstance(pb.compile(f, exact=True)(x), list)
        differed += len(compiled.programs.made()) > 1
    assert differed


# ---- the cache -----------------------------------------------------------------------------------


def test_the_cache_is_bounded() -> None:
    def f(k: Any) -> Any:
        return list(range(100))[k] * 2.0

    compiled = pb.compile(f)
    for k in range(2 * GUARDED_SIZE):
        assert compiled(np.int64(k)) == 2.0 * k
    assert len(compiled.programs.made()) == GUARDED_SIZE
    assert compiled.cache_info().misses == 2 * GUARDED_SIZE
    compiled(np.int64(2 * GUARDED_SIZE - 1))
    assert compiled.cache_info().misses == 2 * GUARDED_SIZE
    compiled(np.int64(0))
    assert compiled.cache_info().misses == 2 * GUARDED_SIZE + 1


def test_two_threads_on_different_paths() -> None:
    compiled = pb.compile(nested)
    failures: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(100):
                x = rng.normal(size=3)
                np.testing.assert_allclose(compiled(x), nested(x), rtol=1e-13)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(compiled.programs.made()) <= GUARDED_SIZE


# ---- what is refused -----------------------------------------------------------------------------


def test_shapes_alone_decide_nothing() -> None:
    with pytest.raises(pb.ConcretizationError, match="no arguments yet") as caught:
        pb.compile(of_a_dict).inspect(pb.Spec(3))
    assert "`bool(np.sum(x) > 0)` decides a branch" in str(caught.value)
    with pytest.raises(pb.ConcretizationError, match="no arguments yet"):
        pb.compile(index_of_a_list).explain(pb.Spec(3))
    assert pb.compile(of_a_dict).inspect(np.ones(3)).optimized.eqns


def test_a_draw_decides_nothing() -> None:
    def f(rng: Any, x: Any) -> Any:
        return [x] if bool(rng.normal() > 0) else x

    rng = np.random.default_rng(0)
    with pytest.raises(pb.ConcretizationError, match="depends on a random draw"):
        pb.compile(f)(rng, np.ones(2))
    assert rng.normal() == np.random.default_rng(0).normal()


def test_loop_bodies_have_no_one_value() -> None:
    def f(x: Any) -> Any:
        return pb.fori_loop(0, 3, lambda _, s: s * 2 if bool(s[0] > 0) else -s, x)

    with pytest.raises(pb.ConcretizationError, match="decides a branch"):
        pb.compile(f)(np.ones(2))


def test_too_many_values() -> None:
    def f(x: Any) -> Any:
        while bool(x[0] < 5000):
            x = x + 1.0
        return x

    with pytest.raises(pb.ConcretizationError, match="1,000 values"):
        pb.compile(f)(np.zeros(1))


def test_floats_in_code_that_is_not_seen_stay_unknown() -> None:
    with pytest.raises(pb.ConcretizationError, match="a Python float"):
        pb.compile(lambda x: math.ldexp(x, 1))(1.0)


# ---- derivatives of derivatives ------------------------------------------------------------------


def of_a_table(x: Any) -> Any:
    power = TABLE[int(np.sum(x) > 0)]
    return np.sum(x**power) / [2, 3][int(x[0] > x[1])]


def test_what_decides_in_a_function_traced_apart_is_guarded() -> None:
    gradient = pb.grad(of_a_table)
    v = np.array([0.5, -1.0])
    of_gradient = pb.compile(lambda x, v: pb.jvp(pb.grad(of_a_table), (x,), (v,))[1])
    for x in (np.array([0.3, 1.1]), np.array([2.0, -0.4]), np.array([-1.5, 0.7])):
        expected = (gradient(x + 1e-6 * v) - gradient(x - 1e-6 * v)) / 2e-6
        for found in (
            of_gradient(x, v),
            pb.hessian(of_a_table)(x) @ v,
            pb.hvp(of_a_table, (x,), (v,))[0],
            pb.linearize(gradient, x)[1](v),
            pb.vjp(gradient, x)[1](v)[0],
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_a_guard_of_a_function_traced_apart_computes_nothing_twice() -> None:
    def cut(x: Any) -> Any:
        norm = np.sqrt(np.sum(np.exp(x)))
        return norm * TABLE[int(norm > 2.0)]

    f = pb.compile(lambda x: pb.jvp(cut, (x,), (np.ones(2),)))
    x = np.array([1.0, 0.5])
    f(x)
    joint = f.inspect(x).joint
    assert sum(isinstance(eqn.op, Guard) for eqn in walk(joint)) == 1
    assert str(joint).count("= exp(") == 1


def test_an_example_of_many_decides_nothing_and_what_they_share_does() -> None:
    def f(k: Any, x: Any) -> Any:
        return np.sum(x ** TABLE[int(k)])

    xs = np.arange(6.0).reshape(3, 2)
    for k in (0, 2):
        found = pb.vmap(pb.grad(f, 1), in_axes=(None, 0))(np.int64(k), xs)
        np.testing.assert_allclose(found, TABLE[k] * xs ** (TABLE[k] - 1))
    with pytest.raises(pb.ConcretizationError, match="another value for each example of vmap"):
        pb.vmap(f)(np.arange(3), xs)


def test_a_short_loop_that_is_left_stays_a_loop_for_many_examples() -> None:
    def passage(w: Any, level: Any) -> Any:
        total = 0.0
        for k in range(4):
            total = total + w[k] ** 2
            if total > level:
                break
            total = total * 1.1
        return total * level

    w, levels = np.array([0.5, 1.0, 0.7, 1.2]), np.array([0.1, 1.0, 2.0, 9.0])
    found = pb.vmap(pb.value_and_grad(passage), in_axes=(None, 0))(w, levels)
    for k, level in enumerate(levels):
        assert found[0][k] == pytest.approx(passage(w, level), rel=1e-13)
        np.testing.assert_allclose(found[1][k], slope(passage, w, level), rtol=1e-6, atol=1e-8)


def test_a_draw_inside_of_a_derivative_decides_nothing() -> None:
    def f(x: Any, rng: Any) -> Any:
        return np.sum(x ** TABLE[int(rng.random() > 0.5)])

    with pytest.raises(pb.ConcretizationError, match="depends on a random draw"):
        pb.compile(lambda x, rng: pb.grad(f)(x, rng))(np.ones(2), np.random.default_rng(0))
