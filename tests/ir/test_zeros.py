"""What is zero with a parameter is left out, and nothing else changes."""

from __future__ import annotations

import re
import textwrap

import numpy as np
import pytest

import pullback.ir.zeros
from pullback.ir.core import Function
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.evaluate import evaluate
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.ir.zeros import without_zeros

BLOCK = re.compile(r"^(?:Before|After)[^\n]*::\n\n((?:    .*\n|\n)+)", re.MULTILINE)
X = np.array([0.3, 0.7, 1.1])


def test_the_example() -> None:
    doc = str(pullback.ir.zeros.__doc__)
    before, after = [parse_function(textwrap.dedent(t)) for t in BLOCK.findall(doc)]
    found, gone = without_zeros(before, [2])
    verify(found)
    assert gone == [False]
    assert equal_up_to_renaming(found, after)


LINES = {
    "a = dz * x": True,
    "a = x * dz": True,
    "a = dz / x": True,
    "a = x / dz": False,
    "a = -dz": True,
    "a = dz + dz": True,
    "a = dz + x": False,
    "a = x - dz": False,
    "a = dz - x": False,
    "a = dz - 1.0": False,
    "a = cos(dz)": False,
    "a = dz[::-1]": True,
    "a = broadcast_to(dz, shape=(2, 3), rank=1)": True,
    "a = sum(dz, axes=(-1,))": True,
    "a = index_add(x[:], dz)": False,
}


@pytest.mark.parametrize("line", LINES)
def test_equations(line: str) -> None:
    text = f"def f(x: f64[3], dz: f64[3]):\n    {line}\n    return a, x\n"
    function = parse_function(text)
    found, gone = without_zeros(function, [1])
    verify(found)
    assert len(found.params) == 1
    assert gone == [LINES[line], False]
    with np.errstate(divide="ignore"):  # by zeros that are known, on one line
        wanted = evaluate(function, X, np.zeros(3))
        results = evaluate(found, X)
    assert not gone[0] or not np.any(wanted[0])
    for result, want in zip(results, wanted[gone[0] :], strict=True):
        np.testing.assert_array_equal(result, want)


def test_zeros_are_made_where_an_equation_needs_them() -> None:
    text = "def f(x: f64[3], dz: f64[3]):\n    b = dz * x\n    a = exp(b)\n    return a\n"
    found, _ = without_zeros(parse_function(text), [1])
    assert [e.op.name for e in found.eqns] == ["full", "exp"]
    np.testing.assert_array_equal(evaluate(found, X)[0], [1.0, 1.0, 1.0])


def test_without_zeros_all_stays() -> None:
    text = "def f(x: f64[3], dz: f64[3]):\n    a = dz * x\n    return a\n"
    function = parse_function(text)
    found, gone = without_zeros(function, [])
    assert isinstance(found, Function)
    assert equal_up_to_renaming(found, function)
    assert gone == [False]
