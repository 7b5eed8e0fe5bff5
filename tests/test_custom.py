"""`custom_vjp`: gradients of the user's own, everywhere a function may stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.transforms import rule_regions

X = np.array([0.3, 0.7, 1.1])
T = np.array([1.0, 2.0, -1.0])
SLOPE = 3.0
"""What the rules multiply the true derivative with, so that one can see them being used."""

SCALE = np.array([1.0, 2.0, 3.0])


@pb.custom_vjp
def wave(x: Any, y: Any) -> Any:
    return np.sin(x) * y


def wave_forward(x: Any, y: Any) -> Any:
    return wave(x, y), (x, y)


def wave_backward(residuals: Any, ct: Any) -> Any:
    x, y = residuals
    dy = ct * np.sin(x)
    return SLOPE * ct * np.cos(x) * y, dy if np.ndim(y) else np.sum(dy)


wave.defvjp(wave_forward, wave_backward)


def total(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: np.sum(function(*args))


def test_outside_of_a_trace_it_is_the_function() -> None:
    assert isinstance(wave(X, 2.0), np.ndarray)
    np.testing.assert_array_equal(wave(X, 2.0), np.sin(X) * 2.0)
    assert repr(wave) == "<pullback.custom_vjp of wave>"


def test_the_rule_is_used() -> None:
    dx, dy = pb.grad(total(wave), argnums=(0, 1))(X, X)
    np.testing.assert_allclose(dx, SLOPE * np.cos(X) * X)
    np.testing.assert_allclose(dy, np.sin(X))


def test_compiled_it_is_written_in_line() -> None:
    eqns = pb.compile(lambda x: wave(x, x) + np.sin(x)).inspect(X).stages[0].function.eqns
    assert [e.op.name for e in eqns] == ["sin", "multiply", "add"]  # shared with what is around
    mapped = pb.vmap(lambda x: wave(x, x) + np.sin(x)).inspect(X).stages[-1].function.eqns
    assert all(e.op.name != "custom" for e in mapped)


def test_compiled_it_may_be_its_argument() -> None:
    function = pb.custom_vjp(lambda x: x)
    function.defvjp(lambda x: (x, None), lambda _, ct: (ct,))
    assert pb.compile(function)(X) is X


@pytest.mark.parametrize("exact", [False, True])
def test_forward_and_backward_share_what_they_compute(exact: bool) -> None:
    function = pb.value_and_grad(lambda x: np.sum(wave(x, 2.0)), exact=exact)
    value, slope = function(X)
    assert value == np.sum(np.sin(X) * 2.0)
    np.testing.assert_allclose(slope, 2 * SLOPE * np.cos(X))
    eqns = function.inspect(X).stages[-1].function.eqns
    assert sum(e.op.name == "sin" for e in eqns) <= 1


def test_the_second_derivative_differentiates_the_backward_rule() -> None:
    first = pb.grad(total(lambda x: wave(x, 1.0)))
    np.testing.assert_allclose(pb.grad(total(first))(X), -SLOPE * np.sin(X))


def test_the_second_derivative_takes_the_rule_of_what_the_forward_rule_calls() -> None:
    first = pb.grad(lambda x: np.sum(wave(x, 1.0) ** 2))
    expected = 2 * (SLOPE * np.cos(X)) ** 2 - 2 * SLOPE * np.sin(X) ** 2
    np.testing.assert_allclose(pb.grad(total(first))(X), expected)


def test_the_third_derivative() -> None:
    first = pb.grad(total(lambda x: wave(x, 1.0)))
    second = pb.grad(total(first))
    np.testing.assert_allclose(pb.grad(total(second))(X), -SLOPE * np.cos(X))


def test_a_hessian_that_is_not_symmetric() -> None:
    """Entry i, j is the derivative of gradient i in the direction j, whatever the rule is."""
    scaled = pb.custom_vjp(lambda x, y: x * y)
    scaled.defvjp(lambda x, y: (x * y, (x, y)), lambda r, ct: (ct * r[1], 3 * np.sum(ct * r[0])))

    def f(p: Any) -> Any:
        return np.sum(scaled(p["a"], p["b"][0]) * p["a"][::-1]) + p["c"] * scaled(p["c"], p["b"][1])

    at = {"a": X, "b": np.array([0.5, 2.0]), "c": 3.0}
    found, expected = pb.hessian(f)(at), pb.jacobian(pb.grad(f))(at)
    for i in at:
        for j in at:
            assert np.shape(found[i][j]) == np.shape(at[i]) + np.shape(at[j])
            np.testing.assert_allclose(found[i][j], expected[i][j], rtol=1e-14)
    assert not np.allclose(found["a"]["b"], found["b"]["a"].T)


def chain(x: Any, steps: int = 4) -> Any:
    for _ in range(steps):
        x = wave(x, 1.5)
    return x


def chain_slope(x: Any, steps: int = 4) -> Any:
    slope = np.ones_like(x)
    for _ in range(steps):
        slope, x = slope * SLOPE * np.cos(x) * 1.5, np.sin(x) * 1.5
    return slope


def chain_curve(x: Any) -> Any:
    """Return the derivative of the slope, where the rule says how x moves as well."""
    slope, curve = np.ones_like(x), np.zeros_like(x)
    for _ in range(4):
        factor = SLOPE * np.cos(x) * 1.5
        curve = curve * factor - slope * SLOPE * np.sin(x) * 1.5 * slope
        slope, x = slope * factor, np.sin(x) * 1.5
    return curve


def until(x: Any) -> Any:
    return pb.while_loop(lambda c: np.sum(c) < 3.9, lambda c: wave(c, 1.5), x)


def count_until(x: Any) -> int:
    count = 0
    while np.sum(x) < 3.9:
        x, count = np.sin(x) * 1.5, count + 1
    return count


@pytest.mark.parametrize(
    "function",
    [
        chain,
        lambda x: pb.fori_loop(0, 4, lambda i, c: wave(c, 1.5), x),
        lambda x: pb.scan(lambda c, _: (wave(c, 1.5), None), x, length=4)[0],
        lambda x: pb.cond(np.sum(x) > 0, chain, lambda x: x, x),
        pb.checkpoint(chain),
        lambda x: pb.checkpoint(chain)(x),
    ],
    ids=["unrolled", "fori_loop", "scan", "cond", "checkpoint", "in_checkpoint"],
)
def test_in_loops_and_branches(function: Callable[..., Any]) -> None:
    np.testing.assert_allclose(pb.grad(total(function))(X), chain_slope(X))
    np.testing.assert_allclose(pb.jvp(function, (X,), (T,))[1], chain_slope(X) * T)
    second = pb.grad(total(pb.grad(total(function))))(X)
    np.testing.assert_allclose(second, chain_curve(X))


def test_in_a_loop_of_unknown_length() -> None:
    count = count_until(X)
    assert count > 3
    np.testing.assert_allclose(pb.grad(total(until))(X), chain_slope(X, count), rtol=1e-9)


def test_in_a_recursion() -> None:
    def halved(x: Any) -> Any:
        if np.sum(x) < 0.5:
            return wave(x, 1.0)
        return halved(x * 0.5)

    found = pb.grad(total(halved))(X)
    small, factor = X, 1.0
    while np.sum(small) >= 0.5:
        small, factor = small * 0.5, factor * 0.5
    np.testing.assert_allclose(found, factor * SLOPE * np.cos(small))


def test_under_a_budget() -> None:
    big = np.linspace(0, 1, 1000)
    found = pb.grad(lambda x: np.sum(chain(x, 20)), memory="1MB")(big)
    np.testing.assert_allclose(found, chain_slope(big, 20))


def test_through_vmap() -> None:
    rows = np.arange(12.0).reshape(4, 3) / 5
    np.testing.assert_allclose(pb.vmap(wave)(rows, rows), np.sin(rows) * rows)
    found = pb.grad(lambda r: np.sum(pb.vmap(lambda x: wave(x, 2.0))(r)))(rows)
    np.testing.assert_allclose(found, 2 * SLOPE * np.cos(rows))
    each = pb.vmap(pb.grad(total(lambda x: wave(x, 2.0))))(rows)
    np.testing.assert_allclose(each, found)
    shared = pb.grad(lambda y: np.sum(pb.vmap(lambda x: wave(x, y))(rows)))(X)
    np.testing.assert_allclose(shared, np.sum(np.sin(rows), 0))
    pushed = pb.vmap(lambda x: pb.jvp(lambda x: wave(x, 2.0), (x,), (x,))[1])(rows)
    np.testing.assert_allclose(pushed, 2 * SLOPE * np.cos(rows) * rows)


def test_forward_mode_transposes_a_linear_rule() -> None:
    value, moved = pb.jvp(wave, (X, X), (T, 2 * T))
    np.testing.assert_allclose(value, np.sin(X) * X)
    np.testing.assert_allclose(moved, SLOPE * np.cos(X) * X * T + np.sin(X) * 2 * T)
    slope = pb.grad(total(lambda x: wave(x, x)))
    _, product = pb.jvp(slope, (X,), (T,))
    way = 1e-6
    expected = (slope(X + way * T) - slope(X - way * T)) / (2 * way)
    np.testing.assert_allclose(product, expected, rtol=1e-6)


def test_jacobians() -> None:
    expected = np.diag(SLOPE * np.cos(X))
    np.testing.assert_allclose(pb.jacrev(lambda x: wave(x, 1.0))(X), expected)
    np.testing.assert_allclose(pb.jacfwd(lambda x: wave(x, 1.0))(X), expected)


def test_vjp() -> None:
    value, pull = pb.vjp(wave, X, X)
    np.testing.assert_allclose(value, np.sin(X) * X)
    for seed in (T, 2 * T):
        dx, dy = pull(seed)
        np.testing.assert_allclose(dx, SLOPE * np.cos(X) * X * seed)
        np.testing.assert_allclose(dy, np.sin(X) * seed)


def test_containers_static_arguments_and_zeros() -> None:
    @pb.custom_vjp
    def layer(params: Any, power: int, name: str, index: Any) -> Any:
        assert name == "linear"
        return {"out": params["w"] * power + params["b"][0], "index": index * 2}

    def forward(params: Any, power: int, name: str, index: Any) -> Any:
        return layer(params, power, name, index), {"power": power, "tag": name}

    def backward(kept: Any, ct: Any) -> Any:
        assert kept == {"power": 3, "tag": "linear"}
        assert sorted(ct) == ["index", "out"]
        return {"w": ct["out"] * 10 * kept["power"], "b": [None]}, None, None, None

    layer.defvjp(forward, backward)
    params = {"w": X, "b": [X * 2]}
    found = pb.grad(lambda p: np.sum(layer(p, 3, "linear", np.arange(3))["out"]))(params)
    np.testing.assert_array_equal(found["w"], [30.0, 30.0, 30.0])
    np.testing.assert_array_equal(found["b"][0], [0.0, 0.0, 0.0])
    named = pb.grad(lambda p: np.sum(layer(p, name="linear", index=np.arange(3), power=3)["out"]))(
        params
    )
    np.testing.assert_array_equal(named["w"], found["w"])


def test_arguments_without_derivatives() -> None:
    applied = pb.custom_vjp(lambda function, x: function(x), nondiff_argnums=(0,))
    applied.defvjp(lambda f, x: (f(x), x), lambda f, x, ct: (f(x) * ct,))
    named = pb.custom_vjp(lambda function, x: function(x), nondiff_argnames="function")
    named.defvjp(lambda f, x: (f(x), x), lambda f, x, ct: (f(x) * ct,))
    tangent = pb.custom_jvp(lambda function, x: function(x), nondiff_argnums=0)
    tangent.defjvp(lambda f, p, t: (f(p[0]), f(p[0]) * t[0]))
    for ruled in (applied, named, tangent):
        for function in (np.sin, np.cos):
            found = pb.grad(total(lambda x, r=ruled, f=function: r(f, x)))(X)
            np.testing.assert_allclose(found, function(X))


class Model:
    def __init__(self) -> None:
        self.rate = 2.0

    @pb.custom_vjp
    def scaled(self, x: Any) -> Any:
        return x * self.rate


Model.scaled.defvjp(
    lambda self, x: (self.scaled(x), self.rate), lambda rate, ct: (None, 10 * rate * ct)
)


def test_methods() -> None:
    model = Model()
    np.testing.assert_array_equal(model.scaled(X), 2 * X)
    slope = pb.grad(lambda x: np.sum(model.scaled(x)))
    np.testing.assert_array_equal(slope(X), [20.0, 20.0, 20.0])
    model.rate = 3.0
    np.testing.assert_array_equal(slope(X), [30.0, 30.0, 30.0])


@pb.custom_vjp
def scaled(x: Any) -> Any:
    return x * SCALE


scaled.defvjp(lambda x: (scaled(x), None), lambda _, ct: (7 * ct * SCALE,))


def test_arrays_from_outside_are_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    slope = pb.grad(total(scaled))
    np.testing.assert_array_equal(slope(X), 7 * SCALE)
    monkeypatch.setattr(f"{__name__}.SCALE", np.array([5.0, 6.0, 7.0]))
    np.testing.assert_array_equal(slope(X), [35.0, 42.0, 49.0])


def test_another_rule_makes_another_program() -> None:
    function = pb.custom_vjp(lambda x: x * 1.0)
    slope = pb.grad(lambda x: np.sum(function(x)))
    function.defvjp(lambda x: (x, None), lambda _, ct: (2 * ct,))
    np.testing.assert_array_equal(slope(X), [2.0, 2.0, 2.0])
    function.defvjp(lambda x: (x, None), lambda _, ct: (5 * ct,))
    np.testing.assert_array_equal(slope(X), [5.0, 5.0, 5.0])


def test_traced_values_in_rules_are_captured() -> None:
    def loss(w: Any, x: Any) -> Any:
        # The output does not depend on w; the rule does.
        same = pb.custom_vjp(lambda x: x * 1.0)
        same.defvjp(lambda x: (same(x), None), lambda _, ct: (ct * w,))
        return np.sum(same(x))

    np.testing.assert_array_equal(pb.grad(loss, 1)(2.0, X), [2.0, 2.0, 2.0])
    assert pb.grad(loss, 0)(2.0, X) == 0.0
    both = pb.grad(lambda w: np.sum(pb.grad(loss, 1)(w, X)))
    assert both(2.0) == 3.0


def test_a_derivative_with_respect_to_what_a_function_captures_is_refused() -> None:
    def loss(w: Any, x: Any) -> Any:
        product = pb.custom_vjp(lambda x: x * w)
        product.defvjp(lambda x: (x * w, None), lambda _, ct: (ct * w,))
        return np.sum(product(x))

    np.testing.assert_array_equal(pb.grad(loss, 1)(2.0, X), [2.0, 2.0, 2.0])
    with pytest.raises(pb.DifferentiationError, match="reads `w` from outside"):
        pb.grad(loss, 0)(2.0, X)
    stopped = pb.grad(lambda w: loss(pb.stop_gradient(w), X) + w)
    assert stopped(2.0) == 1.0


def test_stop_gradient_around_and_inside() -> None:
    function = pb.custom_vjp(lambda x: pb.stop_gradient(x) ** 2)
    function.defvjp(lambda x: (function(x), x), lambda x, ct: (ct * 5 * x,))
    np.testing.assert_allclose(pb.grad(total(function))(X), 5 * X)
    np.testing.assert_allclose(pb.grad(lambda x: np.sum(pb.stop_gradient(wave(x, x)) * x))(X),
                               np.sin(X) * X)  # fmt: skip


def test_effects_happen_once(capsys: pytest.CaptureFixture[str]) -> None:
    @pb.custom_vjp
    def shown(x: Any) -> Any:
        print("function", x)
        return x * x

    def forward(x: Any) -> Any:
        print("forward", x)
        return shown(x), x

    def backward(x: Any, ct: Any) -> Any:
        print("backward", x)
        return (2 * x * ct,)

    shown.defvjp(forward, backward)
    pb.compile(shown)(2.0)
    assert capsys.readouterr().out == "function 2.0\n"
    assert pb.grad(shown)(2.0) == 4.0
    assert capsys.readouterr().out == "forward 2.0\nfunction 2.0\nbackward 2.0\n"


def test_a_rule_that_raises_is_asked_for_derivatives_alone() -> None:
    def backward(_: Any, ct: Any) -> Any:
        raise NotImplementedError("no gradient of this")

    function = pb.custom_vjp(lambda x: x * 2)
    function.defvjp(lambda x: (x * 2, None), backward)
    np.testing.assert_array_equal(pb.compile(function)(X), 2 * X)
    with pytest.raises(NotImplementedError, match="no gradient of this"):
        pb.grad(total(function))(X)


def test_a_rule_may_call_its_function_on_other_types() -> None:
    function = pb.custom_vjp(lambda x: x * 2.0)
    function.defvjp(
        lambda x: (function(x), function(np.append(x, 1.0))), lambda kept, ct: (ct * kept[-1],)
    )
    np.testing.assert_array_equal(pb.grad(total(function))(X), [2.0, 2.0, 2.0])


def test_what_nothing_depends_on_is_not_computed() -> None:
    pair = pb.custom_vjp(lambda x, y: (x * y, np.exp(x)))
    pair.defvjp(
        lambda x, y: (pair(x, y), (x, y)),
        lambda kept, ct: (ct[0] * kept[1] + ct[1] * np.exp(kept[0]), ct[0] * kept[0]),
    )
    slope = pb.grad(lambda x, y: np.sum(pair(x, y)[0]))
    np.testing.assert_array_equal(slope(X, T), T)
    assert not slope.inspect(X, T).stages[-1].function.eqns
    pushed = pb.compile(lambda x, y: pb.jvp(lambda x: pair(x, y)[0], (x,), (x,))[1])
    np.testing.assert_array_equal(pushed(X, T), X * T)
    eqns = pushed.inspect(X, T).stages[-1].function.eqns
    assert [e.op.name for e in eqns] == ["multiply"]


def test_functions_with_rules_in_each_other_are_not_traced_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    original = rule_regions.opened

    def counted(name: str, *args: Any, **kwargs: Any) -> Any:
        opened.append(name)
        return original(name, *args, **kwargs)

    for module in ("rule_regions", "custom"):
        monkeypatch.setattr(f"pullback.transforms.{module}.opened", counted)

    def nested(depth: int) -> Any:
        inner = nested(depth - 1) if depth else np.sin
        function = pb.custom_vjp(lambda x: inner(x) * 2.0)
        function.defvjp(lambda x: (function(x), x), lambda x, ct: (ct * 2.0 * np.cos(x),))
        return function

    np.testing.assert_allclose(pb.grad(total(nested(4)))(X), 2 * np.cos(X))
    assert len(opened) == 3  # the outermost function and its rule: what is inside is plain


def test_a_linear_function_of_solves_applied_to_tangents() -> None:
    a = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]])

    def solved(x: Any) -> Any:
        def solve(matvec: Any, b: Any) -> Any:
            return pb.stop_gradient(np.linalg.solve(a, b))

        return pb.custom_linear_solve(lambda v: a @ v, x, solve, symmetric=True)

    function = pb.custom_jvp(solved)
    function.defjvp(lambda p, t: (function(*p), function(*t)))
    found = pb.grad(lambda x: np.sum(function(x) ** 2))(X)
    inverse = np.linalg.inv(a)
    np.testing.assert_allclose(found, 2 * inverse.T @ inverse @ X)


def test_values_that_python_needs() -> None:
    function = pb.custom_vjp(lambda x: x**2 if float(x[0]) > 0 else -x)
    function.defvjp(
        lambda x: (function(x), (x, 2.0 if float(x[0]) > 0 else 3.0)),
        lambda kept, ct: (ct * kept[0] * kept[1],),
    )
    slope = pb.grad(total(function))
    np.testing.assert_array_equal(slope(X), 2 * X)
    np.testing.assert_array_equal(slope(-X), -3 * X)


@pytest.mark.parametrize("target", ["argument", "result"])
def test_writes_into_memory_that_it_shares_are_refused(target: str) -> None:
    function = pb.custom_vjp(lambda x: x[1:])
    function.defvjp(
        lambda x: (function(x), None), lambda _, ct: (np.concatenate([np.zeros(1), ct]),)
    )

    def loss(x: Any) -> Any:
        x = x * 2.0
        y = function(x)
        written = x if target == "argument" else y
        written[0] = 5.0
        return np.sum(y * x[1:])

    assert pb.compile(loss)(X) == loss(X)
    with pytest.raises(pb.UnsupportedError, match="returns its argument or a view of it"):
        pb.grad(loss)(X)


def test_writes_around_a_call() -> None:
    def loss(x: Any) -> Any:
        x = x * 2.0
        x[0] = 1.0
        y = wave(x, x)
        y[1] = 0.0
        x[2] = 7.0
        return np.sum(y) + np.sum(x)

    slope = np.array([0.0, 2.0, 2 * (SLOPE * np.cos(2.2) * 2.2 + np.sin(2.2))])
    np.testing.assert_allclose(pb.grad(loss)(X), slope)


def test_in_loops_it_reads_what_the_loop_writes() -> None:
    def loss(x: Any, rates: Any) -> Any:
        rate = np.zeros(1)
        for k in range(rates.shape[0]):
            rate[0] = rate[0] + rates[k]

            @pb.custom_vjp
            def step(x: Any) -> Any:
                return np.sin(x) * rate[0]

            def forward(x: Any, step: Any = step, rate: Any = rates[k]) -> Any:
                return step(x), (x, rate)

            step.defvjp(forward, lambda kept, ct: (ct * np.cos(kept[0]) * kept[1],))
            x = step(x)
        return np.sum(x)

    rates = np.linspace(0.5, 1.0, 30)
    slope, x, rate = np.ones(3), X, 0.0
    for r in rates:
        rate += r
        slope, x = slope * np.cos(x) * r, np.sin(x) * rate
    np.testing.assert_allclose(pb.grad(loss)(X, rates), slope, rtol=1e-9)


def test_what_is_not_asked_for_is_not_computed() -> None:
    slope_of_x, slope_of_y = [pb.grad(total(wave), argnums=k).inspect(X, X) for k in (0, 1)]
    assert "cos(" in str(slope_of_x)
    assert "cos(" not in str(slope_of_y)


def test_sizes_that_only_the_run_knows() -> None:
    def loss(x: Any) -> Any:
        return np.sum(wave(x[x > 0.5], 2.0))

    found = pb.grad(loss)(X)
    np.testing.assert_allclose(found, np.where(X > 0.5, 2 * SLOPE * np.cos(X), 0.0))


def test_residuals_of_a_size_that_only_the_run_knows() -> None:
    function = pb.custom_vjp(lambda x: np.sum(x[x > 0.5]))
    function.defvjp(
        lambda x: (np.sum(x[x > 0.5]), (x, x[x > 0.5])),
        lambda kept, ct: (ct * np.where(kept[0] > 0.5, np.sum(kept[1]), 0.0),),
    )
    found = pb.grad(function)(X)
    np.testing.assert_allclose(found, np.where(X > 0.5, 1.8, 0.0))
