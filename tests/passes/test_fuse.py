"""Regions: parts of the operands make parts of the results, and these are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from tiny_tiles import tiny_tiles

from pullback.ir.core import Function, walk
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.evaluate import evaluate
from pullback.ir.machine import Machine
from pullback.ir.ops.control import Fused
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes import fuse
from pullback.passes.fuse import Fuse
from pullback.passes.tiling import parts_of

SOFTMAX = """
def f(x: f64[40, 50], w: f64[50]) -> (f64[40, 50], f64):
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
def f(x: f64[40, 40]) -> (f64[40, 40], f64[40, 40]):
    a  = tanh(x)
    v  = x.T
    b  = a * v
    t  = b.T
    c  = t + a
    d  = exp(c)
    return d, b
"""
SHAPES = """
def f(x: f64[40], y: f64[3, 40]) -> (f64[3, 40], f64):
    a  = tanh(x)
    b  = a * a
    c  = y * b
    d  = sin(c)
    s  = sum(b, axes=(-1,))
    k  = s * 3.0
    return d, k
"""
LOOP = """
def f(h: f64[40], xs: f64[3, 40]) -> (f64[40], f64[3]):
    def body(i: i64, h: f64[40], xs: f64[3, 40], *, dims=(i,)) -> (f64[40], f64):
        x  = xs[i]
        a  = h * x
        b  = tanh(a)
        s  = sum(b, axes=(-1,))
        return b, s
    r, ss = loop(body, range(3), carry=(h,), captured=(xs,))
    return r, ss
"""
UPDATES = """
def f(m: f64[40, 50], n: f64[40, 50], g: f64[40, 50], h: f64[40, 50]) -> (f64[40, 50], f64[40, 50]):
    a  = square(g)
    s  = sum(a, axes=(-2, -1))
    b  = 0.9 * m
    c  = 0.9 * n
    d  = g * s
    e  = h * s
    x  = b + d
    y  = c + e
    return x, y
"""
TEXTS = [SOFTMAX, VIEWS, SHAPES, LOOP, UPDATES]


def regions(function: Function) -> list[Function]:
    return [eqn.op.body for eqn in walk(function) if isinstance(eqn.op, Fused)]


def arguments(function: Function) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.standard_normal(p.type.shape) for p in function.params]


@pytest.fixture(autouse=True)
def small_cache() -> Iterator[None]:
    with tiny_tiles():
        yield


@pytest.mark.parametrize("text", TEXTS)
def test_fused_the_function_is_the_same(text: str) -> None:
    function = parse_function(text)
    fused = Fuse()(function)
    verify(fused)
    assert equal_up_to_renaming(parse_function(str(fused)), fused)
    arrays = arguments(function)
    for a, b in zip(evaluate(fused, *arrays), evaluate(function, *arrays), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_what_is_small_stays_as_it_is() -> None:
    function = parse_function(SOFTMAX)
    machine = Machine(cores=4, l2=1 << 20, l3=1 << 25)
    with mock.patch.object(fuse, "LARGE", 1 << 16):
        assert Fuse(machine=machine)(function) is function


def cut(array: Any, axis: int | None, part: slice) -> Any:
    if axis is None:
        return array
    return array[(*[slice(None)] * (np.ndim(array) + axis), part)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("exact", [False, True])
def test_parts_of_operands_make_parts_of_results(text: str, exact: bool) -> None:
    function = parse_function(text)
    fused = Fuse(exact=exact)(function)
    verify(fused)
    arrays = arguments(function)
    for a, b in zip(evaluate(fused, *arrays), evaluate(function, *arrays), strict=True):
        np.testing.assert_array_equal(a, b)
    tiled = [e.op for e in walk(fused) if isinstance(e.op, Fused) and e.op.tile]
    assert tiled or text in (SHAPES, LOOP)
    for op in tiled:
        operands = arguments(op.body)
        whole = evaluate(op.body, *operands)
        parts = parts_of(op)
        found: list[list[Any]] = []
        for lo in range(0, parts.extent, op.tile):
            part = slice(lo, min(lo + op.tile, parts.extent))
            given = [cut(a, axis, part) for a, axis in zip(operands, op.cuts, strict=True)]
            found.append(evaluate(parts.body, *given))
        for k, result in enumerate(parts.results):
            pieces = [f[k] for f in found]
            if result.reduction is None:
                joined = np.concatenate(pieces, axis=result.axis)
            else:
                joined = result.reduction.ufunc.reduce(np.array(pieces), axis=0)
                assert not (exact and result.reduction.rounds(joined.dtype))
            np.testing.assert_allclose(joined, whole[k], rtol=1e-12)


def test_a_reduction_may_be_read_if_another_axis_is_cut() -> None:
    region, _ = regions(Fuse()(parse_function(SOFTMAX)))
    assert [eqn.op.name for eqn in region.eqns] == [
        *("max", "subtract", "exp", "sum", "divide", "multiply", "sum")
    ]


def test_views_that_a_region_does_not_feed_move_before_it() -> None:
    fused = Fuse()(parse_function(VIEWS))
    assert [eqn.op.name for eqn in fused.eqns] == ["transpose", "fused", "transpose", "fused"]


def test_what_is_read_later_leaves_the_region() -> None:
    fused = Fuse()(parse_function(SOFTMAX))
    written = [[r.hint for r in e.results] for e in fused.eqns if isinstance(e.op, Fused)]
    assert written == [["q", "t"], ["r"]]


def test_views_of_what_a_region_makes_follow_it() -> None:
    function = parse_function("""
