"""Programs that once gave a wrong result, shared memory or failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

X = np.arange(12.0).reshape(3, 4) + 1.0


@pytest.mark.parametrize(
    "function",
    [
        lambda s: np.sum(s[..., None] ** 2),
        lambda s: s[()] ** 2,
        lambda s: np.sum(s[None, None] * s),
    ],
)
def test_new_axes_of_a_scalar_array_have_a_gradient(function: Callable[[Any], Any]) -> None:
    s = np.array(3.0)
    assert pb.grad(function)(s) == 6.0
    assert pb.grad(lambda x: pb.grad(function)(x) ** 2)(s) == 24.0


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.repeat(x[:1], 3, axis=0),
        lambda x: np.repeat(x[None], 2, axis=0),
        lambda x: np.repeat(np.broadcast_to(x, (2, 3, 4)), 2, axis=0),
        lambda x: np.tile(x[:, :1], (1, 3)),
        lambda x: np.broadcast_to(x[:, None, :], (3, 2, 4)) * 2.0,
    ],
)
def test_results_made_anew_own_their_memory(function: Callable[[Any], Any], exact: bool) -> None:
    x = X.copy()
    found = pb.compile(function, exact=exact)(x)
    wanted = function(x)
    np.testing.assert_array_equal(found, wanted)
    assert found.flags.writeable
    assert not np.shares_memory(found, x)
    assert found.strides == wanted.strides


def test_a_copy_and_a_view_of_its_source_share_nothing() -> None:
    def both(x: Any) -> tuple[Any, ...]:
        y = 2.0 * x
        return y[1:], y.copy(), y, y.T, y * 1.0

    view, copied, source, turned, scaled = pb.compile(both)(X)
    assert np.shares_memory(view, source)
    assert np.shares_memory(turned, source)
    for other in (view, source, turned):
        assert not np.shares_memory(copied, other)
        assert not np.shares_memory(scaled, other)
    assert not np.shares_memory(copied, scaled)


def test_half_precision_sums_keep_the_factor_that_bounds_them() -> None:
    x = np.full(4, 3e4, np.float16)
    factor = np.float16(1e-3)
    assert pb.compile(lambda x: np.sum(factor * x))(x) == np.sum(factor * x)


def test_other_defaults_are_seen() -> None:
    weights = np.ones(3)

    def scaled(x: Any, n: int = 2, a: Any = weights, *, k: float = 1.0) -> Any:
        return np.sum(x * n * k * a)

    compiled = pb.compile(scaled)
    x = np.ones(3)
    assert compiled(x) == 6.0
    scaled.__defaults__ = (5, weights)
    assert compiled(x) == 15.0
    weights[0] = 7.0
    assert compiled(x) == 45.0
    scaled.__kwdefaults__ = {"k": 2.0}
    assert compiled(x) == 90.0
    scaled.__defaults__ = (5, np.zeros(3))
    assert compiled(x) == 0.0


def test_the_gradient_of_an_extreme_that_is_nan_is_nan() -> None:
    with np.errstate(all="ignore"):
        for extreme in (np.max, np.min):
            gradient = pb.grad(extreme)(np.array([1.0, np.nan]))
            assert np.all(np.isnan(gradient))
