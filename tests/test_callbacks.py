"""Python functions that compiled programs call back, and printing with a format."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from error_messages import error_message

import pullback as pb

X = np.array([0.3, 0.7, 1.1])


def cube(x: Any) -> Any:
    assert type(x) is np.ndarray
    return x**3


def cube_vjp(args: Any, result: Any, ct: Any) -> Any:
    (x,) = args
    np.testing.assert_array_equal(result, x**3)
    return (3 * x**2 * ct,)


def called(x: Any) -> Any:
    return pb.pure_callback(cube, pb.Spec(3), x, vjp=cube_vjp)


def test_inside_and_outside() -> None:
    np.testing.assert_array_equal(called(X), X**3)
    compiled = pb.compile(called)
    for x in (X, X[::-1].copy()):
        np.testing.assert_array_equal(compiled(x), x**3)


def test_it_is_called_at_every_run() -> None:
    seen: list[float] = []

    def noted(x: Any) -> Any:
        seen.append(float(x[0]))
        return x * 2

    function = pb.compile(lambda x: pb.pure_callback(noted, x, x) + 1)
    assert seen == []
    function(X)
    function(X + 1)
    assert seen == [0.3, 1.3]


def test_it_is_pure() -> None:
    seen: list[int] = []

    def noted(x: Any) -> Any:
        seen.append(1)
        return x * 2

    def twice(x: Any) -> Any:
        pb.pure_callback(noted, x, x + 1)  # which nobody reads
        return pb.pure_callback(noted, x, x) * pb.pure_callback(noted, x, x)

    np.testing.assert_array_equal(pb.compile(twice)(X), 4 * X * X)
    assert len(seen) == 1


def test_what_it_is_given_and_returns_is_its_own() -> None:
    kept: list[Any] = []

    def greedy(x: Any) -> Any:
        kept.append(x)
        x[:] = 7.0
        return x

    function = pb.compile(lambda x: (pb.pure_callback(greedy, x, x * 1.0) * 2, x + 1))
    first, _ = function(X)
    first[:] = 0.0
    _, after = function(X)
    np.testing.assert_array_equal(kept[0], [7.0, 7.0, 7.0])
    np.testing.assert_array_equal(after, X + 1)


def test_the_gradient_is_its_vjp() -> None:
    np.testing.assert_allclose(
        pb.grad(lambda x: np.sum(np.sin(called(x))))(X), np.cos(X**3) * 3 * X**2
    )
    value, pull = pb.vjp(called, X)
    np.testing.assert_allclose(value, X**3)
    np.testing.assert_allclose(pull(np.ones(3))[0], 3 * X**2)


def test_in_loops_branches_and_under_vmap() -> None:
    looped = pb.grad(lambda x: np.sum(pb.fori_loop(0, 2, lambda i, c: called(c), x)))
    np.testing.assert_allclose(looped(X), 9 * X**8)
    chosen = pb.grad(lambda x: np.sum(pb.cond(x[0] > 0, called, lambda x: x, x)))
    np.testing.assert_allclose(chosen(X), 3 * X**2)
    np.testing.assert_allclose(chosen(-X), [1.0, 1.0, 1.0])
    rows = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(pb.vmap(called)(rows), rows**3)
    each = pb.vmap(pb.grad(lambda x: np.sum(called(x))))
    np.testing.assert_allclose(each(rows), 3 * rows**2)
    whole = pb.grad(lambda r: np.sum(pb.vmap(called)(r)))
    np.testing.assert_allclose(whole(rows), 3 * rows**2)


def test_containers_scalars_and_static_arguments() -> None:
    def both(params: Any, power: int, shift: float) -> Any:
        assert type(power) is int
        assert type(shift) is float
        return {"out": params["x"] * power, "shift": shift}

    def both_vjp(args: Any, result: Any, ct: Any) -> Any:
        assert sorted(result) == ["out", "shift"]
        return {"x": ct["out"] * args[1]}, None, ct["shift"]

    def function(x: Any, shift: float) -> Any:
        spec = {"out": pb.Spec(3), "shift": 1.0}
        found = pb.pure_callback(both, spec, {"x": x}, 2, shift, vjp=both_vjp)
        return np.sum(found["out"]) + 5 * found["shift"]

    assert pb.compile(function)(X, 3.0) == pytest.approx(2 * np.sum(X) + 15)
    dx, ds = pb.grad(function, argnums=(0, 1))(X, 3.0)
    np.testing.assert_array_equal(dx, [2.0, 2.0, 2.0])
    assert ds == 5.0


def test_integers_have_no_derivatives() -> None:
    def counted(x: Any, k: Any) -> Any:
        return x * k, np.argsort(x)

    def counted_vjp(args: Any, result: Any, ct: Any) -> Any:
        return ct[0] * args[1], None

    def function(x: Any) -> Any:
        spec = (pb.Spec(3), pb.Spec(3, "int64"))
        scaled, order = pb.pure_callback(counted, spec, x, np.arange(3), vjp=counted_vjp)
        return np.sum(scaled[order] * X)

    order = np.argsort(-X)
    expected = np.zeros(3)
    expected[order] = X * np.arange(3)[order]
    np.testing.assert_allclose(pb.grad(function)(-X), expected)


def test_stop_gradient_and_checkpoint() -> None:
    stopped = pb.grad(lambda x: np.sum(pb.stop_gradient(pb.pure_callback(cube, x, x)) * x))
    np.testing.assert_allclose(stopped(X), X**3)
    kept = pb.grad(lambda x: np.sum(pb.checkpoint(lambda x: np.sin(called(x)))(x)))
    np.testing.assert_allclose(kept(X), np.cos(X**3) * 3 * X**2)


def test_a_rule_around_a_callback_has_every_derivative() -> None:
    @pb.custom_vjp
    def wrapped(x: Any) -> Any:
        return pb.pure_callback(cube, x, x)

    wrapped.defvjp(lambda x: (wrapped(x), x), lambda x, ct: (ct * 3 * x * x,))
    first = pb.grad(lambda x: np.sum(wrapped(x)))
    np.testing.assert_allclose(first(X), 3 * X**2)
    np.testing.assert_allclose(pb.grad(lambda x: np.sum(first(x)))(X), 6 * X)
    np.testing.assert_allclose(pb.jvp(wrapped, (X,), (X,))[1], 3 * X**3)


def test_it_runs_for_a_value_that_python_needs() -> None:
    def function(x: Any) -> Any:
        if float(pb.pure_callback(lambda x: np.sum(x), pb.Spec(()), x)) > 1.0:
            return x * 2
        return x

    compiled = pb.compile(function)
    np.testing.assert_array_equal(compiled(X), X * 2)
    np.testing.assert_array_equal(compiled(X * 0), X * 0)


def test_what_it_raises_says_where_it_was_called() -> None:
    def failing(x: Any) -> Any:
        raise KeyError("nothing of that name")

    for function in (pb.compile(lambda x: pb.pure_callback(failing, x, x)),
                     lambda x: pb.pure_callback(failing, x, x)):  # fmt: skip
        with pytest.raises(KeyError, match="nothing of that name") as caught:
            function(X)
        (note,) = caught.value.__notes__
        assert re.fullmatch(
            r"In `failing` \(test_callbacks.py:\d+\), called back by the program at "
            r"test_callbacks.py:\d+.",
            note,
        )


@pytest.mark.parametrize("spec", ["f8", 3, None, [], (pb.Spec(3), 3), {"a": "f8"}])
def test_a_description_without_arrays_is_refused(spec: Any) -> None:
    def function(x: Any) -> Any:
        return pb.pure_callback(cube, spec, x)

    for called in (function, pb.compile(function)):
        with pytest.raises(pb.StructureError, match=r"result_spec of `cube` .* it must be a cont"):
            called(X)


def message(function: Callable[..., Any]) -> str:
    return error_message(function, X)


def test_messages(golden: Callable[[str, str], None]) -> None:
    def back(function: Callable[..., Any], vjp: Any = None) -> Callable[..., Any]:
        return lambda x: np.sum(pb.pure_callback(function, pb.Spec(3), x, vjp=vjp))

    def closing(x: Any) -> Any:
        return pb.pure_callback(lambda y: x + y, x, x)

    second = pb.grad(lambda x: np.sum(pb.grad(back(cube, cube_vjp))(x)))
    texts = [
        message(pb.compile(back(lambda x: x[:2]))),
        message(pb.compile(back(lambda x: x.astype(np.float32)))),
        message(pb.compile(back(lambda x: (x,)))),
        message(pb.compile(back(lambda x: "text"))),
        message(pb.compile(back(lambda x: None))),
        message(back(lambda x: x[:2])),
        message(pb.grad(back(cube))),
        message(pb.grad(back(cube, lambda args, result, ct: ct))),
        message(pb.grad(back(cube, lambda args, result, ct: (ct[:1],)))),
        message(second),
        message(lambda x: pb.jvp(back(cube, cube_vjp), (x,), (x,))),
        message(pb.compile(closing)),
    ]
    golden("messages/callbacks.txt", "\n".join(texts))


# ---- debug_print ---------------------------------------------------------------------------------


def printed(x: Any) -> Any:
    y = x * x
    pb.debug_print("x {} y {y:.2f} {{}}", x, y=y)
    return y


def test_printing_inside_and_outside(capsys: pytest.CaptureFixture[str]) -> None:
    compiled = pb.compile(printed)
    for function in (printed, compiled, compiled, pb.grad(printed)):
        function(3.0)
        assert capsys.readouterr().out == "x 3.0 y 9.00 {}\n"


def test_printing_under_vmap(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(x: Any) -> Any:
        pb.debug_print("{}", x)
        return np.sum(x * x)

    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = pb.vmap(pb.grad(shown))(rows)
    np.testing.assert_array_equal(found, 2 * rows)
    assert capsys.readouterr().out == "[1. 2.]\n[3. 4.]\n"
    pb.grad(lambda r: np.sum(pb.vmap(shown)(r)))(rows)
    assert capsys.readouterr().out == "[1. 2.]\n[3. 4.]\n"
