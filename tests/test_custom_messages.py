"""Functions with rules as text, and the errors of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from error_messages import error_message

import pullback as pb
from pullback.ir.core import Function
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.printer import constants_of

X = np.array([0.3, 0.7, 1.1])


@pb.custom_vjp
def wave(x: Any, y: Any) -> Any:
    return np.sin(x) * y


wave.defvjp(lambda x, y: (wave(x, y), (x, y)), lambda kept, ct: (ct * kept[1], None))


def total(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: np.sum(function(*args))


def test_the_text_of_a_function_with_a_rule() -> None:
    traced = pb.grad(total(wave)).inspect(X, X).stages[0].function
    text = str(traced)
    assert "def body(x: f64[3], y: f64[3]) -> f64[3]:" in text
    assert "label='wave'" in text
    parsed = pb.parse(text, constants_of(traced))
    assert isinstance(parsed, Function)
    assert equal_up_to_renaming(parsed, traced)


def correct(x: Any, y: Any) -> Any:
    return x * y, (x, y)


def of_one(kept: Any, ct: Any) -> Any:
    return (ct * kept[1],)


def no_tuple(kept: Any, ct: Any) -> Any:
    return ct * kept[1]


def summed(kept: Any, ct: Any) -> Any:
    return ct * kept[1], np.sum(ct)


def single(kept: Any, ct: Any) -> Any:
    return ct * kept[1], ct.astype(np.float32)


def nested(kept: Any, ct: Any) -> Any:
    return ct * kept[1], (ct,)


def broken(kept: Any, ct: Any) -> Any:
    return ct @ np.ones((7, 7)), ct


def fine(kept: Any, ct: Any) -> Any:
    return ct * kept[1], ct * kept[0]


def no_pair(x: Any, y: Any) -> Any:
    return x * y


def other_type(x: Any, y: Any) -> Any:
    return np.sum(x * y), None


def other_structure(x: Any, y: Any) -> Any:
    return (x * y,), None


def product(x: Any, y: Any) -> Any:
    return x * y


def squared(primals: Any, tangents: Any) -> Any:
    return primals[0] * primals[1], tangents[0] * tangents[1]


def total_tangent(primals: Any, tangents: Any) -> Any:
    return primals[0] * primals[1], np.sum(tangents[0])


def no_tangent(primals: Any, tangents: Any) -> Any:
    return primals[0] * primals[1]


def clip(kept: Any, ct: Any) -> Any:
    return np.clip(ct, -1.0, 1.0), ct


def of_ct(ct: Any) -> Any:
    return ct, ct


def beyond(kept: Any, ct: Any) -> Any:
    return ct[7], ct


def nothing(kept: Any, ct: Any) -> Any:
    return None


def message(function: Callable[..., Any]) -> str:
    return error_message(function, X, X)


def test_messages(golden: Callable[[str, str], None]) -> None:
    def reverse_mode(forward: Any, backward: Any) -> str:
        function = pb.custom_vjp(product)
        function.defvjp(forward, backward)
        return message(pb.grad(total(function), argnums=(0, 1)))

    def forward_mode(rule: Any) -> str:
        function = pb.custom_jvp(product)
        function.defjvp(rule)
        return message(pb.grad(total(function)))

    def writes(x: Any, y: Any) -> Any:
        x[0] = 1.0
        return x * y

    def pushed(x: Any, y: Any) -> Any:
        function = pb.custom_vjp(product)
        function.defvjp(correct, clip)
        return pb.jvp(function, (x, y), (x, y))

    def selfish(x: Any, y: Any) -> Any:
        function = pb.custom_vjp(product)
        function.defvjp(lambda x, y: (product(x, y), pb.grad(total(function))(x, y)), fine)
        return np.sum(function(x, y))

    def by_name(x: Any, y: Any) -> Any:
        function = pb.custom_vjp(lambda x, *, y: x * y)
        function.defvjp(correct, fine)
        return np.sum(function(x, y=y))

    texts = [reverse_mode(correct, b) for b in (of_one, no_tuple, summed, single, nested, broken)]
    texts += [reverse_mode(f, fine) for f in (no_pair, other_type, other_structure)]
    texts += [forward_mode(r) for r in (squared, total_tangent, no_tangent)]
    texts += [message(pb.grad(total(pb.custom_vjp(product))))]
    texts += [message(pb.grad(total(pb.custom_jvp(product))))]
    texts += [message(f) for f in (pb.compile(pushed), pb.grad(selfish))]
    texts += [message(pb.grad(by_name))]
    texts += [reverse_mode(correct, b) for b in (of_ct, beyond, nothing)]
    texts += [reverse_mode(of_ct, fine), forward_mode(of_ct)]
    golden("messages/custom_rules.txt", "\n".join(texts))
    function = pb.custom_vjp(writes)
    function.defvjp(correct, fine)
    with pytest.raises(ValueError, match="read-only"):
        pb.grad(total(function))(X, X)


def two(x: Any) -> Any:
    return x * np.ones(2)


@pytest.mark.parametrize(
    ("function", "tangent_solve", "error", "message"),
    [
        (lambda x, a: x**2 - a, lambda g, y: two(y), pb.ShapeError, "the tangent_solve `lambda`"),
        (lambda x, a: x**2 - a, lambda g, y: (y,), pb.StructureError, "the tangent_solve `lambda`"),
        (lambda x, a: two(x) - a, lambda g, y: y / g(1.0), pb.ShapeError, "the function `lambda`"),
        (lambda x, a: (x - a, x), lambda g, y: y, pb.StructureError, "the function `lambda`"),
        (
            lambda x, a: pb.pure_callback(np.sin, pb.Spec(()), x) - a,
            lambda g, y: y / g(1.0),
            pb.DifferentiationError,
            "give pure_callback one",
        ),
    ],
)
def test_an_equation_that_cannot_be_differentiated_is_no_zero(
    function: Any, tangent_solve: Any, error: type[Exception], message: str
) -> None:
    """Here the solver reads nothing of `a`: the derivative comes from the equation alone."""

    def root(a: Any) -> Any:
        return pb.custom_root(lambda x: function(x, a), 1.5, lambda f, x: x, tangent_solve)

    for derivative in (pb.grad(root), lambda a: pb.jvp(root, (a,), (1.0,))):
        with pytest.raises(error, match=f"(?s)pb.custom_root.*{message}"):
            derivative(2.25)
    assert root(2.25) == 1.5


def test_a_map_that_is_not_linear_is_no_zero() -> None:
    def solved(a: Any) -> Any:
        return np.sum(
            pb.custom_linear_solve(lambda x: a * x**2, np.ones(2), lambda m, b: b, symmetric=True)
        )

    with pytest.raises(pb.ArgumentError, match="the matvec of custom_linear_solve is not linear"):
        pb.grad(solved)(2.0)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="custom_vjp takes a function"):
        pb.custom_vjp(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="defvjp takes a function"):
        wave.defvjp(correct, None)  # type: ignore[arg-type]
    with pytest.raises(pb.ArgumentError, match="nondiff_argnums"):
        pb.custom_jvp(product, nondiff_argnums=(0,)).defjvps(None, None)


def test_a_rule_for_many_examples_is_called_by_its_function() -> None:
    function = pb.custom_vjp(product)
    function.defvjp(correct, clip)
    with pytest.raises(pb.DifferentiationError, match="transposes `clip`"):
        pb.jvp(pb.vmap(function), (X, X), (X, X))
