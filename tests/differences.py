"""Gradients of IR functions against finite differences, shared by tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pullback.ir.core import Function
from pullback.ir.evaluate import evaluate
from pullback.ir.samples import numbers
from pullback.ir.types import ArrayType, type_of
from pullback.passes.reverse import reverse

STEP = 1e-6


def inexact(types: Sequence[ArrayType]) -> list[int]:
    """Return the positions of the types that have gradients."""
    return [k for k, t in enumerate(types) if t.is_inexact]


def largest(types: Sequence[ArrayType]) -> int:
    """Return the size of the largest type."""
    return max((t.size for t in types), default=0)


def seeds_for(types: Sequence[ArrayType]) -> list[Any]:
    """Return a cotangent for each type."""
    shapes: list[Any] = [t.shape for t in types]
    return [
        numbers(*s, dtype=t.dtype, seed=7 + k)[()]
        for k, (s, t) in enumerate(zip(shapes, types, strict=True))
    ]


def jacobian_by_differences(
    function: Callable[[Any], Any], x: np.ndarray, step: float = STEP
) -> np.ndarray:
    """Return the Jacobian by central differences, of shape out.shape + x.shape."""
    columns: list[Any] = []
    for k in range(x.size):
        way = np.zeros(x.size)
        way[k] = step
        way = way.reshape(x.shape)
        columns.append((function(x + way) - function(x - way)) / (2 * step))
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape((*stacked.shape[:-1], *x.shape))


def check_vjp(function: Function, arguments: Sequence[Any], tolerance: float) -> Function:
    """Compare cotangents with central differences along one direction; return the backward one.

    A cotangent g of z means dL = Re(sum(g * dz)).
    """
    wrt = inexact([p.type for p in function.params])
    seeds = inexact([r.type for r in function.results])
    backward = reverse(function, wrt, seeds=seeds, keep=())
    primal = evaluate(function, *arguments)  # whose sizes the run alone may know
    cts = seeds_for([type_of(primal[k]) for k in seeds])
    cotangents = evaluate(backward, *arguments, *cts)

    def loss(values: Sequence[Any]) -> float:
        results = evaluate(function, *values)
        parts = [np.sum(np.real(ct * results[k])) for k, ct in zip(seeds, cts, strict=True)]
        return float(sum(parts))

    for k, cotangent in zip(wrt, cotangents, strict=True):
        x = np.asarray(arguments[k])
        assert type_of(cotangent) == type_of(x), f"{type_of(cotangent)} for {type_of(x)}"
        way = numbers(*x.shape, dtype=x.dtype, low=-1, high=1, seed=17)
        moved = [
            loss([*arguments[:k], x + sign * STEP * way, *arguments[k + 1 :]]) for sign in (1, -1)
        ]
        expected = (moved[0] - moved[1]) / (2 * STEP)
        found = float(np.sum(np.real(cotangent * way)))
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance), (
            f"the derivative is {found}, differences say {expected} at {arguments[k]!r}"
        )
    return backward


def check_both_orders(function: Function, arguments: Sequence[Any]) -> Function:
    """Check the cotangents and the cotangents of those; return the backward function."""
    with np.errstate(all="ignore"):
        backward = check_vjp(function, arguments, 2e-6)
        primal = evaluate(function, *arguments)
        seeds = inexact([r.type for r in function.results])
        cts = seeds_for([type_of(primal[k]) for k in seeds])
        check_vjp(backward, [*arguments, *cts], 2e-5)
    return backward