def f(x: f64[40]) -> (f64[40, 1], f64[40, 1]):
    a = tanh(x)
    v = a[:, None]
    b = exp(v)
    return v, b
""")
    fused = Fuse()(function)
    verify(fused)
    assert [eqn.op.name for eqn in fused.eqns] == ["fused", "index"]


def test_bodies_of_loops_are_fused() -> None:
    (region,) = regions(Fuse()(parse_function(LOOP)))
    assert [eqn.op.name for eqn in region.eqns] == ["multiply", "tanh", "sum"]


def test_what_shares_nothing_with_a_region_is_left_for_the_one_that_reads_it() -> None:
    first, second = regions(Fuse()(parse_function(UPDATES)))
    assert [eqn.result.hint for eqn in first.eqns] == ["a", "s"]
    assert {eqn.result.hint for eqn in second.eqns} == set("bcdexy")


def test_what_shares_operands_stands_together() -> None:
    _, region = regions(Fuse()(parse_function(UPDATES)))
    assert [eqn.result.hint in "bdx" for eqn in region.eqns] in (
        [True] * 3 + [False] * 3,
        [False] * 3 + [True] * 3,
    )


def test_what_moves_in_front_of_a_region_may_become_another_one() -> None:
    function = parse_function("""
def f(x: f64[40, 50], y: f64[60, 30]) -> (f64[40, 50], f64[60, 30]):
    a = tanh(x)
    b = tanh(y)
    c = exp(b)
    d = exp(a)
    return d, c
""")
    fused = Fuse()(function)
    verify(fused)
    assert [[e.op.name for e in region.eqns] for region in regions(fused)] == [["tanh", "exp"]] * 2


def test_what_broadcasts_against_a_region_joins_it_where_it_reads_the_same() -> None:
    function = parse_function("""
def f(x: f64[40], y: f64[3, 40], z: f64[3, 40]) -> (f64[3, 40], f64[3, 40]):
    a = square(x)
    b = y * x
    c = y * 2.0
    d = b - c
    e = z * a
    g = e + d
    return g, d
""")
    fused = Fuse()(function)
    verify(fused)
    (region,) = regions(fused)
    assert len(region.eqns) == 6
    (op,) = [e.op for e in fused.eqns if isinstance(e.op, Fused)]
    assert set(op.cuts) == {-1}


def test_views_that_are_taken_out_again_cost_no_axis() -> None:
    function = parse_function("""
def f(x: f64[8, 5, 40]) -> f64[40, 40]:
    a = tanh(x)
    b = a * x
    c = exp(b)
    v = reshape(c, shape=(40, 40), rank=3)
    return v
""")
    fused = Fuse()(function)
    verify(fused)
    (op,) = [e.op for e in fused.eqns if isinstance(e.op, Fused)]
    assert op.cuts == (-3,)
