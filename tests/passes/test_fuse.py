"""Regions: one shape, nothing that reads a reduction of its own, and the same results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.ir.core import Function, Value, walk
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.control import Fused
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.fuse import Fuse
from pullback.passes.memory import flatten

SOFTMAX = """
def f(x: f64[4, 5], w: f64[5]) -> (f64[4, 5], f64):
    m  = max(x, axes=(-1,), keepdims=True)
    z  = x - m
    e  = exp(z)
    s  = sum(e, axes=(-1,), keepdims=True)
    p  = e / s
    q  = p * w
    t  = sum(q, axes=(-2, -1))
    u  = t * 2.0
    r  = q + u
    return r, t
"""
VIEWS = """
def f(x: f64[4, 4]) -> (f64[4, 4], f64[4, 4]):
    a  = tanh(x)
    v  = x.T
    b  = a * v
    t  = b.T
    c  = t + a
    d  = exp(c)
    return d, b
"""
SHAPES = """
def f(x: f64[4], y: f64[3, 4]) -> (f64[3, 4], f64):
    a  = tanh(x)
    b  = a * a
    c  = y * b
    d  = sin(c)
    s  = sum(b, axes=(-1,))
    k  = s * 3.0
    return d, k
"""
LOOP = """
def f(h: f64[4], xs: f64[3, 4]) -> (f64[4], f64[3]):
    def body(i: i64, h: f64[4], xs: f64[3, 4], *, dims=(i,)) -> (f64[4], f64):
        x  = xs[i]
        a  = h * x
        b  = tanh(a)
        s  = sum(b, axes=(-1,))
        return b, s
    r, ss = loop(body, range(3), carry=(h,), captured=(xs,))
    return r, ss
"""
TEXTS = [SOFTMAX, VIEWS, SHAPES, LOOP]


def regions(function: Function) -> list[Function]:
    return [eqn.op.body for eqn in walk(function) if isinstance(eqn.op, Fused)]


def arguments(function: Function) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.standard_normal(p.type.shape) for p in function.params]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("smallest", [1, 2, 3])
def test_fused_and_flattened_again_the_function_is_the_same(text: str, smallest: int) -> None:
    function = parse_function(text)
    fused = Fuse(smallest)(function)
    verify(fused)
    arrays = arguments(function)
    expected = evaluate(function, *arrays)
    for form in (fused, flatten(fused)):
        verify(form)
        for a, b in zip(evaluate(form, *arrays), expected, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert len(list(walk(flatten(fused)))) == len(list(walk(function)))


@pytest.mark.parametrize("text", TEXTS)
def test_a_region_has_one_shape_and_reads_no_reduction_of_its_own(text: str) -> None:
    found = regions(Fuse()(parse_function(text)))
    assert found
    for region in found:
        assert len(region.eqns) >= 2
        reduced: set[Value] = set()
        shapes = set()
        for eqn in region.eqns:
            assert not reduced.intersection(a for a in eqn.operands if isinstance(a, Value))
            if eqn.op.is_reduction:
                reduced.update(eqn.results)
                shapes.add(eqn.operands[0].type.shape)
            else:
                shapes.add(eqn.result.type.shape)
        assert len(shapes) == 1


def test_views_that_a_region_does_not_feed_move_before_it() -> None:
    fused = Fuse()(parse_function(VIEWS))
    assert [eqn.op.name for eqn in fused.eqns] == ["transpose", "fused", "transpose", "fused"]


def test_what_is_read_later_leaves_the_region() -> None:
    fused = Fuse()(parse_function(SOFTMAX))
    written = [[r.hint for r in e.results] for e in fused.eqns if isinstance(e.op, Fused)]
    assert written == [["e", "s"], ["q", "t"]]


def test_bodies_of_loops_are_fused() -> None:
    (region,) = regions(Fuse()(parse_function(LOOP)))
    assert [eqn.op.name for eqn in region.eqns] == ["multiply", "tanh", "sum"]
