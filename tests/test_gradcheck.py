"""`check_grads` finds the derivative that is wrong, and does not pass where it compares nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb


def with_slope(slope: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the square of `p["w"]`, with another rule."""

    @pb.custom_vjp
    def square(p: Any) -> Any:
        return p["w"] ** 2

    def forward(p: Any) -> Any:
        return square(p), p["w"]

    square.defvjp(forward, lambda w, ct: ({"w": ct * slope(w), "n": None},))
    return square


ARGUMENTS = ({"w": np.array([1.0, 2.0]), "n": 3},)


def test_what_is_right_passes() -> None:
    pb.check_grads(with_slope(lambda w: 2.0 * w), ARGUMENTS, order=3)
    pb.check_grads(lambda x, y: (np.sin(x) * y, [x / y]), (np.float32(0.5), np.ones(2) + 1j))


@pytest.mark.parametrize(
    ("slope", "message"),
    [
        (lambda w: w, r"order 1 of square with respect to argument 0\['w'\]\[\d\] is"),
        (
            lambda w: w * np.where(w > 1.5, 2.0, 2.1),
            r"order 1 of square with respect to argument 0\['w'\]\[0\] is",
        ),
        (lambda w: 2.0 * pb.stop_gradient(w), r"order 2 of square with respect to"),
        (lambda w: w * np.nan, r"is nan, and finite differences give"),
    ],
)
def test_what_is_wrong_is_named(slope: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(pb.GradientMismatch, match=message):
        pb.check_grads(with_slope(slope), ARGUMENTS)


def nothing(x: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (nothing, (np.ones(2),), pb.DifferentiationError, "and nothing returns none.\n\n.*def not"),
        (np.argsort, (np.ones(2),), pb.DifferentiationError, "and argsort returns none"),
        (np.sum, (np.arange(3),), pb.DifferentiationError, "no argument of sum is floating point"),
        (np.sum, np.ones(3), pb.StructureError, "the arguments of sum in a tuple, not an ndarray"),
    ],
)
def test_what_compares_nothing_does_not_pass(
    function: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        pb.check_grads(function, arguments)
