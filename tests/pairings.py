"""Forward against reverse mode, shared by tests: <ct, J t> is <ct J, t>."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from differences import inexact, seeds_for

from pullback.ir.core import Function
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.evaluate import evaluate
from pullback.ir.parser import parse_function
from pullback.ir.samples import numbers
from pullback.ir.types import type_of
from pullback.ir.verify import verify
from pullback.passes.forward import forward
from pullback.passes.reverse import reverse


def ways_from(values: Sequence[Any]) -> list[Any]:
    """Return a tangent for each value."""
    return [
        numbers(*np.shape(v), dtype=np.asarray(v).dtype, low=-1, high=1, seed=3 + k)[()]
        for k, v in enumerate(values)
    ]


def pair(left: Sequence[Any], right: Sequence[Any]) -> float:
    """Return Re(sum(u * v)) over all arrays."""
    parts = [np.sum(np.real(np.multiply(u, v))) for u, v in zip(left, right, strict=True)]
    return float(np.sum(parts, dtype=float))


def check_pairing(
    function: Function, arguments: Sequence[Any], tolerance: float = 1e-9
) -> tuple[Function, list[Any]]:
    """Compare the two modes; return the function with tangents, and the arguments of it."""
    wrt = inexact([p.type for p in function.params])
    joint = forward(function, wrt)
    verify(joint)
    assert equal_up_to_renaming(parse_function(str(joint)), joint)
    ways = ways_from([arguments[k] for k in wrt])
    count = len(function.results)
    with np.errstate(all="ignore"):  # NaN is compared too
        results = evaluate(joint, *arguments, *ways)
        plain = evaluate(function, *arguments)
        moved = results[count:]
        for primal, expected, tangent in zip(results[:count], plain, moved, strict=True):
            assert type_of(tangent) == type_of(primal)
            np.testing.assert_array_equal(primal, expected)
        seeds = inexact([r.type for r in function.results])
        cts = seeds_for([type_of(plain[k]) for k in seeds])
        backward = reverse(function, wrt, seeds=seeds, keep=())
        slopes = evaluate(backward, *arguments, *cts)
    found, expected = pair(cts, [moved[k] for k in seeds]), pair(slopes, ways)
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True)
    return joint, [*arguments, *ways]


__all__ = ["check_pairing", "pair", "ways_from"]
