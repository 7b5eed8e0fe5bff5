"""Calls of a module's functions, inlined and built."""

import re

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Module
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.parser import parse_function, parse_module
from pullback.ir.verify import verify
from pullback.passes import inline

HALVES = """
def half(x: f64[3]) -> f64[3]:
    y : f64[3] = x * 0.5
    return y

def f(a: f64[3]) -> f64[3]:
    b : f64[3] = call(half, a)
    c : f64[3] = call(half, b)
    return c
"""


def test_docstring_shows_the_pass() -> None:
    text = inline.__doc__ or ""
    before, after = re.findall(r"::\n\n((?:    .*\n|\n)+)", text)
    before, after = (re.sub(r"^    ", "", t, flags=re.MULTILINE) for t in (before, after))
    inlined = inline.inline_calls(parse_module(before))
    verify(inlined)
    assert equal_up_to_renaming(inlined, parse_function(after))


def test_a_module_is_built() -> None:
    module = pb.parse(HALVES)
    assert isinstance(module, Module)
    (result,) = pb.build(module)(np.array([4.0, 8.0, 12.0]))
    np.testing.assert_array_equal(result, [1.0, 2.0, 3.0])


def test_recursion_is_refused_by_name() -> None:
    text = "def f(a: f64[3]) -> f64[3]:\n    b : f64[3] = call(f, a)\n    return b\n"
    with pytest.raises(pb.UnsupportedError, match="f calls itself"):
        pb.build(pb.parse(text))
