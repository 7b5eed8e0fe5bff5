"""Parts of views become parts of the array."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pullback.ir.builder import Builder
from pullback.ir.core import Function, Value, walk
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.index import AT, Index, Index_, IndexAdd, Span
from pullback.ir.ops.shape import Transpose
from pullback.ir.types import ArrayType
from pullback.passes.dce import Dce
from pullback.passes.reverse import reverse
from pullback.passes.rewrite import Class
from pullback.passes.simplify import Simplify

X = np.arange(120.0).reshape(3, 5, 8)
I64 = ArrayType(np.dtype(np.int64), ())

PARTS: list[Index_] = [
    (AT, 1, Span(0, 2, 1)),
    (Span(1, 2, 1), AT, -1),
    (Span(2, 3, -1), Span(0, 2, 2), AT),
    (AT, AT),
    (-1,),
]


def part(view: Any, index: Index_) -> Function:
    builder = Builder()
    x = builder.param(Value(ArrayType(X.dtype, X.shape), "x"))
    k = builder.param(Value(I64, "k"))
    whole = builder.one(view, x, *([k] if isinstance(view, Index) and AT in view.index else []))
    count = sum(item is AT for item in index)
    return builder.finish("f", [builder.one(Index(index), whole, *[k] * count)])


def check(function: Function) -> Function:
    found = Dce()(Simplify(Class.EXACT)(function))
    np.testing.assert_array_equal(
        evaluate(found, X, np.int64(1)), evaluate(function, X, np.int64(1)), strict=True
    )
    return found


@pytest.mark.parametrize("index", PARTS, ids=str)
@pytest.mark.parametrize("axes", list(itertools.permutations((-3, -2, -1)))[1:], ids=str)
def test_a_part_of_a_transposed_array(axes: tuple[int, ...], index: Index_) -> None:
    found = check(part(Transpose(axes), index))
    assert isinstance(found.eqns[0].op, Index)
    assert found.eqns[0].operands[0] is found.params[0]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ((Span(1, 2, 1), Span(1, 3, 1), Span(6, 4, -2)), (1, Span(0, 2, 1), -1)),
        ((AT, Span(0, 5, 1), Span(1, 4, 1)), (AT, Span(1, 2, 2))),
        ((1, Span(0, 5, 1), Span(0, 8, 1)), (AT, AT)),
        ((Span(1, 2, 1), 3), (-1, Span(1, 2, -1))),
    ],
)
def test_a_part_of_a_part(outer: Index_, inner: Index_) -> None:
    assert len(check(part(Index(outer), inner)).eqns) == 1


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ((Span(1, 2, 1), Span(1, 3, 1)), (AT,)),  # out of the part's bounds, not of the array's
        ((None, Span(0, 3, 1)), (0, AT)),
        ((Span(0, 3, 1), Span(0, 5, 1)), (Span(0, 3, 1), None)),
    ],
)
def test_what_no_part_says_stays(outer: Index_, inner: Index_) -> None:
    assert len(check(part(Index(outer), inner)).eqns) == 2


def test_the_cotangent_of_a_part_of_a_transposed_array_is_added_into_that_of_the_array() -> None:
    function = check(part(Transpose((-1, -2, -3)), (AT, 1, 2)))
    joint = reverse(function, [0])
    (added,) = [e for e in walk(joint) if isinstance(e.op, IndexAdd)]
    assert added.results[0] is joint.results[1]
