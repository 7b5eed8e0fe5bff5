"""Every op, on its own samples: the pattern of its Jacobian holds every entry of the derivative."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from single_ops import has_rule

from pullback.ir.core import Function
from pullback.ir.evaluate import evaluate
from pullback.ir.op import Op
from pullback.ir.types import type_of
from pullback.passes.reverse import reverse
from pullback.passes.sparsity import sparsity

_spec = importlib.util.spec_from_file_location("op_samples", Path(__file__).parent / "test_ops.py")
assert _spec is not None
assert _spec.loader is not None
op_samples: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(op_samples)

# As NumPy does, a conversion from complex to real warns.
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")


def cases(name: str) -> list[tuple[Op, tuple[Any, ...]]]:
    """Return the samples in double precision whose results have sizes that are known."""
    found = []
    for op, operands in op_samples.samples_of(name):
        types = [type_of(v) for v in operands]
        results = op.infer(*types)
        inexact = [t for t in (*types, *results) if t.is_inexact]
        if (
            op.has_gradient
            and all(t.dtype in ("f8", "c16") for t in inexact)
            and any(t.is_inexact for t in types)
            and any(t.is_inexact for t in results)
            and all(r.is_static and r.size <= 24 for r in results)
        ):
            found.append((op, operands))
    return found[:6]


def rows(function: Function, wrt: list[int], of: list[int], operands: Any) -> np.ndarray:
    """Return, entry by entry of the results, the cotangents of the operands."""
    backward = reverse(function, wrt, seeds=of, keep=[])
    types = [function.results[k].type for k in of]
    found = []
    for k, type in enumerate(types):
        for place in range(type.size):
            seeds: list[Any] = [np.zeros(t.shape, t.dtype) for t in types]
            seeds[k].reshape(-1)[place] = 1
            cts = evaluate(backward, *operands, *seeds)
            found.append(np.concatenate([np.ravel(c) for c in cts]))
    return np.array(found).reshape(len(found), sum(function.params[p].type.size for p in wrt))


@pytest.mark.parametrize("name", [*filter(has_rule, op_samples.NAMES)])
def test_what_moves_a_result_is_in_the_pattern(name: str) -> None:
    for op, operands in cases(name):
        function = op_samples.function_of(op, operands)
        wrt = [k for k, p in enumerate(function.params) if p.type.is_inexact]
        of = [k for k, r in enumerate(function.results) if r.type.is_inexact]
        with np.errstate(all="ignore"):  # samples may be at poles
            derivative = np.abs(rows(function, wrt, of, operands)) > 1e-10
        for known in ({}, {k: v for k, v in enumerate(operands) if k not in wrt}):
            pattern = sparsity(function, wrt, of, known).toarray()
            assert pattern.shape == derivative.shape
            assert np.all(pattern | ~derivative), (op, known)
